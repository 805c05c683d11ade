// Draws one job in a worker and tells how far it is: the bridge between the protocol's frames
// (serve/frames.h) and the pipeline.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "app/latent_look.h"
#include "app/serve/job_plan.h"
#include "app/serve/job_request.h"
#include "app/serve/model_cache.h"

namespace pangu::app {

// What a worker keeps from job to job.
struct WorkerState {
  WorkerSetup setup;
  const NetworkNames& names;
  ModelCache models;
  LatentLook look = {};
  Speeds speeds = {};
};

// How a job speaks to the front, and hears whether it is still wanted.
struct JobVoice {
  std::function<void(nlohmann::json head, std::string bytes)> say;  // "job" is added
  std::function<bool()> wants_stop;
};

// frame: {"kind", "spec", "pictures": {id: path}}. Says "stage", "resolved", "warning", "step",
// "preview" and "picture"; the seconds of its phases come back. Throws Stopped, and Error for what
// cannot be drawn.
nlohmann::json draw_job(WorkerState& state, const nlohmann::json& frame, const JobVoice& voice);

}  // namespace pangu::app
