// A job as plain data: what was asked, how far it is, what came of it. Where jobs are kept is
// job_store.h.
#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/times.h"

namespace pangu::serve {

enum class JobState { kQueued, kRunning, kDone, kFailed, kCancelled };
// "queued", "running", "done", "failed", "cancelled".
const char* name_of(JobState state);
std::optional<JobState> job_state_of(std::string_view name);
inline bool is_final(JobState state) { return state >= JobState::kDone; }

// A finished picture of a job.
struct JobPicture {
  int index = 0;
  std::string id;  // SHA-256 of its bytes
  uint64_t seed = 0;
  int width = 0, height = 0;
  bool removed = false;  // for space
  bool operator==(const JobPicture&) const = default;
};

struct Job {
  int64_t number = 0;  // counts up over all jobs of a store, in the order in which they came
  std::string id;
  std::string owner;
  std::string kind;  // "draw", "coop", "control"
  JobState state = JobState::kQueued;
  int priority = 0;
  int attempts = 0;  // how often a worker has begun it
  int deaths = 0;    // how often a worker died of it
  bool cancel_asked = false;
  // What the worker is told: request, model and load, or recipe; preview_every and so on; and the
  // seed for a request without one, so that a second attempt draws the same.
  nlohmann::json spec;
  nlohmann::json resolved;                                     // null until the worker has told it
  nlohmann::json warnings = nlohmann::json::array();           // of texts
  nlohmann::json seconds = nlohmann::json::object();           // phase -> seconds
  nlohmann::json error;                                        // null, or {code, message, hint}
  std::vector<JobPicture> pictures;                            // by index
  WallMs created = 0, started = 0, finished = 0, expires = 0;  // 0: not yet
};

// What of a running job is known in memory alone.
struct JobProgress {
  std::string stage = "load";
  int64_t step = 0, steps = 0;
  std::optional<double> sigma;
  std::optional<std::string> expert;
  std::optional<double> seconds_left;
};

// Of what a worker, or another server, says in a "step".
JobProgress progress_from(const nlohmann::json& step);

nlohmann::json to_json(const JobPicture& picture);
nlohmann::json to_json(const JobProgress& progress);
// The job as the API shows it. position: of a queued job, from 1; 0 is null.
nlohmann::json to_json(const Job& job, int position, const JobProgress* progress);

// A queued job as the order of drawing sees it.
struct Waiting {
  std::string id, owner;
  int priority = 0;
  int64_t number = 0;
};
// When the job of each owner was begun last, by a counter; owners without an entry never had one.
using Turns = std::map<std::string, int64_t>;
// The order in which waiting jobs are drawn: the highest priority first; among its jobs the owners
// take turns, whoever waited longest for one first; each owner's own in the order they came.
std::vector<Waiting> drawing_order(std::vector<Waiting> waiting, const Turns& turns);

}  // namespace pangu::serve
