#include "serve/postgres_store.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "serve/sql_store.h"

namespace pangu::serve {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr const char* kChannel = "pangu_draw";
constexpr const char* kListen = "LISTEN pangu_draw";
// Whoever makes or changes the tables holds this lock (any number that is always the same).
constexpr const char* kLockTables = "SELECT pg_advisory_xact_lock(7860786078607860)";

// What leads from version N of the tables to N + 1, beginning with none. A released step never
// changes; the next version is the next step. Events are unlogged: they are cheap, and a crash of
// the database loses them but no job. Their numbers go on.
std::vector<std::string> schema_steps() {
  return {schema_of_jobs("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY") + R"(
ALTER TABLE jobs ADD COLUMN lease TIMESTAMPTZ;
CREATE INDEX jobs_by_lease ON jobs (lease) WHERE state = 'running';
CREATE SEQUENCE turn_numbers;
CREATE SEQUENCE event_numbers;
CREATE UNLOGGED TABLE events (
  number BIGINT PRIMARY KEY, job TEXT NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL,
  at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
CREATE INDEX events_by_job ON events (job, number);
CREATE UNLOGGED TABLE processes (
  id TEXT PRIMARY KEY, workers BIGINT NOT NULL, seen TIMESTAMPTZ NOT NULL);
)"};
}

// Statements, one a call: the protocol with values takes no more.
std::vector<std::string> statements_of(const std::string& script) {
  std::vector<std::string> statements;
  size_t begin = 0;
  for (size_t end; (end = script.find(';', begin)) != std::string::npos; begin = end + 1) {
    statements.push_back(script.substr(begin, end - begin));
  }
  return statements;
}

class PostgresStore final : public SqlStore<Postgres, SharedStore> {
 public:
  PostgresStore(const std::string& url, WallMs lease_ms) : SqlStore(url), lease_ms_(lease_ms) {
    auto encoding = db_.query("SELECT current_setting('server_encoding')");
    if (encoding.next() && encoding.text(0) != "UTF8") {
      throw bad_input("queue_url", "a database in UTF8", encoding.text(0));
    }
    make_tables();
    read_clock();
  }

  // Events are numbered by the database, whatever server tells them.
  int64_t count_start() override { return 1; }

  // The database's time, carried on by a clock that nobody sets.
  WallMs now() override {
    const auto since = steady_clock::now() - clock_read_;
    return clock_ms_ + std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  }

  bool add(Job& job, const Idempotency& idempotency) override {
    const bool added = SqlStore::add(job, idempotency);
    if (added) tell("queue");
    return added;
  }

  // The order is drawing_order's (job.h).
  std::optional<Job> claim(WallMs now) override {
    std::optional<std::string> id;
    {
      auto row = db_.query(
          "WITH first AS (SELECT id, jobs.owner FROM jobs LEFT JOIN turns USING (owner) "
          "WHERE state = 'queued' ORDER BY priority DESC, coalesce(turn, -1), number LIMIT 1 "
          "FOR UPDATE OF jobs SKIP LOCKED), "
          "turn AS (INSERT INTO turns SELECT owner, nextval('turn_numbers') FROM first "
          "ON CONFLICT (owner) DO UPDATE SET turn = excluded.turn) "
          "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = $1, "
          "lease = clock_timestamp() + make_interval(secs => $2 / 1000.0) FROM first "
          "WHERE jobs.id = first.id RETURNING jobs.id");
      if (row.bind(now, lease_ms_).next()) id = row.text(0);
    }
    if (!id) return {};
    tell("queue");
    return find(*id);
  }

  // A job that was given up but not yet claimed again is taken back.
  std::optional<Hold> renew(const Job& job) override {
    auto row = db_.query(
        "UPDATE jobs SET state = 'running', lease = clock_timestamp() + make_interval(secs => $3 / "
        "1000.0) "
        "WHERE id = $1 AND attempts = $2 AND state IN ('queued', 'running') "
        "RETURNING cancel_asked");
    if (!row.bind(job.id, job.attempts, lease_ms_).next()) return {};
    return Hold{row.integer(0) != 0};
  }

  std::vector<Job> take_lost() override {
    std::vector<std::string> ids;
    {
      auto row = db_.query(
          "UPDATE jobs SET lease = clock_timestamp() + make_interval(secs => $1 / 1000.0) WHERE id "
          "IN "
          "(SELECT id FROM jobs WHERE state = 'running' AND lease < clock_timestamp() "
          "AND pg_postmaster_start_time() + make_interval(secs => $1 / 1000.0) < clock_timestamp() "
          "ORDER BY number LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id");
      row.bind(lease_ms_);
      while (row.next()) ids.push_back(row.text(0));
    }
    std::vector<Job> lost;
    for (const std::string& id : ids) {
      if (auto job = find(id)) lost.push_back(*std::move(job));
    }
    return lost;
  }

  bool release(const Job& job) override {
    const bool released = SqlStore::release(job);
    if (released) tell("queue");
    return released;
  }

  bool finish(const Job& job) override {
    const bool finished = SqlStore::finish(job);
    if (finished) tell("queue");
    return finished;
  }

  void ask_cancel(const std::string& id) override {
    SqlStore::ask_cancel(id);
    tell("cancel " + id);
  }

  void publish(const std::string& job, const std::string& name, const json& data) override {
    db_.query(
           "WITH outdated AS (DELETE FROM events WHERE job = $1 AND name = 'preview' "
           "AND $2 = 'preview'), added AS (INSERT INTO events (number, job, name, data) "
           "VALUES (nextval('event_numbers'), $1, $2, $3) RETURNING number) "
           "SELECT pg_notify($4, 'event ' || $1) FROM added")
        .bind(job, name, dumped(data), kChannel)
        .run();
  }

  std::deque<Event> since(const std::string& job, int64_t number) override {
    std::deque<Event> events;
    auto row = db_.query(
        "SELECT number, name, data FROM events WHERE job = $1 AND number > $2 ORDER BY number");
    row.bind(job, number);
    while (row.next()) {
      events.push_back({row.integer(0), row.text(1), parsed_json(row.text(2))});
    }
    return events;
  }

  std::optional<Event> last_of(const std::string& job, const std::string& name) override {
    auto row = db_.query(
        "SELECT number, name, data FROM events WHERE job = $1 AND name = $2 "
        "ORDER BY number DESC LIMIT 1");
    if (!row.bind(job, name).next()) return {};
    return Event{row.integer(0), row.text(1), parsed_json(row.text(2))};
  }

  // Of what was committed: a number that was only drawn may still appear.
  int64_t last_number(const std::string& job) override {
    auto row = db_.query("SELECT coalesce(max(number), 0) FROM events WHERE job = $1");
    row.bind(job).next();
    return row.integer(0);
  }

  void tidy() override {
    constexpr WallMs kKeptMs = 60 * 1000;
    db_.query(
           "DELETE FROM events WHERE at < clock_timestamp() - interval '60 s' AND NOT EXISTS "
           "(SELECT 1 FROM jobs WHERE jobs.id = events.job "
           "AND (state IN ('queued', 'running') OR finished > $1))")
        .bind(now() - kKeptMs)
        .run();
    db_.execute("DELETE FROM processes WHERE seen < clock_timestamp() - interval '1 hour'");
  }

  void say_alive(const std::string& process, int64_t workers) override {
    db_.query(
           "INSERT INTO processes VALUES ($1, $2, clock_timestamp()) ON CONFLICT (id) "
           "DO UPDATE SET workers = excluded.workers, seen = excluded.seen")
        .bind(process, workers)
        .run();
    read_clock();
  }

  int64_t worker_count() override {
    auto row = db_.query(
        "SELECT coalesce(sum(workers), 0) FROM processes "
        "WHERE seen > clock_timestamp() - make_interval(secs => $1 / 1000.0)");
    row.bind(lease_ms_).next();
    return row.integer(0);
  }

 private:
  void make_tables() {
    db_.in_transaction([&] {
      db_.execute(kLockTables);
      db_.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BIGINT NOT NULL)");
      int64_t found = 0;
      {
        auto row = db_.query("SELECT value FROM meta WHERE key = 'schema'");
        if (row.next()) found = row.integer(0);
      }
      const std::vector<std::string> steps = schema_steps();
      const auto ours = static_cast<int64_t>(steps.size());
      check_version(found, ours);
      for (int64_t step = found; step < ours; ++step) {
        for (const std::string& statement : statements_of(steps[static_cast<size_t>(step)])) {
          db_.execute(statement.c_str());
        }
      }
      if (found == ours) return;
      db_.query(
             "INSERT INTO meta VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET "
             "value = excluded.value")
          .bind(ours)
          .run();
    });
  }

  void read_clock() {
    auto row = db_.query("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)");
    row.next();
    clock_ms_ = row.integer(0);
    clock_read_ = steady_clock::now();
  }

  // A signal that is lost costs time only: everyone also looks by himself every few seconds.
  void tell(const std::string& what) {
    try {
      db_.query("SELECT pg_notify($1, $2)").bind(kChannel, what).run();
    } catch (const Error&) {
      return;
    }
  }

  WallMs lease_ms_;
  WallMs clock_ms_ = 0;
  steady_clock::time_point clock_read_;
};

Signal signal_of(std::string_view text) {
  const auto job_behind = [&](std::string_view word) {
    return std::string(text.substr(word.size()));
  };
  constexpr std::string_view kEvent = "event ", kCancel = "cancel ";
  if (text.starts_with(kEvent)) return {Signal::Kind::kEvent, job_behind(kEvent)};
  if (text.starts_with(kCancel)) return {Signal::Kind::kCancel, job_behind(kCancel)};
  return {};
}

}  // namespace

std::unique_ptr<SharedStore> open_postgres_store(const std::string& url, WallMs lease_ms) {
  return std::make_unique<PostgresStore>(url, lease_ms);
}

bool PostgresSignals::connect() {
  if (connection_) return false;
  PostgresConnection made = pause_.connect(url_);
  PGresult* const answer = PQexec(made.get(), kListen);
  const bool listens = PQresultStatus(answer) == PGRES_COMMAND_OK;
  PQclear(answer);
  if (!listens) throw StoreAway("the store of jobs: cannot listen");
  connection_ = std::move(made);
  return true;
}

int PostgresSignals::file() const { return connection_ ? PQsocket(connection_.get()) : -1; }

std::vector<Signal> PostgresSignals::take() {
  std::vector<Signal> signals;
  if (!connection_) return signals;
  if (!PQconsumeInput(connection_.get())) {
    connection_.reset();
    throw StoreAway("the store of jobs: the connection for signals was lost");
  }
  while (PGnotify* const told = PQnotifies(connection_.get())) {
    signals.push_back(signal_of(told->extra));
    PQfreemem(told);
  }
  return signals;
}

}  // namespace pangu::serve
