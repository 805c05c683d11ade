// The contract of every JobStore; SQLite is the one there is.
#include "serve/job_store.h"

#include <fstream>

#include "core/testing.h"

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

}  // namespace

TEST_CASE("a job is found as it was added, also by the next server") {
  const TestFolder folder;
  const std::string path = folder.file("jobs.sqlite");
  {
    const auto store = open_sqlite_store(path);
    CHECK(store->count_start() == 1);
    add(*store, job_of("a"));
  }
  const auto store = open_sqlite_store(path);
  CHECK(store->count_start() == 2);
  const auto job = store->find("a");
  REQUIRE(job);
  CHECK(job->owner == "ann");
  CHECK(job->spec["request"]["prompt"] == "苹果");
  CHECK(job->state == JobState::kQueued);
  CHECK(job->number == 1);
  CHECK_FALSE(store->find("b"));
}

TEST_CASE("a job is claimed once, waits again when released, and stays ended") {
  const auto store = open_sqlite_store(":memory:");
  add(*store, job_of("a"));
  add(*store, job_of("b"));
  const auto first = store->claim(5);
  REQUIRE(first);
  CHECK(first->id == "a");
  CHECK(first->attempts == 1);
  CHECK(first->started == 5);
  CHECK(store->claim(6)->id == "b");
  CHECK_FALSE(store->claim(7));
  store->release("a", 1);
  const auto again = store->claim(8);
  REQUIRE(again);
  CHECK(again->id == "a");
  CHECK(again->attempts == 2);
  CHECK(again->deaths == 1);
  Job done = *again;
  done.state = JobState::kDone;
  done.finished = 9;
  store->finish(done);
  store->release("a", 0);  // too late
  CHECK(store->find("a")->state == JobState::kDone);
  CHECK(store->release_all() == 1);  // b
  CHECK(store->waiting().front().id == "b");
}

TEST_CASE("a request is known by its owner and key") {
  const auto store = open_sqlite_store(":memory:");
  add(*store, job_of("a"), {"key", "hash"});
  const auto known = store->known_request("ann", "key");
  REQUIRE(known);
  CHECK(known->job_id == "a");
  CHECK(known->body_hash == "hash");
  CHECK_FALSE(store->known_request("bob", "key"));
}

TEST_CASE("jobs are listed newest first, by owner and state, page by page") {
  const auto store = open_sqlite_store(":memory:");
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
}

TEST_CASE("an expired job is gone but remembered by its owner, and its pictures are nobody's") {
  const auto store = open_sqlite_store(":memory:");
  add(*store, job_of("a"));
  store->claim(1);
  store->add_picture("a", {0, "p", 7, 8, 8, false}, stored("p"));
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
}

TEST_CASE("an upload belongs to each who sent it, for its time") {
  const auto store = open_sqlite_store(":memory:");
  store->add_upload("ann", stored("p"), 100);
  store->add_upload("bob", stored("p"), 200);
  CHECK(store->may_see("ann", "p"));
  store->expire(150, 1000);
  CHECK_FALSE(store->may_see("ann", "p"));
  CHECK(store->may_see("bob", "p"));
  CHECK(store->picture_bytes() == 100);
}

TEST_CASE("the oldest pictures go first, but not those that a waiting job reads") {
  const auto store = open_sqlite_store(":memory:");
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
}

TEST_CASE("a store that is no database, or of a newer program, is refused") {
  const TestFolder folder;
  CHECK_THROWS_AS(open_sqlite_store(folder.write("jobs.sqlite", std::string(4096, 'x'))), Error);
  CHECK_THROWS_AS(open_sqlite_store(folder.file("none/jobs.sqlite")), Error);
}
