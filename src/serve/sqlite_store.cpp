// JobStore over SQLite. A function is one transaction at most, so that a death of the process
// leaves it done or not begun.
#include <set>
#include <utility>

#include "core/error.h"
#include "serve/job_store.h"
#include "serve/sqlite.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr int64_t kSchemaVersion = 1;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
  kind TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
  cancel_asked INTEGER NOT NULL DEFAULT 0, spec TEXT NOT NULL, resolved TEXT NOT NULL,
  warnings TEXT NOT NULL, seconds TEXT NOT NULL, error TEXT NOT NULL, created INTEGER NOT NULL,
  started INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0,
  expires INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS jobs_by_expiry ON jobs (expires) WHERE expires > 0;
CREATE TABLE IF NOT EXISTS job_pictures (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, position INTEGER NOT NULL,
  picture TEXT NOT NULL, seed TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  PRIMARY KEY (job, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_pictures_by_picture ON job_pictures (picture);
CREATE TABLE IF NOT EXISTS job_inputs (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, picture TEXT NOT NULL,
  PRIMARY KEY (job, picture)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_inputs_by_picture ON job_inputs (picture);
CREATE TABLE IF NOT EXISTS uploads (
  picture TEXT NOT NULL, owner TEXT NOT NULL, expires INTEGER NOT NULL,
  PRIMARY KEY (picture, owner)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
  id TEXT PRIMARY KEY, content_type TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  bytes INTEGER NOT NULL, used INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pictures_by_use ON pictures (removed, used);
CREATE TABLE IF NOT EXISTS requests (
  owner TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, PRIMARY KEY (owner, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_job ON requests (job);
CREATE TABLE IF NOT EXISTS gone (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (
  owner TEXT PRIMARY KEY, turn INTEGER NOT NULL) WITHOUT ROWID;
)";

constexpr const char* kJobColumns =
    "number, id, owner, kind, state, priority, attempts, deaths, cancel_asked, spec, resolved, "
    "warnings, seconds, error, created, started, finished, expires";

// Texts of this process alone were written, so that a store that does not parse is damaged.
json parsed_json(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) throw Error(ErrorCode::kIo, "the store of jobs: a job is damaged");
  return value;
}

std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Job job_of_row(const Sqlite::Query& row) {
  Job job;
  job.number = row.integer(0);
  job.id = row.text(1);
  job.owner = row.text(2);
  job.kind = row.text(3);
  job.state = job_state_of(row.text(4)).value_or(JobState::kFailed);
  job.priority = static_cast<int>(row.integer(5));
  job.attempts = static_cast<int>(row.integer(6));
  job.deaths = static_cast<int>(row.integer(7));
  job.cancel_asked = row.integer(8) != 0;
  job.spec = parsed_json(row.text(9));
  job.resolved = parsed_json(row.text(10));
  job.warnings = parsed_json(row.text(11));
  job.seconds = parsed_json(row.text(12));
  job.error = parsed_json(row.text(13));
  job.created = row.integer(14);
  job.started = row.integer(15);
  job.finished = row.integer(16);
  job.expires = row.integer(17);
  return job;
}

StoredPicture picture_of_row(const Sqlite::Query& row) {
  return {row.text(0),
          row.text(1),
          static_cast<int>(row.integer(2)),
          static_cast<int>(row.integer(3)),
          row.integer(4),
          row.integer(5),
          row.integer(6) != 0};
}

class SqliteStore final : public JobStore {
 public:
  explicit SqliteStore(const std::string& path) : db_(path) {
    db_.execute(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        "PRAGMA temp_store=MEMORY");
    db_.in_transaction([&] {
      db_.execute(kSchema);
      db_.query("INSERT OR IGNORE INTO meta VALUES ('schema', ?)").bind(kSchemaVersion).run();
      auto version = db_.query("SELECT value FROM meta WHERE key = 'schema'");
      if (version.next() && version.integer(0) > kSchemaVersion) {
        throw Error(ErrorCode::kIo, "the store of jobs: expected schema " +
                                        std::to_string(kSchemaVersion) + ", found " +
                                        std::to_string(version.integer(0)) +
                                        ". Hint: a newer version of the program wrote it");
      }
    });
  }

  int64_t count_start() override {
    return db_.in_transaction([&] {
      db_.query(
             "INSERT INTO meta VALUES ('starts', 1) ON CONFLICT (key) DO UPDATE SET "
             "value = value + 1")
          .run();
      auto row = db_.query("SELECT value FROM meta WHERE key = 'starts'");
      row.next();
      return row.integer(0);
    });
  }

  void add(Job& job, const Idempotency& idempotency) override {
    db_.in_transaction([&] {
      db_.query(
             "INSERT INTO jobs (id, owner, kind, state, priority, spec, resolved, warnings, "
             "seconds, error, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
          .bind(job.id, job.owner, job.kind, name_of(job.state), job.priority, dumped(job.spec),
                dumped(job.resolved), dumped(job.warnings), dumped(job.seconds), dumped(job.error),
                job.created)
          .run();
      job.number = db_.last_id();
      if (job.spec.contains("inputs")) {
        for (const json& input : job.spec["inputs"]) {
          db_.query("INSERT OR IGNORE INTO job_inputs VALUES (?, ?)")
              .bind(job.id, input.get<std::string>())
              .run();
        }
      }
      if (!idempotency.key.empty()) {
        db_.query("INSERT INTO requests VALUES (?, ?, ?, ?)")
            .bind(job.owner, idempotency.key, idempotency.body_hash, job.id)
            .run();
      }
    });
  }

  std::optional<KnownRequest> known_request(const std::string& owner,
                                            const std::string& key) override {
    auto row = db_.query("SELECT job, body_hash FROM requests WHERE owner = ? AND key = ?");
    if (!row.bind(owner, key).next()) return {};
    return KnownRequest{row.text(0), row.text(1)};
  }

  std::optional<Job> find(const std::string& id) override {
    static const std::string sql = std::string("SELECT ") + kJobColumns + " FROM jobs WHERE id = ?";
    auto row = db_.query(sql.c_str());
    if (!row.bind(id).next()) return {};
    Job job = job_of_row(row);
    read_pictures(job);
    return job;
  }

  bool is_gone(const std::string& id, const std::string& owner) override {
    auto row = db_.query("SELECT 1 FROM gone WHERE id = ?1 AND (?2 = '' OR owner = ?2)");
    return row.bind(id, owner).next();
  }

  std::vector<Job> list(const JobFilter& filter) override {
    static const std::string sql =
        std::string("SELECT ") + kJobColumns +
        " FROM jobs WHERE (?1 = '' OR owner = ?1) AND (?2 = 0 OR number < ?2) "
        "AND (?3 = '' OR instr(?3, ',' || state || ',') > 0) ORDER BY number DESC LIMIT ?4";
    std::string states;
    for (const JobState state : filter.states) states += std::string(",") + name_of(state) + ",";
    std::vector<Job> jobs;
    {
      auto row = db_.query(sql.c_str());
      row.bind(filter.owner, filter.before, states, filter.limit);
      while (row.next()) jobs.push_back(job_of_row(row));
    }
    for (Job& job : jobs) read_pictures(job);
    return jobs;
  }

  std::vector<Waiting> waiting() override {
    std::vector<Waiting> queued;
    auto row = db_.query("SELECT id, owner, priority, number FROM jobs WHERE state = 'queued'");
    while (row.next()) {
      queued.push_back(
          {row.text(0), row.text(1), static_cast<int>(row.integer(2)), row.integer(3)});
    }
    Turns turns;
    auto turn = db_.query("SELECT owner, turn FROM turns");
    while (turn.next()) turns[turn.text(0)] = turn.integer(1);
    return drawing_order(std::move(queued), turns);
  }

  int64_t count(JobState state) override {
    auto row = db_.query("SELECT count(*) FROM jobs WHERE state = ?");
    row.bind(name_of(state)).next();
    return row.integer(0);
  }

  std::optional<Job> claim(WallMs now) override {
    const auto id = db_.in_transaction([&]() -> std::optional<std::string> {
      const std::vector<Waiting> order = waiting();
      if (order.empty()) return {};
      const Waiting& first = order.front();
      db_.query(
             "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? "
             "WHERE id = ?")
          .bind(now, first.id)
          .run();
      db_.query(
             "INSERT INTO turns SELECT ?1, coalesce(max(turn), 0) + 1 FROM turns WHERE true "
             "ON CONFLICT (owner) DO UPDATE SET turn = excluded.turn")
          .bind(first.owner)
          .run();
      return first.id;
    });
    return id ? find(*id) : std::nullopt;
  }

  void release(const std::string& id, int deaths) override {
    db_.query("UPDATE jobs SET state = 'queued', deaths = ? WHERE id = ? AND state = 'running'")
        .bind(deaths, id)
        .run();
  }

  int64_t release_all() override {
    db_.query("UPDATE jobs SET state = 'queued' WHERE state = 'running'").run();
    return db_.changes();
  }

  void ask_cancel(const std::string& id) override {
    db_.query("UPDATE jobs SET cancel_asked = 1 WHERE id = ?").bind(id).run();
  }

  void set_resolved(const std::string& id, const json& resolved) override {
    db_.query("UPDATE jobs SET resolved = ? WHERE id = ?").bind(dumped(resolved), id).run();
  }

  void add_warning(const std::string& id, const std::string& message) override {
    const auto job = find(id);
    if (!job) return;
    json warnings = job->warnings;
    warnings.push_back(message);
    db_.query("UPDATE jobs SET warnings = ? WHERE id = ?").bind(dumped(warnings), id).run();
  }

  void add_picture(const std::string& id, const JobPicture& picture,
                   const StoredPicture& stored) override {
    db_.in_transaction([&] {
      keep(stored);
      db_.query("INSERT OR REPLACE INTO job_pictures VALUES (?, ?, ?, ?, ?, ?)")
          .bind(id, picture.index, picture.id, std::to_string(picture.seed), picture.width,
                picture.height)
          .run();
    });
  }

  void finish(const Job& job) override {
    db_.query(
           "UPDATE jobs SET state = ?, error = ?, seconds = ?, finished = ?, expires = ?, "
           "deaths = ? WHERE id = ?")
        .bind(name_of(job.state), dumped(job.error), dumped(job.seconds), job.finished, job.expires,
              job.deaths, job.id)
        .run();
  }

  int64_t expire(WallMs now, WallMs memory_ms) override {
    return db_.in_transaction([&] {
      db_.query(
             "INSERT OR REPLACE INTO gone SELECT id, owner, ?1 FROM jobs "
             "WHERE expires > 0 AND expires <= ?1")
          .bind(now)
          .run();
      db_.query("DELETE FROM jobs WHERE expires > 0 AND expires <= ?").bind(now).run();
      const int64_t count = db_.changes();
      db_.query("DELETE FROM gone WHERE since < ?").bind(now - memory_ms).run();
      db_.query("DELETE FROM uploads WHERE expires <= ?").bind(now).run();
      return count;
    });
  }

  void forget(const std::string& id, WallMs now) override {
    db_.in_transaction([&] {
      db_.query("INSERT OR REPLACE INTO gone SELECT id, owner, ? FROM jobs WHERE id = ?")
          .bind(now, id)
          .run();
      db_.query("DELETE FROM jobs WHERE id = ?").bind(id).run();
    });
  }

  void add_upload(const std::string& owner, const StoredPicture& stored, WallMs expires) override {
    db_.in_transaction([&] {
      keep(stored);
      db_.query("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)")
          .bind(stored.id, owner, expires)
          .run();
    });
  }

  std::optional<StoredPicture> find_picture(const std::string& id) override {
    auto row = db_.query(
        "SELECT id, content_type, width, height, bytes, used, removed FROM pictures WHERE id = ?");
    if (!row.bind(id).next()) return {};
    return picture_of_row(row);
  }

  bool may_see(const std::string& owner, const std::string& picture_id) override {
    auto row = db_.query(
        "SELECT 1 FROM uploads WHERE picture = ?1 AND owner = ?2 UNION ALL "
        "SELECT 1 FROM job_pictures JOIN jobs ON jobs.id = job_pictures.job "
        "WHERE picture = ?1 AND owner = ?2 UNION ALL "
        "SELECT 1 FROM job_inputs JOIN jobs ON jobs.id = job_inputs.job "
        "WHERE picture = ?1 AND owner = ?2");
    return row.bind(picture_id, owner).next();
  }

  int64_t picture_bytes() override {
    auto row = db_.query("SELECT coalesce(sum(bytes), 0) FROM pictures WHERE removed = 0");
    row.next();
    return row.integer(0);
  }

  std::vector<StoredPicture> take_orphans(WallMs now, int limit) override {
    return db_.in_transaction([&] {
      std::vector<StoredPicture> orphans;
      {
        auto row = db_.query(
            "SELECT id, content_type, width, height, bytes, used, removed FROM pictures "
            "WHERE NOT EXISTS (SELECT 1 FROM job_pictures WHERE picture = pictures.id) "
            "AND NOT EXISTS (SELECT 1 FROM job_inputs WHERE picture = pictures.id) "
            "AND NOT EXISTS (SELECT 1 FROM uploads WHERE picture = pictures.id AND expires > ?) "
            "LIMIT ?");
        row.bind(now, limit);
        while (row.next()) orphans.push_back(picture_of_row(row));
      }
      for (const StoredPicture& orphan : orphans) {
        db_.query("DELETE FROM pictures WHERE id = ?").bind(orphan.id).run();
      }
      return orphans;
    });
  }

  std::vector<StoredPicture> remove_oldest(int64_t bytes) override {
    return db_.in_transaction([&] {
      std::vector<StoredPicture> removed;
      {
        auto row = db_.query(
            "SELECT id, content_type, width, height, bytes, used, removed FROM pictures "
            "WHERE removed = 0 AND NOT EXISTS (SELECT 1 FROM job_inputs JOIN jobs "
            "ON jobs.id = job_inputs.job WHERE picture = pictures.id "
            "AND state IN ('queued', 'running')) ORDER BY used, id");
        while (bytes > 0 && row.next()) {
          removed.push_back(picture_of_row(row));
          bytes -= removed.back().bytes;
        }
      }
      for (StoredPicture& one : removed) {
        db_.query("UPDATE pictures SET removed = 1 WHERE id = ?").bind(one.id).run();
        one.removed = true;
      }
      return removed;
    });
  }

 private:
  void keep(const StoredPicture& stored) {
    db_.query(
           "INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET "
           "used = excluded.used, removed = 0")
        .bind(stored.id, stored.content_type, stored.width, stored.height, stored.bytes,
              stored.used)
        .run();
  }

  void read_pictures(Job& job) {
    auto row = db_.query(
        "SELECT position, picture, seed, job_pictures.width, job_pictures.height, "
        "coalesce(removed, 1) FROM job_pictures LEFT JOIN pictures ON pictures.id = picture "
        "WHERE job = ? ORDER BY position");
    row.bind(job.id);
    while (row.next()) {
      job.pictures.push_back({static_cast<int>(row.integer(0)), row.text(1),
                              std::stoull(row.text(2)), static_cast<int>(row.integer(3)),
                              static_cast<int>(row.integer(4)), row.integer(5) != 0});
    }
  }

  Sqlite db_;
};

}  // namespace

std::unique_ptr<JobStore> open_sqlite_store(const std::string& path) {
  return std::make_unique<SqliteStore>(path);
}

}  // namespace pangu::serve
