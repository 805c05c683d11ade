// JobStore over SQLite: what sql_store.h leaves to the database. One server has the file alone, so
// that jobs are lost by its death only.
#include <utility>

#include "serve/sql_store.h"
#include "serve/sqlite.h"
#include "serve/times.h"

namespace pangu::serve {
namespace {

constexpr int64_t kSchemaVersion = 1;

class SqliteStore final : public SqlStore<Sqlite> {
 public:
  explicit SqliteStore(const std::string& path) : SqlStore(path) {
    db_.execute(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        "PRAGMA temp_store=MEMORY");
    db_.in_transaction([&] {
      db_.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)");
      db_.execute(schema_of_jobs("INTEGER PRIMARY KEY AUTOINCREMENT").c_str());
      db_.query("INSERT INTO meta VALUES ('schema', $1) ON CONFLICT DO NOTHING")
          .bind(kSchemaVersion)
          .run();
      auto version = db_.query("SELECT value FROM meta WHERE key = 'schema'");
      if (version.next()) check_version(version.integer(0), kSchemaVersion);
    });
  }

  int64_t count_start() override {
    auto row = db_.query(
        "INSERT INTO meta VALUES ('starts', 1) ON CONFLICT (key) DO UPDATE SET "
        "value = value + 1 RETURNING value");
    row.next();
    return row.integer(0);
  }

  WallMs now() override { return system_clock().wall_ms(); }

  std::optional<Job> claim(WallMs now) override {
    const auto id = db_.in_transaction([&]() -> std::optional<std::string> {
      const std::vector<Waiting> order = waiting();
      if (order.empty()) return {};
      const Waiting& first = order.front();
      db_.query(
             "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = $2 "
             "WHERE id = $1")
          .bind(first.id, now)
          .run();
      db_.query(
             "INSERT INTO turns SELECT $1, coalesce(max(turn), 0) + 1 FROM turns WHERE true "
             "ON CONFLICT (owner) DO UPDATE SET turn = excluded.turn")
          .bind(first.owner)
          .run();
      return first.id;
    });
    return id ? find(*id) : std::nullopt;
  }

  std::optional<Hold> renew(const Job& job) override {
    auto row = db_.query(
        "SELECT cancel_asked FROM jobs WHERE id = $1 AND attempts = $2 AND state = 'running'");
    if (!row.bind(job.id, job.attempts).next()) return {};
    return Hold{row.integer(0) != 0};
  }

  // Those that ran when the last server died.
  std::vector<Job> take_lost() override {
    if (std::exchange(has_taken_, true)) return {};
    return list({.states = {JobState::kRunning}, .limit = 1 << 20});
  }

 private:
  bool has_taken_ = false;
};

}  // namespace

std::unique_ptr<JobStore> open_sqlite_store(const std::string& path) {
  return std::make_unique<SqliteStore>(path);
}

}  // namespace pangu::serve
