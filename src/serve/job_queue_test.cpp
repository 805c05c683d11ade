#include "serve/job_queue.h"

#include "core/testing.h"
#include "image/image.h"
#include "serve/picture_files.h"
#include "serve/sqlite.h"

using namespace pangu;
using namespace pangu::serve;
using nlohmann::json;

namespace {

std::string png_of(int side) {
  const image::Bytes bytes = image::encode_png(image::filled(side, side, {1, 2, 3}));
  return {bytes.begin(), bytes.end()};
}

// A queue with a clock that stands still and workers that do what the test says.
struct Office {
  TestFolder folder;
  std::unique_ptr<JobStore> store = open_sqlite_store(folder.file("jobs.sqlite"));
  PictureFiles files{folder.path / "pictures"};
  SteadyTime now{std::chrono::hours(1)};
  WallMs wall = 1000;
  Clock clock{[this] { return wall; }, [this] { return now; }};
  std::unique_ptr<EventHub> events = std::make_unique<EventHub>(1, clock);
  std::unique_ptr<JobQueue> queue;
  std::map<int, std::vector<json>> told;  // by worker
  std::vector<int> ended;
  Caller ann{"ann", false}, root{"root", true};

  explicit Office(QueueOptions options = {}) {
    queue = std::make_unique<JobQueue>(*store, files, *events, options, clock,
                                       [](const std::string&) {});
  }

  // The server dies and another begins on the same store.
  void restart() {
    queue.reset();
    store = open_sqlite_store(folder.file("jobs.sqlite"));
    queue = std::make_unique<JobQueue>(*store, files, *events, QueueOptions{}, clock,
                                       [](const std::string&) {});
    told.clear();
  }

  int worker() {
    const auto number = std::make_shared<int>(0);
    *number = queue->add_worker(
        {[this, number](const Frame& frame) { told[*number].push_back(frame.head); },
         [this, number] { ended.push_back(*number); }});
    queue->worker_said(*number, {{{"type", "ready"}, {"models", json::array()}}, ""});
    return *number;
  }

  std::string submit(const Caller& caller, int priority = 0, const Idempotency& idempotency = {}) {
    return queue
        ->submit(caller, {.kind = "draw",
                          .spec = {{"request", {{"prompt", "x"}}}, {"model", "mini"}},
                          .priority = priority,
                          .idempotency = idempotency})
        .id;
  }
  void say(int worker, const std::string& job, json head, std::string bytes = "") {
    head["job"] = job;
    queue->worker_said(worker, {std::move(head), std::move(bytes)});
  }
  JobState state(const std::string& id) { return store->find(id)->state; }
  std::string last_told(int worker) {
    return told[worker].empty()
               ? ""
               : told[worker].back().value("type", "") + " " + told[worker].back().value("job", "");
  }
};

int status_of(const std::function<void()>& act) {
  try {
    act();
    return 200;
  } catch (const HttpError& error) {
    return error.status;
  }
}

}  // namespace

TEST_CASE("a job waits for a worker, is drawn, and is done with its pictures") {
  Office office;
  const std::string id = office.submit(office.ann);
  CHECK(office.state(id) == JobState::kQueued);
  CHECK(office.queue->shown(*office.store->find(id))["position"] == 1);
  const int worker = office.worker();
  CHECK(office.last_told(worker) == "draw " + id);
  CHECK(office.state(id) == JobState::kRunning);
  office.say(worker, id, {{"type", "stage"}, {"stage", "draw"}});
  office.say(worker, id, {{"type", "resolved"}, {"request", {{"seed", 7}}}});
  office.say(
      worker, id,
      {{"type", "step"}, {"step", 1}, {"steps", 4}, {"sigma", 2.5}, {"expert", "structure"}});
  json shown = office.queue->shown(*office.store->find(id));
  CHECK(shown["progress"]["step"] == 1);
  CHECK(shown["progress"]["expert"] == "structure");
  CHECK(shown["resolved"]["seed"] == 7);
  office.say(worker, id, {{"type", "picture"}, {"index", 0}, {"seed", 7}}, png_of(8));
  office.say(worker, id, {{"type", "done"}, {"seconds", {{"draw", 1.5}}}});
  shown = office.queue->shown(*office.store->find(id));
  CHECK(shown["state"] == "done");
  CHECK(shown["seconds"]["draw"] == 1.5);
  REQUIRE(shown["pictures"].size() == 1);
  CHECK(shown["pictures"][0]["width"] == 8);
  CHECK(office.files.read(shown["pictures"][0]["id"]) == png_of(8));
}

