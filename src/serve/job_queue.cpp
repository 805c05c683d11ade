#include "serve/job_queue.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "io/disk_space.h"
#include "serve/keys.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kHouseKeeping{10};
constexpr std::chrono::milliseconds kBetweenPositions{250};  // that listeners are told
constexpr std::chrono::seconds kLookAround{2};               // for signals that were lost
constexpr int kBeatsOfLease = 3;
constexpr int kMostDeaths = 2;    // of workers by one job
constexpr int kMostAttempts = 5;  // with those that the server's own end cut off
constexpr int kMostTries = 2;     // of a question whose worker died
constexpr WallMs kGoneMemoryMs = WallMs{30} * 24 * 3600 * 1000;
constexpr uint64_t kLeastDiskBytes = uint64_t{64} << 20;
constexpr int kOrphansAtOnce = 500;

json died_error(const std::string& why) {
  return {{"code", "worker_died"},
          {"message", "the worker process died twice while it drew this: " + why},
          {"hint", "a smaller size or count needs less memory"}};
}

}  // namespace

JobQueue::JobQueue(JobStore& store, const PictureStore& files, EventHub& events,
                   QueueOptions options, Clock clock, Log log)
    : store_(store),
      files_(files),
      events_(events),
      options_(std::move(options)),
      clock_(std::move(clock)),
      log_(std::move(log)),
      writes_(clock_, log_),
      next_house_keeping_(clock_.steady()),
      reached_(clock_.steady()) {
  take_back_lost();
}

bool JobQueue::reached(const std::function<void()>& action) {
  try {
    action();
    return true;
  } catch (const StoreAway& error) {
    if (!std::exchange(away_, true)) log_(error.what());
  } catch (const Error& error) {
    log_(error.what());
  }
  return false;
}

void JobQueue::take_back_lost() {
  std::vector<Job> lost = store_.take_lost();
  if (!lost.empty()) log_(std::to_string(lost.size()) + " jobs whose server died wait again");
  for (Job& job : lost) {
    if (job.cancel_asked) {
      job.state = JobState::kCancelled;
      finish(std::move(job));
    } else if (options_.shared) {
      died(std::move(job),
           "its server was not heard of for " + std::to_string(options_.lease_ms / 1000) + " s");
    } else if (job.attempts >= kMostAttempts) {
      job.state = JobState::kFailed;
      job.error =
          died_error("the server ended while it ran, " + std::to_string(job.attempts) + " times");
      finish(std::move(job));
    } else {
      store_.release(job);
    }
  }
}

std::optional<Job> JobQueue::job_sent_before(const Caller& caller, const Idempotency& sent) {
  if (sent.key.empty()) return {};
  const auto known = store_.known_request(caller.name, sent.key);
  if (!known) return {};
  if (known->body_hash != sent.body_hash) {
    throw HttpError(409, "conflict",
                    "Idempotency-Key: expected the request that it was sent with before, found "
                    "another one");
  }
  return store_.find(known->job_id);
}

Job JobQueue::submit(const Caller& caller, NewJob asked) {
  if (auto job = job_sent_before(caller, asked.idempotency)) return *std::move(job);
  if (stopping_) throw HttpError(503, "unavailable", "the server is about to end");
  const auto full = [](const char* whose, int64_t most) {
    return HttpError(429, "too_many",
                     std::string(whose) + ": expected at most " + std::to_string(most) +
                         " waiting jobs, found as many",
                     "try again later");
  };
  if (waiting_count() >= options_.most_waiting) throw full("the queue", options_.most_waiting);
  const int64_t own = std::count_if(order().begin(), order().end(),
                                    [&](const Waiting& one) { return one.owner == caller.name; });
  if (!caller.admin && own >= options_.most_waiting_of_owner) {
    throw full("this key's queue", options_.most_waiting_of_owner);
  }
  if (!options_.folder.empty()) io::require_space(options_.folder, kLeastDiskBytes);
  Job job;
  job.id = "j" + random_hex(12);
  job.owner = caller.name;
  job.kind = std::move(asked.kind);
  job.spec = std::move(asked.spec);
  job.priority = asked.priority;
  job.created = clock_.wall_ms();
  if (!store_.add(job, asked.idempotency)) {
    // Another server was sent the same at the same moment.
    if (auto known = job_sent_before(caller, asked.idempotency)) return *std::move(known);
    throw HttpError(503, "unavailable", "the job that was sent before is just removed");
  }
  ++counters_.submitted;
  queue_changed();
  assign();
  return store_.find(job.id).value_or(job);
}

std::optional<Job> JobQueue::find(const Caller& caller, const std::string& id) {
  auto job = store_.find(id);
  if (job && (caller.admin || job->owner == caller.name)) return job;
  if (!job && store_.is_gone(id, caller.admin ? "" : caller.name)) {
    throw HttpError(410, "gone", "the job's time is over, and it was removed");
  }
  return {};
}

