#include "serve/waiting.h"

#include <memory>

namespace pangu::serve {

void when_ended(Api& api, const std::string& job_id, std::function<void(const Job&)> ended) {
  const auto job = api.store.find(job_id);
  if (!job || is_final(job->state)) {
    Job gone;
    gone.id = job_id;
    gone.state = JobState::kCancelled;
    return ended(job ? *job : gone);
  }
  const auto leave = std::make_shared<std::function<void()>>();
  *leave = api.events.listen(job_id, [&api, job_id, leave, ended](const Event& event) {
    if (!is_last(event)) return;
    if (!*leave) return;
    const auto final_job = api.store.find(job_id);  // if it is away, the end is told again
    const auto stop = std::exchange(*leave, {});
    Job gone;
    gone.id = job_id;
    gone.state = JobState::kCancelled;
    ended(final_job ? *final_job : gone);
    stop();
  });
}

void cancel_when_gone(Api& api, const HttpRequest& request, const std::string& job_id) {
  if (!request.when_gone) return;
  request.when_gone([&api, job_id] {
    if (const auto job = api.store.find(job_id)) api.queue.cancel(*job);
  });
}

HttpError error_of_job(const Job& job) {
  if (job.state == JobState::kCancelled) return {409, "conflict", "the job was cancelled"};
  const auto text = [&](const char* key) {
    return job.error.is_object() ? job.error.value(key, "") : std::string();
  };
  const std::string code = text("code");
  const int status = code == "bad_input" || code == "gone" ? 400 : 500;
  return {status, code.empty() ? "internal" : code, text("message"), text("hint")};
}

}  // namespace pangu::serve
