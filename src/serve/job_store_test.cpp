// The contract of every JobStore, over SQLite, and over PostgreSQL where the environment names one
// (tests/e2e/with_services.py does).
#include "serve/job_store.h"

#include <stdlib.h>

#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "core/testing.h"
#include "serve/postgres_store.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

Job job_of(const std::string& id, const std::string& owner = "ann") {
  Job job;
  job.id = id;
  job.owner = owner;
  job.kind = "draw";
  job.spec = {{"request", {{"prompt", "苹果"}}}};
  job.created = 1000;
  return job;
}

StoredPicture stored(const std::string& id, WallMs used = 1) {
  return {id, "image/png", 8, 8, 100, used, false};
}

void add(JobStore& store, Job job, const Idempotency& idempotency = {}) {
  store.add(job, idempotency);
}

// A database of the test's own: a schema that every connection of its address uses.
struct PostgresPlace {
  std::string url;

  static const char* server() { return getenv("PANGU_TEST_POSTGRES"); }
  explicit PostgresPlace(const std::string& schema = "contract") {
    Postgres database(server());
    database.execute(("DROP SCHEMA IF EXISTS " + schema + " CASCADE").c_str());
    database.execute(("CREATE SCHEMA " + schema).c_str());
    url = std::string(server()) + "?options=-csearch_path%3D" + schema;
  }
  std::unique_ptr<SharedStore> open(WallMs lease_ms = 60000) const {
    return open_postgres_store(url, lease_ms);
  }
};

// Runs a test on an empty store of each kind; `open` gives the same store again.
void in_every_store(
    const std::function<void(const std::function<std::unique_ptr<JobStore>()>& open)>& test) {
  {
    CAPTURE("SQLite");
    const TestFolder folder;
    test([&] { return open_sqlite_store(folder.file("jobs.sqlite")); });
  }
  if (!PostgresPlace::server()) return;
  CAPTURE("PostgreSQL");
  const PostgresPlace place;
  test([&]() -> std::unique_ptr<JobStore> { return place.open(); });
}

}  // namespace

TEST_CASE("a job is found as it was added, also by the next server") {
  in_every_store([](const auto& open) {
    add(*open(), job_of("a"));
    const auto store = open();
    const auto job = store->find("a");
    REQUIRE(job);
    CHECK(job->owner == "ann");
    CHECK(job->spec["request"]["prompt"] == "苹果");
    CHECK(job->state == JobState::kQueued);
    CHECK(job->number == 1);
    CHECK_FALSE(store->find("b"));
  });
}

TEST_CASE("the ids of events begin anew with every server on a store that does not count them") {
  const TestFolder folder;
  const std::string path = folder.file("jobs.sqlite");
  CHECK(open_sqlite_store(path)->count_start() == 1);
  CHECK(open_sqlite_store(path)->count_start() == 2);
}

TEST_CASE("a job is claimed once, waits again when released, and stays ended") {
  in_every_store([](const auto& open) {
    const auto store = open();
    add(*store, job_of("a"));
    add(*store, job_of("b"));
    const auto first = store->claim(5);
    REQUIRE(first);
    CHECK(first->id == "a");
    CHECK(first->attempts == 1);
    CHECK(first->started == 5);
    CHECK(store->claim(6)->id == "b");
    CHECK_FALSE(store->claim(7));
    Job died = *first;
    died.deaths = 1;
    CHECK(store->release(died));
    const auto again = store->claim(8);
    REQUIRE(again);
    CHECK(again->id == "a");
    CHECK(again->attempts == 2);
    CHECK(again->deaths == 1);
    Job done = *again;
    done.state = JobState::kDone;
    done.finished = 9;
    CHECK(store->finish(done));
    CHECK_FALSE(store->release(done));  // too late
    CHECK_FALSE(store->finish(done));
    CHECK(store->find("a")->state == JobState::kDone);
    CHECK(store->count(JobState::kRunning) == 1);  // b
  });
}

