#include "serve/sqlite.h"

#include <utility>

#include "core/error.h"

namespace pangu::serve {
namespace {

[[noreturn]] void fail_of_store(sqlite3* database, const std::string& doing) {
  throw Error(ErrorCode::kIo, "the store of jobs: cannot " + doing + ": " +
                                  (database ? sqlite3_errmsg(database) : "out of memory"));
}

}  // namespace

Sqlite::Query::Query(sqlite3* database, sqlite3_stmt* statement)
    : database_(database), statement_(statement) {}

Sqlite::Query::Query(Query&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Sqlite::Query::~Query() {
  if (!statement_) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int Sqlite::Query::place_of(int index) const {
  return sqlite3_bind_parameter_index(statement_, ("$" + std::to_string(index)).c_str());
}

void Sqlite::Query::bind_one(int index, int64_t value) {
  if (sqlite3_bind_int64(statement_, place_of(index), value) != SQLITE_OK) {
    fail_of_store(database_, "bind");
  }
}

void Sqlite::Query::bind_one(int index, std::string_view value) {
  // A null pointer would bind NULL.
  const char* const bytes = value.data() ? value.data() : "";
  if (sqlite3_bind_text64(statement_, place_of(index), bytes, value.size(), SQLITE_TRANSIENT,
                          SQLITE_UTF8) != SQLITE_OK) {
    fail_of_store(database_, "bind");
  }
}

bool Sqlite::Query::next() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  fail_of_store(database_, sqlite3_stmt_readonly(statement_) ? "read" : "write");
}

int64_t Sqlite::Query::run() {
  while (next()) {
  }
  return sqlite3_changes64(database_);
}

int64_t Sqlite::Query::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Sqlite::Query::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes ? std::string(bytes, static_cast<size_t>(size)) : std::string();
}

void Sqlite::CloseDatabase::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

void Sqlite::CloseStatement::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Sqlite::Sqlite(const std::string& path, int busy_ms) {
  sqlite3* database = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(database);
  if (opened != SQLITE_OK) fail_of_store(database, "open '" + path + "'");
  sqlite3_busy_timeout(database, busy_ms);
}

void Sqlite::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail_of_store(database_.get(), "write");
  }
}

Sqlite::Query Sqlite::query(const char* sql) {
  auto& statement = statements_[sql];
  if (!statement) {
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared,
                           nullptr) != SQLITE_OK) {
      fail_of_store(database_.get(), "prepare a statement");
    }
    statement.reset(prepared);
  }
  return Query(database_.get(), statement.get());
}

void Sqlite::undo() noexcept {
  sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace pangu::serve
