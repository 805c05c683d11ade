#include "serve/job_queue.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/error.h"
#include "io/disk_space.h"
#include "serve/keys.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

// Computing ends within two seconds of a cancellation: who has not stopped by himself is ended.
constexpr std::chrono::milliseconds kStopsItself{1500};
constexpr std::chrono::seconds kAnswerTime{15};
constexpr std::chrono::seconds kHouseKeeping{10};
constexpr int kMostDeaths = 2;    // of workers by one job
constexpr int kMostAttempts = 5;  // with those that the server's own end cut off
constexpr int kMostTries = 2;     // of a question whose worker died
constexpr WallMs kGoneMemoryMs = WallMs{30} * 24 * 3600 * 1000;
constexpr uint64_t kLeastDiskBytes = uint64_t{64} << 20;
constexpr int kOrphansAtOnce = 500;
constexpr size_t kMostWarnings = 50;
constexpr size_t kMostWarningBytes = 2000;

std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

template <class T>
T number_in(const json& object, const char* key, T fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<T>() : fallback;
}

std::optional<double> optional_number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return {};
  return found->get<double>();
}

std::string model_of_spec(const json& spec) {
  return spec.contains("recipe") ? spec["recipe"].dump() : text_in(spec, "model");
}

json died_error(const std::string& why) {
  return {{"code", "worker_died"},
          {"message", "the worker process died twice while it drew this: " + why},
          {"hint", "a smaller size or count needs less memory"}};
}

}  // namespace

JobQueue::JobQueue(JobStore& store, const PictureFiles& files, EventHub& events,
                   QueueOptions options, Clock clock, Log log)
    : store_(store),
      files_(files),
      events_(events),
      options_(std::move(options)),
      clock_(std::move(clock)),
      log_(std::move(log)),
      next_house_keeping_(clock_.steady()) {
  const auto running = store_.list({.states = {JobState::kRunning}, .limit = 1000});
  if (const int64_t count = store_.release_all(); count > 0) {
    log_(std::to_string(count) + " jobs that the last server had begun wait again");
  }
  for (Job job : running) {
    if (job.cancel_asked) {
      job.state = JobState::kCancelled;
    } else if (job.attempts >= kMostAttempts) {
      job.state = JobState::kFailed;
      job.error =
          died_error("the server ended while it ran, " + std::to_string(job.attempts) + " times");
    } else {
      continue;
    }
    finish(std::move(job));
  }
}

Job JobQueue::submit(const Caller& caller, NewJob asked) {
  if (!asked.idempotency.key.empty()) {
    const auto known = store_.known_request(caller.name, asked.idempotency.key);
    if (known && known->body_hash != asked.idempotency.body_hash) {
      throw HttpError(409, "conflict",
                      "Idempotency-Key: expected the request that it was sent "
                      "with before, found another one");
    }
    if (known) {
      if (auto job = store_.find(known->job_id)) return *std::move(job);
    }
  }
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
  store_.add(job, asked.idempotency);
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
  const int position = job.state == JobState::kQueued ? position_of(job.id) : 0;
  return to_json(job, position, job.state == JobState::kRunning ? progress : nullptr);
}

Job JobQueue::cancel(const Job& asked) {
  if (is_final(asked.state)) return asked;
  store_.ask_cancel(asked.id);
  for (auto& [number, worker] : workers_) {
    if (!worker.running || worker.running->job.id != asked.id) continue;
    worker.running->job.cancel_asked = true;
    if (!worker.running->end_at) worker.running->end_at = clock_.steady() + kStopsItself;
    worker.link.send({{{"type", "cancel"}, {"job", asked.id}}, ""});
    return store_.find(asked.id).value_or(asked);
  }
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

void JobQueue::ask(json question, Answered answered) {
  const int64_t number = next_question_++;
  question["ask"] = number;
  questions_[number] = {std::move(question), std::move(answered), clock_.steady() + kAnswerTime};
  send_questions();
}

void JobQueue::take_catalog(const json& told) {
  catalog_ = {{"models", told.value("models", json::array())},
              {"capabilities", told.value("capabilities", json::object())}};
}

void JobQueue::refresh_catalog(std::function<void()> done) {
  ask({{"type", "catalog"}}, [this, done = std::move(done)](const json& answer) {
    if (answer.contains("models")) take_catalog(answer);
    done();
  });
}

void JobQueue::send_questions() {
  const auto ready = std::find_if(workers_.begin(), workers_.end(),
                                  [](const auto& entry) { return entry.second.ready; });
  if (ready == workers_.end()) return;
  for (auto& [number, question] : questions_) {
    if (question.worker != 0) continue;
    question.worker = ready->first;
    ++question.tries;
    ready->second.link.send({question.text, ""});
  }
}

void JobQueue::answer(int64_t number, const json& answer) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  const Answered answered = std::move(found->second.answered);
  questions_.erase(found);
  answered(answer);
}

int JobQueue::add_worker(WorkerLink link) {
  const int number = next_worker_++;
  workers_[number].link = std::move(link);
  return number;
}

