#include "serve/job.h"

#include <algorithm>
#include <array>
#include <map>
#include <type_traits>
#include <utility>

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 5> kStates = {"queued", "running", "done", "failed", "cancelled"};
// Parts of a job's spec that are shown as they were sent.
constexpr const char* kShown[] = {"request", "model", "load", "recipe", "source", "options"};

template <class T>
json json_of(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

// A field of this kind, or nothing.
template <class T>
std::optional<T> field_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  const bool is_one = std::is_arithmetic_v<T> ? found->is_number() : found->is_string();
  return is_one ? std::optional(found->get<T>()) : std::nullopt;
}

}  // namespace

const char* name_of(JobState state) { return kStates[static_cast<size_t>(state)]; }

std::optional<JobState> job_state_of(std::string_view name) {
  const auto found = std::find(kStates.begin(), kStates.end(), name);
  if (found == kStates.end()) return {};
  return static_cast<JobState>(found - kStates.begin());
}

JobProgress progress_from(const json& step) {
  JobProgress progress;
  progress.stage = "draw";
  progress.step = field_of<int64_t>(step, "step").value_or(0);
  progress.steps = field_of<int64_t>(step, "steps").value_or(0);
  progress.sigma = field_of<double>(step, "sigma");
  progress.seconds_left = field_of<double>(step, "seconds_left");
  progress.expert = field_of<std::string>(step, "expert");
  if (progress.expert == "") progress.expert.reset();
  return progress;
}

json to_json(const JobPicture& picture) {
  json object = {{"index", picture.index},
                 {"id", picture.id},
                 {"seed", picture.seed},
                 {"width", picture.width},
                 {"height", picture.height}};
  if (picture.removed) {
    object["removed"] = true;
  } else {
    object["url"] = "/v1/pictures/" + picture.id;
  }
  return object;
}

json to_json(const JobProgress& progress) {
  return {{"stage", progress.stage},
          {"step", progress.step},
          {"steps", progress.steps},
          {"sigma", json_of(progress.sigma)},
          {"expert", json_of(progress.expert)},
          {"seconds_left", json_of(progress.seconds_left)}};
}

json to_json(const Job& job, int position, const JobProgress* progress) {
  json object = {{"id", job.id},
                 {"kind", job.kind},
                 {"state", name_of(job.state)},
                 {"owner", job.owner},
                 {"priority", job.priority},
                 {"attempts", job.attempts},
                 {"created_at", time_json(job.created)},
                 {"started_at", time_json(job.started)},
                 {"finished_at", time_json(job.finished)},
                 {"expires_at", time_json(job.expires)},
                 {"position", position > 0 ? json(position) : json(nullptr)},
                 {"progress", progress ? to_json(*progress) : json(nullptr)},
                 {"resolved", job.resolved},
                 {"warnings", job.warnings},
                 {"seconds", job.seconds},
                 {"error", job.error}};
  object["pictures"] = json::array();
  for (const JobPicture& picture : job.pictures) object["pictures"].push_back(to_json(picture));
  for (const char* key : kShown) {
    if (job.spec.contains(key)) object[key] = job.spec[key];
  }
  return object;
}

std::vector<Waiting> drawing_order(std::vector<Waiting> waiting, const Turns& turns) {
  // Of every priority, highest first, the jobs of every owner in the order they came.
  std::map<int, std::map<std::string, std::vector<Waiting>>, std::greater<>> groups;
  std::sort(waiting.begin(), waiting.end(),
            [](const Waiting& a, const Waiting& b) { return a.number > b.number; });
  for (Waiting& one : waiting) groups[one.priority][one.owner].push_back(std::move(one));
  Turns last = turns;
  int64_t next_turn = 0;
  for (const auto& [owner, turn] : turns) next_turn = std::max(next_turn, turn + 1);
  std::vector<Waiting> order;
  for (auto& [priority, owners] : groups) {
    while (!owners.empty()) {
      const auto rank = [&](const auto& group) {
        const auto found = last.find(group.first);
        const int64_t turn = found == last.end() ? -1 : found->second;
        return std::pair(turn, group.second.back().number);
      };
      const auto first =
          std::min_element(owners.begin(), owners.end(),
                           [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
      order.push_back(std::move(first->second.back()));
      first->second.pop_back();
      last[first->first] = next_turn++;
      if (first->second.empty()) owners.erase(first);
    }
  }
  return order;
}

}  // namespace pangu::serve
