// Opens the models and pictures of a job and resolves its request: what drawing a job and planning
// it have in common.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/serve/job_request.h"
#include "core/watch.h"
#include "pipeline/coop/coop.h"
#include "pipeline/draw.h"
#include "pipeline/model.h"

namespace pangu::app {

// Gives the model of a path, which may be one that is in memory already.
using OpenModel = std::function<std::shared_ptr<const pipeline::Model>(
    const std::string& path, const pipeline::LoadOptions& options)>;

// What a job is opened with; all of it outlives the call.
struct JobOpener {
  const WorkerSetup& setup;
  const NetworkNames& names;
  OpenModel open_model;
};

// A job of one model.
struct OpenedDraw {
  pipeline::MemberSpec named;  // the model and what is loaded with it, by name
  std::string path;
  std::shared_ptr<const pipeline::Model> model;
  pipeline::Request request;  // resolved
  pipeline::Pictures pictures;
};

// frame: {"spec", "pictures": {id: path}}; the spec's "fresh_seed" is that of a request without
// one. job: draw_job_from(spec). The watch hears the doubts about the request. Errors name pictures
// by their ids, and are those of reading a model and of resolving a request.
OpenedDraw opened_draw(const DrawJob& job, const nlohmann::json& frame, const JobOpener& opener,
                       const Watch& watch);

// A job of several models: assembled, with the server's own learned bridges.
pipeline::Cooperation opened_recipe(const DrawJob& job, const nlohmann::json& frame,
                                    const JobOpener& opener, const Watch& watch);

}  // namespace pangu::app