json JobQueue::shown(const Job& job) {
  const JobProgress* progress = nullptr;
  for (const auto& [number, worker] : workers_) {
    if (worker.running && worker.running->job.id == job.id) progress = &worker.running->progress;
  }
  const bool elsewhere = !progress && options_.shared && job.state == JobState::kRunning;
  const auto step = elsewhere ? events_.last_step(job.id) : std::nullopt;
  const JobProgress told = step ? progress_from(*step) : JobProgress{};
  if (elsewhere) progress = &told;
  const int position = job.state == JobState::kQueued ? position_of(job.id) : 0;
  return to_json(job, position, job.state == JobState::kRunning ? progress : nullptr);
}

Job JobQueue::cancel(const Job& asked) {
  if (is_final(asked.state)) return asked;
  store_.ask_cancel(asked.id);
  for (auto& [number, worker] : workers_) {
    if (!worker.running || worker.running->job.id != asked.id) continue;
    stop_job(worker);
    return store_.find(asked.id).value_or(asked);
  }
  // Another process draws it, which hears of the wish.
  if (options_.shared && asked.state == JobState::kRunning) return asked;
  Job job = asked;
  job.cancel_asked = true;
  job.state = JobState::kCancelled;
  finish(std::move(job));
  queue_changed();
  return store_.find(asked.id).value_or(asked);
}

void JobQueue::forget(const Job& job) {
  cancel(job);
  store_.forget(job.id, clock_.wall_ms());
  queue_changed();
}

void JobQueue::finish(Job job) {
  job.finished = clock_.wall_ms();
  job.expires = options_.retention_ms > 0 ? job.finished + options_.retention_ms : 0;
  ++counters_.finished[name_of(job.state)];
  writes_.keep([this, job = std::move(job)] {
    const bool done = store_.finish(job);
    const auto stored = store_.find(job.id);
    // It was done before, if this is tried again since its answer was lost.
    const bool is_ours = done || (stored && stored->finished == job.finished);
    if (!is_ours) return log_("job " + job.id + ": another server has it now");
    events_.publish(job.id, name_of(job.state), shown(stored ? *stored : job));
  });
}

void JobQueue::died(Job job, const std::string& why) {
  ++job.deaths;
  log_("job " + job.id + ": " + why);
  if (job.deaths >= kMostDeaths) {
    job.state = JobState::kFailed;
    job.error = died_error(why);
    return finish(std::move(job));
  }
  ++counters_.retried;
  writes_.keep([this, job = std::move(job), why] {
    if (!store_.release(job)) return;
    events_.publish(job.id, "retrying", {{"attempt", job.attempts + 1}, {"message", why}});
  });
}

const std::vector<Waiting>& JobQueue::order() {
  if (!order_) order_ = store_.waiting();
  return *order_;
}

int JobQueue::position_of(const std::string& id) {
  const auto& all = order();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Waiting& one) { return one.id == id; });
  return found == all.end() ? 0 : static_cast<int>(found - all.begin()) + 1;
}

void JobQueue::queue_changed() {
  order_.reset();
  positions_changed_ = true;
  reached([this] { tell_positions(); });
}

// With many waiting and many listening this is the most that a short job costs, so it is not done
// for each.
void JobQueue::tell_positions() {
  if (!positions_changed_ || clock_.steady() < next_positions_) return;
  positions_changed_ = false;
  next_positions_ = clock_.steady() + kBetweenPositions;
  if (events_.jobs_with_listeners().empty()) return told_positions_.clear();
  std::map<std::string, int> positions;
  int position = 0;
  for (const Waiting& one : order()) {
    ++position;
    if (!events_.has_listeners(one.id)) continue;
    positions[one.id] = position;
    const auto told = told_positions_.find(one.id);
    if (told != told_positions_.end() && told->second == position) continue;
    const json data = {{"position", position}, {"waiting", order().size()}};
    if (options_.shared) {
      events_.tell(one.id, "queued", data);  // others tell their own listeners
    } else {
      events_.publish(one.id, "queued", data);
    }
  }
  told_positions_ = std::move(positions);
}

void JobQueue::tick() {
  const SteadyTime now = clock_.steady();
  for (auto& [number, worker] : workers_) {
    if (!worker.running || !worker.running->end_at || now < *worker.running->end_at) continue;
    worker.running->end_at.reset();
    log_("worker " + std::to_string(number) + " did not stop by itself and is ended");
    worker.link.end();
  }
  std::vector<int64_t> late;
  for (const auto& [number, question] : questions_) {
    const bool tried = question.worker == 0 && question.tries >= kMostTries;
    if (now >= question.until || tried) late.push_back(number);
  }
  for (const int64_t number : late) {
    answer(number, {{"error", {{"code", "unavailable"}, {"message", "no worker is ready"}}}});
  }
  send_questions();
  if (writes_.retry()) {
    queue_changed();
    assign();
  }
  if (options_.shared && now >= next_beat_) say_alive();
  // Others tell when there is something to claim.
  if (!options_.shared) assign();
  reached([this] { tell_positions(); });
  if (options_.shared && now >= next_look_) {
    next_look_ = now + kLookAround;
    reached([this] { look_around(); });
  }
  if (now < next_house_keeping_) return;
  next_house_keeping_ = now + kHouseKeeping;
  if (options_.keeps_house) reached([this] { keep_house(); });
}

