// The queue: takes jobs, hands them to workers, keeps what workers tell in the store, and tells
// listeners. It computes nothing, knows no socket and no process: a worker is a WorkerLink, and
// time is an argument. All functions are called from one thread.
//
// Several queues may work on one SharedStore, in processes on any machines: some take requests,
// others draw. A job whose lease was lost is left to whoever has it now.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "serve/events.h"
#include "serve/frames.h"
#include "serve/http.h"
#include "serve/job.h"
#include "serve/job_store.h"
#include "serve/kept_writes.h"
#include "serve/picture_store.h"
#include "serve/shared_store.h"
#include "serve/times.h"

namespace pangu::serve {

// The front's end of a worker process.
struct WorkerLink {
  std::function<void(const Frame&)> send;
  std::function<void()> end;  // ends the process at once; worker_gone() is called later
};

struct QueueOptions {
  int64_t most_waiting = 256, most_waiting_of_owner = 64;
  WallMs retention_ms = 0;  // of finished jobs and uploads; 0: for ever
  int64_t quota_bytes = 0;  // for pictures
  std::string folder = {};  // whose disk must have room; empty: is not asked
  // Workers of this queue draw. Otherwise they answer questions, and others draw.
  bool draws = true;
  // Old jobs and pictures are removed here.
  bool keeps_house = true;
  // The queue's own store, if several processes share it; their leases, and this one's name there.
  SharedStore* shared = nullptr;
  WallMs lease_ms = 30000;
  std::string process = {};
};

// Counters since the start, for /metrics.
struct QueueCounters {
  int64_t submitted = 0, retried = 0, workers_died = 0, pictures = 0, pictures_removed = 0;
  int64_t steps = 0, cache_hits = 0, cache_misses = 0;
  std::map<std::string, int64_t> finished;      // by state
  std::map<std::string, double> stage_seconds;  // by stage
};

// A job that is to be added.
struct NewJob {
  std::string kind;
  nlohmann::json spec;
  int priority = 0;
  Idempotency idempotency = {};
};

class JobQueue {
 public:
  using Log = std::function<void(const std::string&)>;
  using Answered = std::function<void(const nlohmann::json& answer)>;

  // Jobs that ran when the last server died wait again.
  JobQueue(JobStore& store, const PictureStore& files, EventHub& events, QueueOptions options,
           Clock clock, Log log);

  // Adds a job. HttpError 429 if too many wait, 503 if the disk is full; 409 if the owner sent
  // another request under the same idempotency key. A request that was sent before gives its job.
  Job submit(const Caller& caller, NewJob job);
  // Nothing if there is no such job that the caller may see. HttpError 410 if its time is over.
  std::optional<Job> find(const Caller& caller, const std::string& id);
  std::vector<Job> list(JobFilter filter) { return store_.list(filter); }
  // Begins to cancel it; the job as it is now.
  Job cancel(const Job& job);
  // Cancels it if need be and forgets it.
  void forget(const Job& job);
  nlohmann::json shown(const Job& job);

  // Asks any worker's reader, which answers at once also while it draws. `answered` gets
  // {"error": {...}} if no worker is there in time.
  void ask(nlohmann::json question, Answered answered);

  // A worker is there; it is given jobs once it says "ready". Its number.
  int add_worker(WorkerLink link);
  void worker_said(int worker, const Frame& frame);
  // The process has ended; `why` is a sentence.
  void worker_gone(int worker, const std::string& why);

  // What other processes tell. `missed`: signals may have been lost before these.
  void heard(const std::vector<Signal>& signals, bool missed);

  // To be called several times a second.
  void tick();
  // No further jobs begin; running ones go on.
  void drain() { stopping_ = true; }
  // Whether a worker of this process draws.
  bool is_drawing() const;
  // No further jobs begin; running ones are told to stop. They wait again at the next start.
  void stop();

  bool is_ready() const;
  int64_t waiting_count() { return static_cast<int64_t>(order().size()); }
  int64_t running_count() const;  // here and elsewhere
  double seconds_waited();        // of the oldest waiting job
  int64_t worker_count() const;   // here and elsewhere
  // What the last worker that became ready says it can do: {"models", "capabilities"}.
  const nlohmann::json& catalog() const { return catalog_; }
  // Lets a worker look at the folders of models and networks again. `done` is called when it has,
  // or when no worker answered in time.
  void refresh_catalog(std::function<void()> done);
  const QueueCounters& counters() const { return counters_; }
  // How fast models drew on this server, as workers tell it: their business, which the front only
  // hands on.
  const nlohmann::json& speeds() const { return speeds_; }
  nlohmann::json worker_facts() const;  // of every worker: {"worker", "memory_bytes", ...}

 private:
  struct Running {
    Job job;
    JobProgress progress;
    std::optional<SteadyTime> end_at;  // when a cancelled job's worker is ended
    SteadyTime stage_since;
  };
  struct Question {
    nlohmann::json text;
    Answered answered;
    SteadyTime until;
    int worker = 0;  // 0: not sent yet
    int tries = 0;
  };
  struct Worker {
    WorkerLink link;
    bool ready = false;
    std::string model;  // of its last job
    std::optional<Running> running;
    nlohmann::json facts = nlohmann::json::object();
  };

  // Calls `action`; the log says why it failed, and of a store that is away only once. Returns
  // whether it came through.
  bool reached(const std::function<void()>& action);
  const std::vector<Waiting>& order();
  int position_of(const std::string& id);
  void queue_changed();
  void tell_positions();
  void assign();
  void claim_for_idle();
  std::optional<Job> job_sent_before(const Caller& caller, const Idempotency& sent);
  std::optional<Job> next_job();
  void begin(int number, Worker& worker, Job job);
  void stop_job(Worker& worker);
  // Whoever has the job now: not this process. Its worker, if it still draws it, is ended.
  void lose(const Job& job);
  void take_back_lost();
  void died(Job job, const std::string& why);
  void end_job(Worker& worker, JobState state, nlohmann::json error);
  void finish(Job job);
  void end_stage(Running& running, const std::string& next);
  void take_picture(Running& running, const Frame& frame);
  void keep_told(const Job& job);
  void job_said(int number, Worker& worker, const Frame& frame);
  void say_alive();
  void look_around();
  void send_questions();
  void answer(int64_t number, const nlohmann::json& answer);
  void keep_house();
  void take_catalog(const nlohmann::json& told);

  JobStore& store_;
  const PictureStore& files_;
  EventHub& events_;
  QueueOptions options_;
  Clock clock_;
  Log log_;
  std::map<int, Worker> workers_;
  std::map<int64_t, Question> questions_;
  KeptWrites writes_;
  std::optional<SteadyTime> claim_again_;  // the store could not be written when a job was to begin
  std::optional<std::vector<Waiting>> order_;
  std::map<std::string, int> told_positions_;
  bool positions_changed_ = false;
  SteadyTime next_positions_;
  nlohmann::json catalog_, speeds_ = nlohmann::json::object();
  QueueCounters counters_;
  int next_worker_ = 1;
  int64_t next_question_ = 1;
  SteadyTime next_house_keeping_, next_look_{}, next_beat_{};
  SteadyTime reached_;  // when a shared store was there last
  bool away_ = false;   // as the log said
  bool stopping_ = false;
};

}  // namespace pangu::serve
