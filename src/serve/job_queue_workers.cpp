// The side of the queue that workers see (job_queue.h): what they are asked and told, and what they
// say.
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "serve/job_queue.h"
#include "serve/keys.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

// Computing ends within two seconds of a cancellation: who has not stopped by himself is ended.
constexpr std::chrono::milliseconds kStopsItself{1500};
constexpr std::chrono::seconds kAnswerTime{15};
constexpr std::chrono::milliseconds kBetweenClaims{500};  // while the store is locked or away
constexpr size_t kMostWarnings = 50;
constexpr size_t kMostSpeeds = 1000;
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

std::string model_of_spec(const json& spec) {
  return spec.contains("recipe") ? spec["recipe"].dump() : text_in(spec, "model");
}

}  // namespace

void JobQueue::stop_job(Worker& worker) {
  worker.running->job.cancel_asked = true;
  if (!worker.running->end_at) worker.running->end_at = clock_.steady() + kStopsItself;
  worker.link.send({{{"type", "cancel"}, {"job", worker.running->job.id}}, ""});
}

// What nobody waits for need not be drawn.
void JobQueue::lose(const Job& job) {
  log_("job " + job.id + ": another server has it now");
  for (auto& [number, worker] : workers_) {
    if (!worker.running || worker.running->job.id != job.id) continue;
    if (worker.running->job.attempts != job.attempts) continue;
    worker.running.reset();
    worker.ready = false;
    worker.link.end();
  }
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
    if (frame.head.contains("speeds")) {
      if (speeds_.size() > kMostSpeeds) speeds_ = json::object();
      speeds_.update(frame.head["speeds"]);
      worker.facts.erase("speeds");
    }
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
  const std::string id = running.job.id;  // the job may be lost meanwhile
  const std::string type = text_in(frame.head, "type");
  if (type == "stage") {
    end_stage(running, text_in(frame.head, "stage"));
    events_.publish(id, "stage", {{"stage", running.progress.stage}});
  } else if (type == "step") {
    JobProgress progress = progress_from(frame.head);
    progress.stage = running.progress.stage;
    counters_.steps += std::max<int64_t>(0, progress.step - running.progress.step);
    running.progress = progress;
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
    keep_told(running.job);
  } else if (type == "warning") {
    const std::string message = text_in(frame.head, "message").substr(0, kMostWarningBytes);
    if (running.job.warnings.size() >= kMostWarnings) return;
    running.job.warnings.push_back(message);
    keep_told(running.job);
    events_.publish(id, "warning", {{"message", message}});
  } else if (type == "picture") {
    take_picture(running, frame);
  } else if (type == "done") {
    running.job.seconds = frame.head.value("seconds", json::object());
    end_job(worker, JobState::kDone, nullptr);
  } else if (type == "failed") {
    // One that ends behind this gets no other job.
    if (frame.head.value("ends", false)) worker.ready = false;
    end_job(worker, JobState::kFailed,
            error_json(text_in(frame.head, "code"), text_in(frame.head, "message")));
  } else if (type == "stopped") {
    // Without a wish of a client it was the end of the server, and the job waits again.
    if (running.job.cancel_asked) {
      end_job(worker, JobState::kCancelled, nullptr);
    } else {
      writes_.keep([this, job = running.job] { store_.release(job); });
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
  ++counters_.pictures;
  writes_.keep([this, job = running.job, picture, stored, bytes = frame.bytes] {
    files_.write(stored, bytes);
    if (!store_.add_picture(job, picture, stored)) return lose(job);
    events_.publish(job.id, "picture", to_json(picture));
  });
}

// resolved and warnings.
void JobQueue::keep_told(const Job& told) {
  writes_.keep([this, job = told] {
    if (!store_.keep_told(job)) lose(job);
  });
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
    writes_.keep([this, job] { store_.release(job); });
  } else {
    ++counters_.workers_died;
    died(std::move(job), why);
  }
  queue_changed();
  assign();
}

std::optional<Job> JobQueue::next_job() {
  // Asking the whole order of a store that others change as well tells nothing.
  if (!options_.shared && order().empty()) return {};
  auto job = store_.claim(clock_.wall_ms());
  order_.reset();
  return job;
}

void JobQueue::assign() {
  // What was drawn is written before anything else begins.
  if (stopping_ || !options_.draws || !writes_.is_empty()) return;
  const SteadyTime now = clock_.steady();
  if (claim_again_ && now < *claim_again_) return;
  try {
    claim_for_idle();
    claim_again_.reset();
  } catch (const Error& error) {
    if (!claim_again_) log_(std::string(error.what()) + "; it is tried again");
    claim_again_ = now + kBetweenClaims;
  }
}

void JobQueue::claim_for_idle() {
  bool changed = false;
  while (true) {
    std::vector<std::pair<int, Worker*>> idle;
    for (auto& [number, worker] : workers_) {
      if (worker.ready && !worker.running) idle.emplace_back(number, &worker);
    }
    if (idle.empty()) break;
    const auto job = next_job();
    if (!job) break;
    changed = true;
    // A worker that has the model in memory, if there is one.
    const std::string model = model_of_spec(job->spec);
    const auto warm = std::find_if(idle.begin(), idle.end(),
                                   [&](const auto& entry) { return entry.second->model == model; });
    const auto chosen = warm == idle.end() ? idle.front() : *warm;
    try {
      begin(chosen.first, *chosen.second, *job);
    } catch (const Error&) {  // its pictures cannot be read now
      writes_.keep([this, job = *job] { store_.release(job); });
      throw;
    }
  }
  if (changed) queue_changed();
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