// Leases are renewed; those of others that were not are taken.
void JobQueue::say_alive() {
  const bool done = reached([this] {
    options_.shared->say_alive(options_.process,
                               options_.draws ? static_cast<int64_t>(workers_.size()) : 0);
    reached_ = clock_.steady();
    if (std::exchange(away_, false)) log_("the store is there again");
    for (auto& [number, worker] : workers_) {
      if (!worker.running) continue;
      const auto hold = store_.renew(worker.running->job);
      if (!hold) {
        lose(Job(worker.running->job));
      } else if (hold->cancel_asked && !worker.running->job.cancel_asked) {
        stop_job(worker);
      }
    }
    // What this process has yet to write may be of a job that seems lost.
    if (writes_.is_empty()) take_back_lost();
  });
  constexpr std::chrono::milliseconds kSoon{500};
  next_beat_ = clock_.steady() +
               (done ? std::chrono::milliseconds(options_.lease_ms / kBeatsOfLease) : kSoon);
}

void JobQueue::heard(const std::vector<Signal>& signals, bool missed) {
  std::set<std::string> jobs;
  bool changed = missed;
  for (const Signal& signal : signals) {
    if (signal.kind == Signal::Kind::kEvent) jobs.insert(signal.job);
    if (signal.kind == Signal::Kind::kQueue) changed = true;
    if (signal.kind != Signal::Kind::kCancel) continue;
    for (auto& [number, worker] : workers_) {
      const bool its = worker.running && worker.running->job.id == signal.job;
      if (its && !worker.running->job.cancel_asked) stop_job(worker);
    }
  }
  reached([&] {
    for (const std::string& job : jobs) events_.pull(job);
    if (missed) look_around();
  });
  if (!changed) return;
  queue_changed();
  assign();
}

// What signals would have told.
void JobQueue::look_around() {
  for (const std::string& id : events_.jobs_with_listeners()) {
    events_.pull(id);
    if (!events_.has_listeners(id)) continue;
    const auto job = store_.find(id);
    if (job && is_final(job->state)) events_.tell(id, name_of(job->state), shown(*job));
    if (!job) events_.tell(id, name_of(JobState::kCancelled), json::object());
  }
  queue_changed();
  assign();
}

void JobQueue::keep_house() {
  const WallMs now = clock_.wall_ms();
  store_.expire(now, kGoneMemoryMs);
  for (const StoredPicture& orphan : store_.take_orphans(now, kOrphansAtOnce)) {
    files_.remove(orphan.id);
  }
  const int64_t over = store_.picture_bytes() - options_.quota_bytes;
  if (options_.quota_bytes > 0 && over > 0) {
    const auto removed = store_.remove_oldest(over);
    for (const StoredPicture& one : removed) files_.remove(one.id);
    counters_.pictures_removed += static_cast<int64_t>(removed.size());
    if (!removed.empty()) {
      log_(std::to_string(removed.size()) + " pictures, the oldest, were removed for space");
    }
  }
  events_.tidy();
}

void JobQueue::stop() {
  stopping_ = true;
  for (auto& [number, worker] : workers_) {
    if (!worker.running) continue;
    worker.link.send({{{"type", "cancel"}, {"job", worker.running->job.id}}, ""});
  }
}

bool JobQueue::is_drawing() const {
  return !writes_.is_empty() ||
         std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return entry.second.running.has_value(); });
}

bool JobQueue::is_ready() const {
  const bool is_there =
      !options_.shared || clock_.steady() - reached_ < std::chrono::milliseconds(options_.lease_ms);
  return !stopping_ && writes_.is_empty() && !claim_again_ && is_there &&
         std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return entry.second.ready; });
}

int64_t JobQueue::worker_count() const {
  return options_.shared ? options_.shared->worker_count() : static_cast<int64_t>(workers_.size());
}

int64_t JobQueue::running_count() const {
  if (options_.shared) return store_.count(JobState::kRunning);
  return std::count_if(workers_.begin(), workers_.end(),
                       [](const auto& entry) { return entry.second.running.has_value(); });
}

double JobQueue::seconds_waited() {
  WallMs oldest = clock_.wall_ms();
  const WallMs now = oldest;
  int64_t first = 0;
  std::string id;
  for (const Waiting& one : order()) {
    if (id.empty() || one.number < first) {
      first = one.number;
      id = one.id;
    }
  }
  if (const auto job = id.empty() ? std::nullopt : store_.find(id)) oldest = job->created;
  constexpr double kMsASecond = 1000.0;
  return static_cast<double>(std::max<WallMs>(0, now - oldest)) / kMsASecond;
}

}  // namespace pangu::serve