TEST_CASE("a worker that dies takes down one job, which is tried again once and then fails") {
  Office office;
  const std::string id = office.submit(office.ann), other = office.submit(office.ann);
  const int first = office.worker();
  office.queue->worker_gone(first, "signal 9");
  CHECK(office.state(id) == JobState::kQueued);
  const int second = office.worker();
  CHECK(office.last_told(second) == "draw " + id);
  office.queue->worker_gone(second, "signal 9");
  CHECK(office.state(id) == JobState::kFailed);
  const json error = office.store->find(id)->error;
  CHECK(error["code"] == "worker_died");
  CHECK(contains(error["message"], "signal 9"));
  CHECK(office.state(other) == JobState::kQueued);
  const int third = office.worker();
  CHECK(office.last_told(third) == "draw " + other);
}

TEST_CASE("a job that ran when the server died waits again, with its seed") {
  Office office;
  const std::string id = office.submit(office.ann);
  const json before = office.store->find(id)->spec;
  office.worker();
  CHECK(office.state(id) == JobState::kRunning);
  office.restart();
  CHECK(office.state(id) == JobState::kQueued);
  const int worker = office.worker();
  CHECK(office.last_told(worker) == "draw " + id);
  CHECK(office.told[worker].back()["spec"] == before);
}

TEST_CASE(
    "a job that the server's end cut off again and again fails instead of going on for ever") {
  Office office;
  const std::string id = office.submit(office.ann);
  for (int i = 0; i < 5; ++i) {
    office.worker();
    office.restart();
  }
  CHECK(office.state(id) == JobState::kFailed);
}

TEST_CASE("a waiting job is cancelled at once, a running one when its worker has stopped") {
  Office office;
  const int worker = office.worker();
  const std::string running = office.submit(office.ann), waiting = office.submit(office.ann);
  office.queue->cancel(*office.store->find(waiting));
  CHECK(office.state(waiting) == JobState::kCancelled);
  office.queue->cancel(*office.store->find(running));
  CHECK(office.last_told(worker) == "cancel " + running);
  office.say(worker, running, {{"type", "stopped"}});
  CHECK(office.state(running) == JobState::kCancelled);
  CHECK(office.ended.empty());
}

TEST_CASE("a worker that does not stop within two seconds is ended, and the job is cancelled") {
  Office office;
  const int worker = office.worker();
  const std::string id = office.submit(office.ann);
  office.queue->cancel(*office.store->find(id));
  office.now += std::chrono::milliseconds(1400);
  office.queue->tick();
  CHECK(office.ended.empty());
  office.now += std::chrono::milliseconds(200);
  office.queue->tick();
  CHECK(office.ended == std::vector<int>{worker});
  office.queue->worker_gone(worker, "signal 9");
  CHECK(office.state(id) == JobState::kCancelled);
}

TEST_CASE("a cancellation that the server's end interrupted holds") {
  Office office;
  office.worker();
  const std::string id = office.submit(office.ann);
  office.queue->cancel(*office.store->find(id));
  office.restart();
  CHECK(office.state(id) == JobState::kCancelled);
}

TEST_CASE("a full queue is refused, a key's share before the whole") {
  Office office({.most_waiting = 3, .most_waiting_of_owner = 2});
  office.submit(office.ann);
  office.submit(office.ann);
  CHECK(status_of([&] { office.submit(office.ann); }) == 429);
  office.submit(office.root);
  CHECK(status_of([&] { office.submit(office.root); }) == 429);
}

