#include "serve/postgres.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/error.h"
#include "serve/job_store.h"

namespace pangu::serve {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kLongestStatement{10};
constexpr std::chrono::milliseconds kLeastPause{250};

std::string first_line(const char* text) {
  const std::string_view all = text ? text : "";
  return std::string(all.substr(0, all.find('\n')));
}

// Failures that pass by themselves: the server ends, starts, has no room or no connection left, is
// a standby, or two transactions stood in each other's way (SQLSTATE, appendix A of PostgreSQL's
// manual).
bool passes_by_itself(std::string_view state) {
  for (const char* start : {"08", "53", "57P", "57014", "40", "25006", "55P03"}) {
    if (state.starts_with(start)) return true;
  }
  return false;
}

}  // namespace

PostgresConnection connect_postgres(const std::string& url) {
  // A later value wins, so what the address says goes over these. A connection whose other end is
  // cut off is given up after seconds instead of a quarter of an hour.
  const char* const keys[] = {"connect_timeout",           "tcp_user_timeout", "keepalives_idle",
                              "keepalives_interval",       "keepalives_count", "client_encoding",
                              "fallback_application_name", "dbname",           nullptr};
  const char* const values[] = {"3",    "5000",       "5",         "2",    "2",
                                "UTF8", "pangu-draw", url.c_str(), nullptr};
  char* wrong = nullptr;
  PQconninfoOption* const parsed = PQconninfoParse(url.c_str(), &wrong);
  const std::string why = first_line(wrong);
  PQfreemem(wrong);
  if (!parsed) throw bad_input("queue_url", "postgres://USER@HOST/DATABASE", "what it is not", why);
  PQconninfoFree(parsed);
  PostgresConnection connection(PQconnectdbParams(keys, values, 1));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    throw StoreAway("the store of jobs: cannot connect: " +
                    first_line(PQerrorMessage(connection.get())));
  }
  PQsetNoticeProcessor(connection.get(), [](void*, const char*) {}, nullptr);
  return connection;
}

PostgresConnection PausedConnecting::connect(const std::string& url) {
  const auto begun = steady_clock::now();
  if (begun < next_try_) throw StoreAway("the store of jobs: PostgreSQL is away");
  try {
    return connect_postgres(url);
  } catch (...) {
    const auto now = steady_clock::now();
    next_try_ = now + std::max<steady_clock::duration>(kLeastPause, 2 * (now - begun));
    throw;
  }
}

// A server that answers, but lets nobody in, does not mend itself.
Postgres::Postgres(std::string url) : url_(std::move(url)) {
  try {
    need_connection();
  } catch (const StoreAway& error) {
    const char* const keys[] = {"connect_timeout", "dbname", nullptr};
    const char* const values[] = {"3", url_.c_str(), nullptr};
    if (PQpingParams(keys, values, 1) == PQPING_OK) throw Error(ErrorCode::kIo, error.what());
    throw;
  }
}

void Postgres::need_connection() {
  if (connection_) {
    // A server that ended has closed the socket, which shows before anything is sent.
    pollfd waits{PQsocket(connection_.get()), POLLIN, 0};
    if (poll(&waits, 1, 0) > 0) PQconsumeInput(connection_.get());
    if (PQstatus(connection_.get()) == CONNECTION_OK) return;
    connection_.reset();
    if (in_transaction_) throw StoreAway("the store of jobs: the connection was lost");
  }
  connection_ = pause_.connect(url_);
  // The server gives up a statement that nobody waits for any more, and a transaction of the dead.
  execute("SET statement_timeout = '10s'");
  execute("SET idle_in_transaction_session_timeout = '10s'");
  execute("SET default_transaction_isolation = 'read committed'");
}

void Postgres::lose_connection(const std::string& why) {
  connection_.reset();
  throw StoreAway("the store of jobs: " + why);
}

void Postgres::await_socket(short events, steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) lose_connection("PostgreSQL does not answer");
    pollfd waits{PQsocket(connection_.get()), events, 0};
    const int ready = poll(&waits, 1, static_cast<int>(left));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) lose_connection("the connection was lost");
  }
}

PGresult* Postgres::answer_to(const char* sql, const std::vector<std::string>& values) {
  need_connection();
  std::vector<const char*> texts;
  for (const std::string& value : values) texts.push_back(value.c_str());
  PGconn* const connection = connection_.get();
  const auto deadline = steady_clock::now() + kLongestStatement;
  if (!PQsendQueryParams(connection, sql, static_cast<int>(texts.size()), nullptr, texts.data(),
                         nullptr, nullptr, 0)) {
    lose_connection(first_line(PQerrorMessage(connection)));
  }
  while (const int unsent = PQflush(connection)) {
    if (unsent < 0) lose_connection(first_line(PQerrorMessage(connection)));
    await_socket(POLLIN | POLLOUT, deadline);
    if (!PQconsumeInput(connection)) lose_connection(first_line(PQerrorMessage(connection)));
  }
  PGresult* first = nullptr;
  while (true) {
    while (PQisBusy(connection)) {
      try {
        await_socket(POLLIN, deadline);
      } catch (const StoreAway&) {
        PQclear(first);
        throw;
      }
      if (!PQconsumeInput(connection)) break;
    }
    PGresult* const result = PQgetResult(connection);
    if (!result) return first;
    if (first) {
      PQclear(result);
    } else {
      first = result;
    }
  }
}

void Postgres::Query::send() {
  result_.reset(database_->answer_to(sql_, values_));
  const ExecStatusType status = PQresultStatus(result_.get());
  if (result_ && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)) return;
  const char* const state = PQresultErrorField(result_.get(), PG_DIAG_SQLSTATE);
  const std::string why = first_line(PQresultErrorMessage(result_.get()));
  if (!result_ || !state || PQstatus(database_->connection_.get()) != CONNECTION_OK) {
    database_->lose_connection(why.empty() ? "the connection was lost" : why);
  }
  if (passes_by_itself(state)) throw StoreAway("the store of jobs: " + why);
  throw Error(ErrorCode::kIo, "the store of jobs: " + why);
}

bool Postgres::Query::next() {
  if (!result_) send();
  return ++row_ < PQntuples(result_.get());
}

int64_t Postgres::Query::run() {
  send();
  return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10);
}

int64_t Postgres::Query::integer(int column) const {
  return std::strtoll(PQgetvalue(result_.get(), row_, column), nullptr, 10);
}

std::string Postgres::Query::text(int column) const {
  return {PQgetvalue(result_.get(), row_, column),
          static_cast<size_t>(PQgetlength(result_.get(), row_, column))};
}

void Postgres::commit() {
  execute("COMMIT");
  in_transaction_ = false;
}

void Postgres::undo() noexcept {
  in_transaction_ = false;
  if (!connection_) return;
  try {
    execute("ROLLBACK");
  } catch (const Error&) {
    connection_.reset();  // which undoes it as well
  }
}

}  // namespace pangu::serve
