// JobStore in the SQL that SQLite and PostgreSQL share, for their stores alone. A function is one
// statement or one transaction, so that a death of the process leaves it done or not begun.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "serve/job_store.h"

namespace pangu::serve {

inline constexpr const char* kJobColumns =
    "number, id, owner, kind, state, priority, attempts, deaths, cancel_asked, spec, resolved, "
    "warnings, seconds, error, created, started, finished, expires";

// Texts of this process alone were written, so that a store that does not parse is damaged.
inline nlohmann::json parsed_json(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) throw Error(ErrorCode::kIo, "the store of jobs: a job is damaged");
  return value;
}

inline std::string dumped(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class Row>
Job job_of_row(const Row& row) {
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

template <class Row>
StoredPicture picture_of_row(const Row& row) {
  return {row.text(0),
          row.text(1),
          static_cast<int>(row.integer(2)),
          static_cast<int>(row.integer(3)),
          row.integer(4),
          row.integer(5),
          row.integer(6) != 0};
}

// Tables of both; `number` of jobs is each database's own way to count.
inline std::string schema_of_jobs(const std::string& counted) {
  return "CREATE TABLE IF NOT EXISTS jobs (number " + counted + R"(,
  id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
  kind TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
  cancel_asked INTEGER NOT NULL DEFAULT 0, spec TEXT NOT NULL, resolved TEXT NOT NULL,
  warnings TEXT NOT NULL, seconds TEXT NOT NULL, error TEXT NOT NULL, created BIGINT NOT NULL,
  started BIGINT NOT NULL DEFAULT 0, finished BIGINT NOT NULL DEFAULT 0,
  expires BIGINT NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS jobs_by_expiry ON jobs (expires) WHERE expires > 0;
CREATE TABLE IF NOT EXISTS job_pictures (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, position INTEGER NOT NULL,
  picture TEXT NOT NULL, seed TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  PRIMARY KEY (job, position));
CREATE INDEX IF NOT EXISTS job_pictures_by_picture ON job_pictures (picture);
CREATE TABLE IF NOT EXISTS job_inputs (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, picture TEXT NOT NULL,
  PRIMARY KEY (job, picture));
CREATE INDEX IF NOT EXISTS job_inputs_by_picture ON job_inputs (picture);
CREATE TABLE IF NOT EXISTS uploads (
  picture TEXT NOT NULL, owner TEXT NOT NULL, expires BIGINT NOT NULL,
  PRIMARY KEY (picture, owner));
CREATE TABLE IF NOT EXISTS pictures (
  id TEXT PRIMARY KEY, content_type TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  bytes BIGINT NOT NULL, used BIGINT NOT NULL, removed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS pictures_by_use ON pictures (removed, used);
CREATE TABLE IF NOT EXISTS requests (
  owner TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, PRIMARY KEY (owner, key));
CREATE INDEX IF NOT EXISTS requests_by_job ON requests (job);
CREATE TABLE IF NOT EXISTS gone (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, since BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS turns (
  owner TEXT PRIMARY KEY, turn BIGINT NOT NULL);
)";
}

// Db: Sqlite or Postgres. What the databases do in their own ways is the derived store's: the
// schema, claim, renew and take_lost. Base: JobStore, or what derives from it.
template <class Db, class Base = JobStore>
class SqlStore : public Base {
 public:
  explicit SqlStore(const std::string& address) : db_(address) {}

  bool add(Job& job, const Idempotency& idempotency) override {
    struct WasKnown {};
    try {
      db_.in_transaction([&] {
        add_row(job);
        for (const auto& input : job.spec.value("inputs", nlohmann::json::array())) {
          db_.query("INSERT INTO job_inputs VALUES ($1, $2) ON CONFLICT DO NOTHING")
              .bind(job.id, input.template get<std::string>())
              .run();
        }
        if (idempotency.key.empty()) return;
        const int64_t added =
            db_.query("INSERT INTO requests VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                .bind(job.owner, idempotency.key, idempotency.body_hash, job.id)
                .run();
        if (added == 0) throw WasKnown();
      });
    } catch (const WasKnown&) {
      return false;
    }
    return true;
  }

  std::optional<KnownRequest> known_request(const std::string& owner,
                                            const std::string& key) override {
    auto row = db_.query("SELECT job, body_hash FROM requests WHERE owner = $1 AND key = $2");
    if (!row.bind(owner, key).next()) return {};
    return KnownRequest{row.text(0), row.text(1)};
  }

  std::optional<Job> find(const std::string& id) override {
    static const std::string sql =
        std::string("SELECT ") + kJobColumns + " FROM jobs WHERE id = $1";
    std::optional<Job> job;
    {
      auto row = db_.query(sql.c_str());
      if (!row.bind(id).next()) return {};
      job = job_of_row(row);
    }
    read_pictures(*job);
    return job;
  }

  bool is_gone(const std::string& id, const std::string& owner) override {
    auto row = db_.query("SELECT 1 FROM gone WHERE id = $1 AND ($2 = '' OR owner = $2)");
    return row.bind(id, owner).next();
  }

  std::vector<Job> list(const JobFilter& filter) override {
    static const std::string sql =
        std::string("SELECT ") + kJobColumns +
        " FROM jobs WHERE ($1 = '' OR owner = $1) AND (CAST($2 AS bigint) = 0 OR number < "
        "CAST($2 AS bigint)) AND ($3 = '' OR $3 LIKE '%,' || state || ',%') "
        "ORDER BY number DESC LIMIT $4";
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
    auto row = db_.query("SELECT count(*) FROM jobs WHERE state = $1");
    row.bind(name_of(state)).next();
    return row.integer(0);
  }

  bool release(const Job& job) override {
    return db_.query(
                  "UPDATE jobs SET state = 'queued', deaths = $3 "
                  "WHERE id = $1 AND attempts = $2 AND state = 'running'")
               .bind(job.id, job.attempts, job.deaths)
               .run() > 0;
  }

  void ask_cancel(const std::string& id) override {
    db_.query("UPDATE jobs SET cancel_asked = 1 WHERE id = $1").bind(id).run();
  }

  bool keep_told(const Job& job) override {
    return db_.query(
                  "UPDATE jobs SET resolved = $3, warnings = $4 "
                  "WHERE id = $1 AND attempts = $2 AND state IN ('queued', 'running')")
               .bind(job.id, job.attempts, dumped(job.resolved), dumped(job.warnings))
               .run() > 0;
  }

  bool add_picture(const Job& job, const JobPicture& picture,
                   const StoredPicture& stored) override {
    return db_.in_transaction([&] {
      // Writing the row keeps others from claiming it until the end of the transaction.
      const int64_t held = db_.query(
                                  "UPDATE jobs SET attempts = attempts "
                                  "WHERE id = $1 AND attempts = $2 AND state IN ('queued', "
                                  "'running')")
                               .bind(job.id, job.attempts)
                               .run();
      if (held == 0) return false;
      keep(stored);
      db_.query(
             "INSERT INTO job_pictures VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job, position) "
             "DO UPDATE SET picture = excluded.picture, seed = excluded.seed, "
             "width = excluded.width, height = excluded.height")
          .bind(job.id, picture.index, picture.id, std::to_string(picture.seed), picture.width,
                picture.height)
          .run();
      return true;
    });
  }

  bool finish(const Job& job) override {
    return db_.query(
                  "UPDATE jobs SET state = $3, error = $4, seconds = $5, finished = $6, "
                  "expires = $7, deaths = $8 "
                  "WHERE id = $1 AND attempts = $2 AND state IN ('queued', 'running')")
               .bind(job.id, job.attempts, name_of(job.state), dumped(job.error),
                     dumped(job.seconds), job.finished, job.expires, job.deaths)
               .run() > 0;
  }

  int64_t expire(WallMs now, WallMs memory_ms) override {
    return db_.in_transaction([&] {
      db_.query(
             "INSERT INTO gone SELECT id, owner, CAST($1 AS bigint) FROM jobs WHERE expires > 0 "
             "AND expires <= $1 ON CONFLICT (id) DO UPDATE SET since = excluded.since")
          .bind(now)
          .run();
      const int64_t count =
          db_.query("DELETE FROM jobs WHERE expires > 0 AND expires <= $1").bind(now).run();
      db_.query("DELETE FROM gone WHERE since < $1").bind(now - memory_ms).run();
      db_.query("DELETE FROM uploads WHERE expires <= $1").bind(now).run();
      return count;
    });
  }

  void forget(const std::string& id, WallMs now) override {
    db_.in_transaction([&] {
      db_.query(
             "INSERT INTO gone SELECT id, owner, CAST($2 AS bigint) FROM jobs WHERE id = $1 "
             "ON CONFLICT (id) DO UPDATE SET since = excluded.since")
          .bind(id, now)
          .run();
      db_.query("DELETE FROM jobs WHERE id = $1").bind(id).run();
    });
  }

  void add_upload(const std::string& owner, const StoredPicture& stored, WallMs expires) override {
    db_.in_transaction([&] {
      keep(stored);
      db_.query(
             "INSERT INTO uploads VALUES ($1, $2, $3) ON CONFLICT (picture, owner) "
             "DO UPDATE SET expires = excluded.expires")
          .bind(stored.id, owner, expires)
          .run();
    });
  }

  std::optional<StoredPicture> find_picture(const std::string& id) override {
    auto row = db_.query(
        "SELECT id, content_type, width, height, bytes, used, removed FROM pictures "
        "WHERE id = $1");
    if (!row.bind(id).next()) return {};
    return picture_of_row(row);
  }

  bool may_see(const std::string& owner, const std::string& picture_id) override {
    auto row = db_.query(
        "SELECT 1 FROM uploads WHERE picture = $1 AND owner = $2 UNION ALL "
        "SELECT 1 FROM job_pictures JOIN jobs ON jobs.id = job_pictures.job "
        "WHERE picture = $1 AND owner = $2 UNION ALL "
        "SELECT 1 FROM job_inputs JOIN jobs ON jobs.id = job_inputs.job "
        "WHERE picture = $1 AND owner = $2");
    return row.bind(picture_id, owner).next();
  }

  int64_t picture_bytes() override {
    auto row = db_.query("SELECT coalesce(sum(bytes), 0) FROM pictures WHERE removed = 0");
    row.next();
    return row.integer(0);
  }

  std::vector<StoredPicture> take_orphans(WallMs now, int limit) override {
    std::vector<StoredPicture> orphans;
    auto row = db_.query(
        "DELETE FROM pictures WHERE id IN (SELECT id FROM pictures "
        "WHERE NOT EXISTS (SELECT 1 FROM job_pictures WHERE picture = pictures.id) "
        "AND NOT EXISTS (SELECT 1 FROM job_inputs WHERE picture = pictures.id) "
        "AND NOT EXISTS (SELECT 1 FROM uploads WHERE picture = pictures.id AND expires > $1) "
        "LIMIT $2) RETURNING id, content_type, width, height, bytes, used, removed");
    row.bind(now, limit);
    while (row.next()) orphans.push_back(picture_of_row(row));
    return orphans;
  }

  std::vector<StoredPicture> remove_oldest(int64_t bytes) override {
    return db_.in_transaction([&] {
      std::vector<StoredPicture> oldest, removed;
      {
        auto row = db_.query(
            "SELECT id, content_type, width, height, bytes, used, removed FROM pictures "
            "WHERE removed = 0 AND NOT EXISTS (SELECT 1 FROM job_inputs JOIN jobs "
            "ON jobs.id = job_inputs.job WHERE picture = pictures.id "
            "AND state IN ('queued', 'running')) ORDER BY used, id LIMIT 10000");
        while (bytes > 0 && row.next()) {
          oldest.push_back(picture_of_row(row));
          bytes -= oldest.back().bytes;
        }
      }
      for (StoredPicture& one : oldest) {
        // Another server may have removed it at the same time.
        if (db_.query("UPDATE pictures SET removed = 1 WHERE id = $1 AND removed = 0")
                .bind(one.id)
                .run() == 0) {
          continue;
        }
        one.removed = true;
        removed.push_back(one);
      }
      return removed;
    });
  }

 protected:
  // Error kIo if a newer version of the program wrote the store.
  void check_version(int64_t found, int64_t ours) {
    if (found <= ours) return;
    throw Error(ErrorCode::kIo, "the store of jobs: expected schema " + std::to_string(ours) +
                                    ", found " + std::to_string(found) +
                                    ". Hint: a newer version of the program wrote it");
  }

  Db db_;

 private:
  void add_row(Job& job) {
    auto row = db_.query(
        "INSERT INTO jobs (id, owner, kind, state, priority, spec, resolved, warnings, seconds, "
        "error, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING number");
    row.bind(job.id, job.owner, job.kind, name_of(job.state), job.priority, dumped(job.spec),
             dumped(job.resolved), dumped(job.warnings), dumped(job.seconds), dumped(job.error),
             job.created);
    row.next();
    job.number = row.integer(0);
  }

  void keep(const StoredPicture& stored) {
    db_.query(
           "INSERT INTO pictures VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (id) DO UPDATE "
           "SET used = excluded.used, removed = 0")
        .bind(stored.id, stored.content_type, stored.width, stored.height, stored.bytes,
              stored.used)
        .run();
  }

  void read_pictures(Job& job) {
    auto row = db_.query(
        "SELECT position, picture, seed, job_pictures.width, job_pictures.height, "
        "coalesce(removed, 1) FROM job_pictures LEFT JOIN pictures ON pictures.id = picture "
        "WHERE job = $1 ORDER BY position");
    row.bind(job.id);
    while (row.next()) {
      job.pictures.push_back({static_cast<int>(row.integer(0)), row.text(1),
                              std::stoull(row.text(2)), static_cast<int>(row.integer(3)),
                              static_cast<int>(row.integer(4)), row.integer(5) != 0});
    }
  }
};

}  // namespace pangu::serve