TEST_CASE("the same request under the same key is one job, another one is a conflict") {
  Office office;
  const std::string id = office.submit(office.ann, 0, {"k", "hash"});
  CHECK(office.submit(office.ann, 0, {"k", "hash"}) == id);
  CHECK(office.submit({"bob", false}, 0, {"k", "hash"}) != id);
  CHECK(status_of([&] { office.submit(office.ann, 0, {"k", "other"}); }) == 409);
}

TEST_CASE("a key finds its own jobs alone, an administrator all; what is over is gone") {
  Office office;
  const std::string id = office.submit(office.ann);
  CHECK(office.queue->find(office.ann, id));
  CHECK(office.queue->find(office.root, id));
  CHECK_FALSE(office.queue->find({"bob", false}, id));
  office.queue->forget(*office.store->find(id));
  CHECK(status_of([&] { office.queue->find(office.ann, id); }) == 410);
  CHECK_FALSE(office.queue->find({"bob", false}, id));
}

TEST_CASE("listeners hear of positions only when they change, and of the end last") {
  Office office;
  office.submit(office.root, 5);
  const std::string id = office.submit(office.ann);
  std::string heard;
  const auto leave = office.events->listen(id, [&](const Event& event) {
    heard += event.name + (event.name == "queued" ? event.data["position"].dump() : "") + " ";
  });
  office.now += std::chrono::seconds(1);
  const int worker = office.worker();
  const std::string first = office.told[worker].back()["job"];
  office.say(worker, first, {{"type", "done"}});
  office.say(worker, id, {{"type", "warning"}, {"message", "odd"}});
  office.say(worker, id,
             {{"type", "failed"}, {"code", "bad_input"}, {"message", "size. Hint: less"}});
  CHECK(heard == "queued1 started warning failed ");
  const Job job = *office.store->find(id);
  CHECK(job.error["hint"] == "less");
  CHECK(job.warnings == json{"odd"});
}

TEST_CASE("a question waits for a worker, is asked again when its worker dies, and ends in time") {
  Office office;
  std::vector<json> answers;
  const auto ask = [&] {
    office.queue->ask({{"type", "check"}}, [&](const json& answer) { answers.push_back(answer); });
  };
  ask();
  const int first = office.worker();
  CHECK(office.last_told(first) == "check ");
  office.queue->worker_gone(first, "signal 9");
  const int second = office.worker();
  REQUIRE(office.last_told(second) == "check ");
  const auto number = office.told[second].back()["ask"];
  office.queue->worker_said(second,
                            {{{"type", "answer"}, {"ask", number}, {"inputs", json::array()}}, ""});
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].contains("inputs"));
  ask();
  office.now += std::chrono::seconds(16);
  office.queue->tick();
  REQUIRE(answers.size() == 2);
  CHECK(answers[1]["error"]["code"] == "unavailable");
}

TEST_CASE("pictures beyond the quota are removed, the oldest first, and jobs say so") {
  Office office({.quota_bytes = 1});
  const int worker = office.worker();
  const std::string id = office.submit(office.ann);
  office.say(worker, id, {{"type", "picture"}, {"index", 0}, {"seed", 1}}, png_of(8));
  office.say(worker, id, {{"type", "done"}});
  office.now += std::chrono::seconds(11);
  office.queue->tick();
  const json shown = office.queue->shown(*office.store->find(id));
  CHECK(shown["pictures"][0]["removed"] == true);
  CHECK_FALSE(shown["pictures"][0].contains("url"));
  CHECK_FALSE(office.files.has(shown["pictures"][0]["id"]));
  CHECK(office.queue->counters().pictures_removed == 1);
}

TEST_CASE("positions are told four times a second at most, and the last of them in the end") {
  Office office;
  const std::string first = office.submit(office.ann), last = office.submit(office.ann);
  std::string heard;
  const auto leave = office.events->listen(last, [&](const Event& event) {
    if (event.name == "queued") heard += event.data["position"].dump() + " ";
  });
  office.now += std::chrono::seconds(1);
  office.submit(office.root, 5);
  office.submit(office.root, 5);
  CHECK(heard == "3 ");
  office.queue->tick();
  CHECK(heard == "3 ");
  office.now += std::chrono::milliseconds(300);
  office.queue->tick();
  CHECK(heard == "3 4 ");
  // Of those that are over, nothing is kept.
  CHECK(office.events->since(last, {1, 0})->size() == 1);
}