void JobQueue::worker_said(int number, const Frame& frame) {
  const auto found = workers_.find(number);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  const std::string type = text_in(frame.head, "type");
  if (type == "ready") {
    worker.ready = true;
    take_catalog(frame.head);
    send_questions();
    assign();
  } else if (type == "answer") {
    answer(number_in<int64_t>(frame.head, "ask", 0), frame.head);
  } else if (type == "facts") {
    worker.facts = frame.head;
    counters_.cache_hits += number_in<int64_t>(frame.head, "cache_hits", 0);
    counters_.cache_misses += number_in<int64_t>(frame.head, "cache_misses", 0);
  } else if (type == "log") {
    log_("worker " + std::to_string(number) + ": " + text_in(frame.head, "message"));
  } else if (worker.running && text_in(frame.head, "job") == worker.running->job.id) {
    try {
      job_said(number, worker, frame);
    } catch (const Error& error) {
      log_(error.what());
      // It goes on drawing what cannot be kept, so it gets no other job.
      worker.ready = false;
      worker.link.end();
      if (worker.running) end_job(worker, JobState::kFailed, error_json("io", error.what()));
    }
  }
}

void JobQueue::job_said(int number, Worker& worker, const Frame& frame) {
  Running& running = *worker.running;
  const std::string& id = running.job.id;
  const std::string type = text_in(frame.head, "type");
  if (type == "stage") {
    end_stage(running, text_in(frame.head, "stage"));
    events_.publish(id, "stage", {{"stage", running.progress.stage}});
  } else if (type == "step") {
    JobProgress& progress = running.progress;
    const int64_t step = number_in<int64_t>(frame.head, "step", 0);
    counters_.steps += std::max<int64_t>(0, step - progress.step);
    progress.step = step;
    progress.steps = number_in<int64_t>(frame.head, "steps", 0);
    progress.sigma = optional_number(frame.head, "sigma");
    progress.seconds_left = optional_number(frame.head, "seconds_left");
    const std::string expert = text_in(frame.head, "expert");
    progress.expert = expert.empty() ? std::nullopt : std::optional(expert);
    json data = to_json(progress);
    data.erase("stage");
    events_.publish(id, "step", std::move(data));
  } else if (type == "preview") {
    json data = frame.head;
    data.erase("type");
    data.erase("job");
    data["image"] = base64_encoded(frame.bytes);
    if (!data.contains("member")) data["member"] = nullptr;
    events_.publish(id, "preview", std::move(data));
  } else if (type == "resolved") {
    running.job.resolved = frame.head.value("request", json());
    store_.set_resolved(id, running.job.resolved);
  } else if (type == "warning") {
    const std::string message = text_in(frame.head, "message").substr(0, kMostWarningBytes);
    if (running.job.warnings.size() >= kMostWarnings) return;
    running.job.warnings.push_back(message);
    store_.add_warning(id, message);
    events_.publish(id, "warning", {{"message", message}});
  } else if (type == "picture") {
    take_picture(running, frame);
  } else if (type == "done") {
    running.job.seconds = frame.head.value("seconds", json::object());
    end_job(worker, JobState::kDone, nullptr);
  } else if (type == "failed") {
    end_job(worker, JobState::kFailed,
            error_json(text_in(frame.head, "code"), text_in(frame.head, "message")));
  } else if (type == "stopped") {
    // Without a wish of a client it was the end of the server, and the job waits again.
    if (running.job.cancel_asked) {
      end_job(worker, JobState::kCancelled, nullptr);
    } else {
      store_.release(id, running.job.deaths);
      worker.running.reset();
      queue_changed();
    }
  } else {
    log_("worker " + std::to_string(number) + " said '" + type + "', which is unknown");
  }
}

void JobQueue::take_picture(Running& running, const Frame& frame) {
  const StoredPicture stored = picture_of_bytes(
      frame.bytes, {.max_pixels = int64_t{1} << 30, .max_side_px = 1 << 16}, clock_.wall_ms());
  JobPicture picture{number_in<int>(frame.head, "index", 0),
                     stored.id,
                     number_in<uint64_t>(frame.head, "seed", 0),
                     stored.width,
                     stored.height,
                     false};
  files_.write(stored, frame.bytes);
  store_.add_picture(running.job.id, picture, stored);
  ++counters_.pictures;
  events_.publish(running.job.id, "picture", to_json(picture));
}

void JobQueue::end_stage(Running& running, const std::string& next) {
  const SteadyTime now = clock_.steady();
  counters_.stage_seconds[running.progress.stage] +=
      std::chrono::duration<double>(now - running.stage_since).count();
  running.stage_since = now;
  running.progress.stage = next;
}

void JobQueue::end_job(Worker& worker, JobState state, json error) {
  Job job = std::move(worker.running->job);
  end_stage(*worker.running, "");
  worker.running.reset();
  // A job that was cancelled while its last picture was written is done all the same.
  job.state = state == JobState::kFailed && job.cancel_asked ? JobState::kCancelled : state;
  job.error = std::move(error);
  if (job.state == JobState::kCancelled) job.error = nullptr;
  finish(std::move(job));
  assign();
}

