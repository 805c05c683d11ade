// What a job will do and cost, answered without drawing: POST /v1/plan of docs/api.md.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "app/serve/opened_job.h"
#include "pipeline/dry_run.h"

namespace pangu::app {

// Seconds that 10^9 operations took, by models: those of one drawing, as speed_key names them.
using Speeds = std::map<std::string, double>;

std::string speed_key(const pipeline::Model& model);
std::string speed_key(const pipeline::Cooperation& coop);

// Keeps how fast a finished drawing was. Loading is left out, and so is a drawing whose cost is not
// known.
void learn_speed(Speeds& speeds, const std::string& key, const pipeline::DryRun& run,
                 const pipeline::Timings& timings);

// frame: {"spec", "pictures": {id: path}, "speeds": {key: seconds}}. Returns {"kind", "resolved",
// "plan", "seconds", "warnings"}. Errors are those that the job would fail with before its first
// step, and kUnavailable for a drawing with too many steps to be counted in a few seconds.
nlohmann::json job_plan(const nlohmann::json& frame, const JobOpener& opener);

}  // namespace pangu::app