TEST_CASE("a request is known by its owner and key") {
  in_every_store([](const auto& open) {
    const auto store = open();
    add(*store, job_of("a"), {"key", "hash"});
    const auto known = store->known_request("ann", "key");
    REQUIRE(known);
    CHECK(known->job_id == "a");
    CHECK(known->body_hash == "hash");
    CHECK_FALSE(store->known_request("bob", "key"));
  });
}

TEST_CASE("jobs are listed newest first, by owner and state, page by page") {
  in_every_store([](const auto& open) {
    const auto store = open();
    for (const char* id : {"a", "b", "c"}) add(*store, job_of(id));
    add(*store, job_of("d", "bob"));
    const auto ids = [&](const JobFilter& filter) {
      std::string all;
      for (const Job& job : store->list(filter)) all += job.id;
      return all;
    };
    CHECK(ids({}) == "dcba");
    CHECK(ids({.owner = "ann"}) == "cba");
    CHECK(ids({.limit = 2}) == "dc");
    CHECK(ids({.before = store->find("c")->number}) == "ba");
    store->claim(1);
    CHECK(ids({.states = {JobState::kRunning}}) == "a");
    CHECK(ids({.states = {JobState::kRunning, JobState::kQueued}}) == "dcba");
  });
}

TEST_CASE("an expired job is gone but remembered by its owner, and its pictures are nobody's") {
  in_every_store([](const auto& open) {
    const auto store = open();
    add(*store, job_of("a"));
    store->claim(1);
    CHECK(store->add_picture(*store->find("a"), {0, "p", 7, 8, 8, false}, stored("p")));
    CHECK(store->may_see("ann", "p"));
    CHECK_FALSE(store->may_see("bob", "p"));
    Job done = *store->find("a");
    REQUIRE(done.pictures.size() == 1);
    CHECK(done.pictures[0].seed == 7);
    done.state = JobState::kDone;
    done.expires = 100;
    store->finish(done);
    CHECK(store->expire(99, 1000) == 0);
    CHECK(store->take_orphans(99, 10).empty());
    CHECK(store->expire(100, 1000) == 1);
    CHECK_FALSE(store->find("a"));
    CHECK(store->is_gone("a", "ann"));
    CHECK(store->is_gone("a", ""));
    CHECK_FALSE(store->is_gone("a", "bob"));
    CHECK_FALSE(store->may_see("ann", "p"));
    const auto orphans = store->take_orphans(100, 10);
    REQUIRE(orphans.size() == 1);
    CHECK(orphans[0].id == "p");
    store->expire(2000, 1000);
    CHECK_FALSE(store->is_gone("a", "ann"));
  });
}

TEST_CASE("an upload belongs to each who sent it, for its time") {
  in_every_store([](const auto& open) {
    const auto store = open();
    store->add_upload("ann", stored("p"), 100);
    store->add_upload("bob", stored("p"), 200);
    CHECK(store->may_see("ann", "p"));
    store->expire(150, 1000);
    CHECK_FALSE(store->may_see("ann", "p"));
    CHECK(store->may_see("bob", "p"));
    CHECK(store->picture_bytes() == 100);
  });
}

TEST_CASE("the oldest pictures go first, but not those that a waiting job reads") {
  in_every_store([](const auto& open) {
    const auto store = open();
    store->add_upload("ann", stored("old", 1), 1000);
    store->add_upload("ann", stored("older", 0), 1000);
    store->add_upload("ann", stored("new", 2), 1000);
    Job job = job_of("a");
    job.spec["inputs"] = {"older"};
    add(*store, job);
    CHECK(store->may_see("ann", "older"));
    const auto removed = store->remove_oldest(50);
    REQUIRE(removed.size() == 1);
    CHECK(removed[0].id == "old");
    CHECK(store->find_picture("old")->removed);
    CHECK(store->picture_bytes() == 200);
    store->add_upload("ann", stored("old", 3), 1000);
    CHECK_FALSE(store->find_picture("old")->removed);
  });
}

