#include "app/serve/job_plan.h"

#include <chrono>
#include <mutex>
#include <set>

#include "core/error.h"
#include "pipeline/request_fields.h"

namespace pangu::app {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kCountingTime{5};
constexpr size_t kMostSpeeds = 256;  // models with other LoRAs have other keys

// Warnings, each once, and the time until which a drawing is counted.
class PlanWatch {
 public:
  explicit PlanWatch(const NetworkNames& names) : names_(names) {}

  Watch watch() {
    return {.wants_stop = [this] { return std::chrono::steady_clock::now() > until_; },
            .on_warning =
                [this](const std::string& sentence) {
                  const std::lock_guard lock(mutex_);
                  if (told_.insert(sentence).second) {
                    warnings_.push_back(names_.without_folders(sentence));
                  }
                }};
  }
  const json& warnings() const { return warnings_; }

 private:
  const NetworkNames& names_;
  std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::now() + kCountingTime;
  std::mutex mutex_;
  std::set<std::string> told_;
  json warnings_ = json::array();
};

// Resolved as far as a plan resolves it: the seed is drawn with the job.
json resolved_json(const pipeline::Request& resolved, bool has_seed) {
  json request = pipeline::to_json(resolved);
  if (!has_seed) request["seed"] = nullptr;
  return request;
}

// The reasons for bridges name files.
void hide_folders(json& plan, const NetworkNames& names) {
  for (json& stage : plan["stages"]) {
    for (const char* list : {"bridges", "carries"}) {
      for (json& bridge : stage[list]) {
        bridge["by"] = names.without_folders(bridge["by"].get<std::string>());
      }
    }
  }
}

json seconds_at(const json& speeds, const std::string& key, double gflop) {
  const auto found = speeds.find(key);
  if (found == speeds.end() || !found->is_number() || gflop <= 0.0) return nullptr;
  return found->get<double>() * gflop;
}

json plan_of_draw(const DrawJob& job, const json& frame, const JobOpener& opener,
                  const Watch& watch) {
  const OpenedDraw opened = opened_draw(job, frame, opener, watch);
  json plan = pipeline::plan_json(*opened.model, opened.request, opened.pictures, watch);
  const double gflop = plan["cost"]["gflop"].get<double>();
  return {{"kind", "draw"},
          {"resolved", resolved_json(opened.request, job.request.seed.has_value())},
          {"seconds",
           seconds_at(frame.value("speeds", json::object()), speed_key(*opened.model), gflop)},
          {"plan", std::move(plan)}};
}

json plan_of_recipe(const DrawJob& job, const json& frame, const JobOpener& opener,
                    const Watch& watch) {
  const pipeline::Cooperation coop = opened_recipe(job, frame, opener, watch);
  json plan = pipeline::plan_json(coop, watch);
  const double gflop = plan["cost"]["gflop"].get<double>();
  return {{"kind", "coop"},
          {"resolved", resolved_json(coop.request, job.recipe->request.seed.has_value())},
          {"seconds", seconds_at(frame.value("speeds", json::object()), speed_key(coop), gflop)},
          {"plan", std::move(plan)}};
}

}  // namespace

std::string speed_key(const pipeline::Model& model) {
  return (model.fingerprint.empty() ? model.name : model.fingerprint) + " " + model.cost.dtype +
         " " + model.cost.precision;
}

std::string speed_key(const pipeline::Cooperation& coop) {
  std::set<std::string> keys;
  for (const pipeline::CoopStage& stage : coop.stages) {
    for (const pipeline::Member& member : stage.members) keys.insert(speed_key(*member.model));
  }
  std::string all;
  for (const std::string& key : keys) all += (all.empty() ? "" : " and ") + key;
  return all;
}

void learn_speed(Speeds& speeds, const std::string& key, const pipeline::DryRun& run,
                 const pipeline::Timings& timings) {
  double seconds = 0.0;
  for (const auto& [phase, s] : timings) {
    if (!phase.starts_with("load ")) seconds += s;
  }
  if (run.gflop() <= 0.0 || seconds <= 0.0) return;
  if (speeds.size() >= kMostSpeeds && !speeds.contains(key)) speeds.clear();
  speeds[key] = seconds / run.gflop();
}

json job_plan(const json& frame, const JobOpener& opener) {
  const DrawJob job = draw_job_from(frame.at("spec"), opener.names, opener.setup);
  PlanWatch heard(opener.names);
  const Watch watch = heard.watch();
  try {
    json plan = job.recipe ? plan_of_recipe(job, frame, opener, watch)
                           : plan_of_draw(job, frame, opener, watch);
    hide_folders(plan["plan"], opener.names);
    plan["warnings"] = heard.warnings();
    return plan;
  } catch (const Stopped&) {
    throw Error(ErrorCode::kUnavailable,
                "plan: expected a drawing that is counted in " +
                    std::to_string(kCountingTime.count()) +
                    " s, found a longer one. Hint: it can be drawn all the same");
  }
}

}  // namespace pangu::app