void JobQueue::finish(Job job) {
  job.finished = clock_.wall_ms();
  job.expires = options_.retention_ms > 0 ? job.finished + options_.retention_ms : 0;
  ++counters_.finished[name_of(job.state)];
  try {
    store_.finish(job);
  } catch (const Error& error) {
    log_(error.what());
    unsaved_.push_back(job);
  }
  const auto stored = store_.find(job.id);
  events_.publish(job.id, name_of(job.state), shown(stored ? *stored : job));
}

void JobQueue::worker_gone(int number, const std::string& why) {
  const auto found = workers_.find(number);
  if (found == workers_.end()) return;
  std::optional<Running> running = std::move(found->second.running);
  workers_.erase(found);
  for (auto& [question_number, question] : questions_) {
    if (question.worker == number) question.worker = 0;
  }
  if (!running) return;
  Job job = std::move(running->job);
  if (job.cancel_asked) {
    job.state = JobState::kCancelled;
    finish(std::move(job));
  } else if (stopping_) {
    store_.release(job.id, job.deaths);
  } else {
    ++counters_.workers_died;
    ++job.deaths;
    log_("job " + job.id + ": " + why);
    if (job.deaths >= kMostDeaths) {
      job.state = JobState::kFailed;
      job.error = died_error(why);
      finish(std::move(job));
    } else {
      store_.release(job.id, job.deaths);
      ++counters_.retried;
      events_.publish(job.id, "retrying", {{"attempt", job.attempts + 1}, {"message", why}});
    }
  }
  queue_changed();
  assign();
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
  tell_positions();
}

void JobQueue::tell_positions() {
  std::map<std::string, int> positions;
  int position = 0;
  for (const Waiting& one : order()) {
    ++position;
    if (!events_.has_listeners(one.id)) continue;
    positions[one.id] = position;
    const auto told = told_positions_.find(one.id);
    if (told != told_positions_.end() && told->second == position) continue;
    events_.publish(one.id, "queued", {{"position", position}, {"waiting", order().size()}});
  }
  told_positions_ = std::move(positions);
}

void JobQueue::assign() {
  if (stopping_) return;
  bool changed = false;
  while (!order().empty()) {
    std::vector<std::pair<int, Worker*>> idle;
    for (auto& [number, worker] : workers_) {
      if (worker.ready && !worker.running) idle.emplace_back(number, &worker);
    }
    if (idle.empty()) break;
    auto job = store_.claim(clock_.wall_ms());
    order_.reset();
    changed = true;
    if (!job) break;
    // A worker that has the model in memory, if there is one.
    const std::string model = model_of_spec(job->spec);
    const auto warm = std::find_if(idle.begin(), idle.end(),
                                   [&](const auto& entry) { return entry.second->model == model; });
    const auto chosen = warm == idle.end() ? idle.front() : *warm;
    begin(chosen.first, *chosen.second, *std::move(job));
  }
  if (changed) tell_positions();
}

void JobQueue::begin(int number, Worker& worker, Job job) {
  json paths = json::object();
  for (const json& input : job.spec.value("inputs", json::array())) {
    const std::string id = input.get<std::string>();
    if (!files_.has(id)) {
      job.state = JobState::kFailed;
      job.error = error_json("gone", "picture " + id + ": it was removed before it was drawn from");
      finish(std::move(job));
      return;
    }
    paths[id] = files_.path_of(id);
  }
  worker.model = model_of_spec(job.spec);
  worker.running = Running{job, {}, {}, clock_.steady()};
  events_.publish(job.id, "started", {{"attempt", job.attempts}, {"worker", number}});
  worker.link.send({{{"type", "draw"},
                     {"job", job.id},
                     {"kind", job.kind},
                     {"spec", job.spec},
                     {"pictures", std::move(paths)}},
                    ""});
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
  std::vector<Job> unsaved = std::exchange(unsaved_, {});
  for (Job& job : unsaved) {
    try {
      store_.finish(job);
    } catch (const Error&) {
      unsaved_.push_back(std::move(job));
    }
  }
  if (now < next_house_keeping_) return;
  next_house_keeping_ = now + kHouseKeeping;
  try {
    keep_house();
  } catch (const Error& error) {
    log_(error.what());
  }
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
  assign();
}

void JobQueue::stop() {
  stopping_ = true;
  for (auto& [number, worker] : workers_) {
    if (!worker.running) continue;
    worker.link.send({{{"type", "cancel"}, {"job", worker.running->job.id}}, ""});
  }
}

bool JobQueue::is_ready() const {
  return !stopping_ && unsaved_.empty() &&
         std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return entry.second.ready; });
}

int64_t JobQueue::running_count() const {
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

json JobQueue::worker_facts() const {
  json all = json::array();
  for (const auto& [number, worker] : workers_) {
    json facts = worker.facts;
    facts["worker"] = number;
    facts["running"] = worker.running.has_value();
    all.push_back(std::move(facts));
  }
  return all;
}

}  // namespace pangu::serve