TEST_CASE("a store that is no database, or of a newer program, is refused") {
  const TestFolder folder;
  CHECK_THROWS_AS(open_sqlite_store(folder.write("jobs.sqlite", std::string(4096, 'x'))), Error);
  CHECK_THROWS_AS(open_sqlite_store(folder.file("none/jobs.sqlite")), Error);
}

TEST_CASE("what was sent before under the same key adds nothing") {
  in_every_store([](const auto& open) {
    const auto store = open();
    Job first = job_of("a"), second = job_of("b");
    CHECK(store->add(first, {"key", "hash"}));
    CHECK_FALSE(store->add(second, {"key", "hash"}));
    CHECK_FALSE(store->find("b"));
  });
}

TEST_CASE("whoever holds a job no longer changes nothing of it") {
  in_every_store([](const auto& open) {
    const auto store = open();
    add(*store, job_of("a"));
    Job first = *store->claim(1);
    CHECK(store->renew(first));
    CHECK(store->release(first));
    const Job second = *store->claim(2);
    CHECK(second.attempts == 2);
    CHECK_FALSE(store->renew(first));
    first.resolved = {{"seed", 1}};
    CHECK_FALSE(store->keep_told(first));
    CHECK_FALSE(store->add_picture(first, {0, "p", 7, 8, 8, false}, stored("p")));
    first.state = JobState::kDone;
    CHECK_FALSE(store->finish(first));
    CHECK_FALSE(store->release(first));
    const Job now = *store->find("a");
    CHECK(now.state == JobState::kRunning);
    CHECK(now.resolved.is_null());
    CHECK(now.pictures.empty());
    CHECK(store->renew(second));
  });
}

TEST_CASE("a wish to cancel reaches the holder when it says that it lives") {
  in_every_store([](const auto& open) {
    const auto store = open();
    add(*store, job_of("a"));
    const Job job = *store->claim(1);
    CHECK_FALSE(store->renew(job)->cancel_asked);
    store->ask_cancel("a");
    CHECK(store->renew(job)->cancel_asked);
  });
}

TEST_CASE("jobs are claimed in the order that is shown") {
  in_every_store([](const auto& open) {
    const auto store = open();
    for (int i = 0; i < 12; ++i) {
      Job job = job_of(std::string(1, static_cast<char>('a' + i)), i % 3 == 0 ? "ann" : "bob");
      job.priority = i % 4 == 1 ? 2 : 0;
      add(*store, job);
    }
    while (!store->waiting().empty()) {
      const std::string first = store->waiting().front().id;
      CHECK(store->claim(1)->id == first);
    }
  });
}

TEST_CASE("jobs that ran when the last server died are the next one's, once") {
  const TestFolder folder;
  const std::string path = folder.file("jobs.sqlite");
  add(*open_sqlite_store(path), job_of("a"));
  open_sqlite_store(path)->claim(1);
  const auto store = open_sqlite_store(path);
  const auto lost = store->take_lost();
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].id == "a");
  CHECK(store->take_lost().empty());
}

TEST_CASE("stores at once never claim a job twice" * doctest::skip(!PostgresPlace::server())) {
  const PostgresPlace place;
  constexpr int kJobs = 200, kProcesses = 4;
  {
    const auto store = place.open();
    for (int i = 0; i < kJobs; ++i) add(*store, job_of("j" + std::to_string(i)));
  }
  std::vector<std::vector<std::string>> claimed(kProcesses);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : claimed) {
      threads.emplace_back([&] {
        const auto store = place.open();
        while (const auto job = store->claim(1)) mine.push_back(job->id);
      });
    }
  }
  std::map<std::string, int> times;
  for (const auto& mine : claimed) {
    for (const std::string& id : mine) ++times[id];
  }
  CHECK(times.size() == kJobs);
  for (const auto& [id, count] : times) CHECK(count == 1);
}