TEST_CASE("while the store is locked nothing of a drawn job is lost, and nothing else begins") {
  Office office;
  const int worker = office.worker();
  const std::string id = office.submit(office.ann), next = office.submit(office.ann);
  Sqlite other(office.folder.file("jobs.sqlite"));
  other.execute("BEGIN IMMEDIATE");
  office.say(worker, id, {{"type", "resolved"}, {"request", {{"seed", 7}}}});
  office.say(worker, id, {{"type", "picture"}, {"index", 0}, {"seed", 7}}, png_of(8));
  office.say(worker, id, {{"type", "done"}});
  CHECK(office.state(id) == JobState::kRunning);
  CHECK(office.state(next) == JobState::kQueued);
  CHECK_FALSE(office.queue->is_ready());
  CHECK(office.ended.empty());
  CHECK_THROWS(office.submit(office.ann));
  office.now += std::chrono::seconds(1);
  office.queue->tick();
  CHECK(office.state(id) == JobState::kRunning);
  other.execute("ROLLBACK");
  office.now += std::chrono::seconds(1);
  office.queue->tick();
  CHECK(office.state(id) == JobState::kDone);
  CHECK(office.store->find(id)->pictures.size() == 1);
  CHECK(office.store->find(id)->resolved["seed"] == 7);
  CHECK(office.last_told(worker) == "draw " + next);
  CHECK(office.queue->is_ready());
}

TEST_CASE("a worker that cannot be given a job while the store is locked gets it later") {
  Office office;
  const std::string id = office.submit(office.ann);
  Sqlite other(office.folder.file("jobs.sqlite"));
  other.execute("BEGIN IMMEDIATE");
  const int worker = office.worker();
  CHECK(office.told[worker].empty());
  other.execute("ROLLBACK");
  office.now += std::chrono::seconds(1);
  office.queue->tick();
  CHECK(office.last_told(worker) == "draw " + id);
  other.execute("BEGIN IMMEDIATE");
  office.queue->worker_gone(worker, "signal 9");
  CHECK(office.state(id) == JobState::kRunning);
  other.execute("ROLLBACK");
  office.now += std::chrono::seconds(1);
  office.queue->tick();
  CHECK(office.state(id) == JobState::kQueued);
}

TEST_CASE("a worker that ends for want of memory takes no other job with it") {
  Office office;
  const int worker = office.worker();
  const std::string id = office.submit(office.ann), next = office.submit(office.ann);
  office.say(
      worker, id,
      {{"type", "failed"}, {"code", "unavailable"}, {"message", "out of memory"}, {"ends", true}});
  CHECK(office.state(id) == JobState::kFailed);
  CHECK(office.state(next) == JobState::kQueued);
  office.queue->worker_gone(worker, "it ended with exit code 0");
  CHECK(office.store->find(next)->deaths == 0);
  CHECK(office.last_told(office.worker()) == "draw " + next);
}

TEST_CASE("a job whose start picture was removed fails and names it") {
  Office office;
  const std::string id = std::string(64, 'a');
  const std::string job =
      office.queue
          ->submit(office.ann,
                   {.kind = "draw", .spec = {{"request", json::object()}, {"inputs", {id}}}})
          .id;
  office.worker();
  CHECK(office.state(job) == JobState::kFailed);
  CHECK(contains(office.store->find(job)->error["message"], id));
}

TEST_CASE("a server that stops begins nothing, and what ran waits for the next") {
  Office office;
  const int worker = office.worker();
  const std::string id = office.submit(office.ann);
  office.queue->stop();
  CHECK(office.last_told(worker) == "cancel " + id);
  office.say(worker, id, {{"type", "stopped"}});
  CHECK(office.state(id) == JobState::kQueued);
  CHECK(status_of([&] { office.submit(office.ann); }) == 503);
  CHECK(office.told[worker].size() == 2);
}