TEST_CASE("a job whose holder is not heard of is taken by one, and taken back while nobody has it" *
          doctest::skip(!PostgresPlace::server())) {
  const PostgresPlace place;
  constexpr WallMs kLeaseMs = 1000;
  const auto first = place.open(kLeaseMs), second = place.open(kLeaseMs);
  add(*first, job_of("a"));
  Job job = *first->claim(1);
  CHECK(second->take_lost().empty());
  std::this_thread::sleep_for(std::chrono::milliseconds(2 * kLeaseMs));
  auto lost = second->take_lost();
  REQUIRE(lost.size() == 1);
  CHECK(first->take_lost().empty());  // it is the second's now
  lost[0].deaths = 1;
  CHECK(second->release(lost[0]));
  CHECK(first->renew(job));  // it is still there, and nobody claimed the job yet
  CHECK_FALSE(second->claim(2));
  std::this_thread::sleep_for(std::chrono::milliseconds(2 * kLeaseMs));
  lost = second->take_lost();
  REQUIRE(lost.size() == 1);
  CHECK(second->release(lost[0]));
  CHECK(second->claim(3)->attempts == 2);
  CHECK_FALSE(first->renew(job));
  job.state = JobState::kDone;
  CHECK_FALSE(first->finish(job));
}

TEST_CASE("events and signals of one process reach another, in their order" *
          doctest::skip(!PostgresPlace::server())) {
  const PostgresPlace place;
  const auto one = place.open(), other = place.open();
  PostgresSignals signals(place.url);
  CHECK(signals.connect());
  CHECK_FALSE(signals.connect());
  one->publish("a", "step", {{"step", 1}});
  one->publish("a", "preview", {{"step", 1}});
  one->publish("a", "preview", {{"step", 2}});
  one->publish("b", "step", {{"step", 9}});
  one->publish("a", "step", {{"step", 2}});
  one->ask_cancel("a");
  std::string names;
  for (const Event& event : other->since("a", 0))
    names += event.name + event.data["step"].dump() + " ";
  CHECK(names == "step1 preview2 step2 ");
  CHECK(other->last_number("a") == other->since("a", 0).back().number);
  CHECK(other->last_of("a", "preview")->data["step"] == 2);
  std::string heard;
  for (int i = 0; i < 100 && !contains(heard, "cancel"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (const Signal& signal : signals.take()) {
      heard += (signal.kind == Signal::Kind::kCancel ? "cancel" : "event") + signal.job + " ";
    }
  }
  CHECK(heard == "eventa eventa eventa eventb eventa cancela ");
}

TEST_CASE("a process counts as long as it says that it lives" *
          doctest::skip(!PostgresPlace::server())) {
  const PostgresPlace place;
  constexpr WallMs kLeaseMs = 1000;
  const auto store = place.open(kLeaseMs);
  store->say_alive("one", 2);
  store->say_alive("other", 3);
  CHECK(store->worker_count() == 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(2 * kLeaseMs));
  store->say_alive("one", 2);
  CHECK(store->worker_count() == 2);
}

TEST_CASE("tables of a newer program, and what is no database, are refused" *
          doctest::skip(!PostgresPlace::server())) {
  const PostgresPlace place;
  place.open();
  Postgres(place.url).execute("UPDATE meta SET value = 1000 WHERE key = 'schema'");
  CHECK_THROWS_WITH_AS(place.open(), doctest::Contains("newer version"), Error);
  CHECK_THROWS_AS(open_postgres_store("postgres://nobody@127.0.0.1:1/none", 1000), StoreAway);
  CHECK(contains(refusal_of([] { open_postgres_store("postgres://x/y?nonsense=1", 1000); }),
                 "queue_url"));
}
