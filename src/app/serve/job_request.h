// The spec of a job (docs/api.md, POST /v1/jobs) as what the pipeline draws from. Networks stay
// names and pictures stay ids, also in the text of the PNG; paths come in where files are opened.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/serve/network_names.h"
#include "image/image.h"
#include "pipeline/coop/recipe.h"
#include "pipeline/request.h"

namespace pangu::app {

// What a worker was configured with.
struct WorkerSetup {
  std::string device = "cpu", dtype;
  std::string default_model;
  int most_pictures = 100;  // of a job
};

struct DrawJob {
  pipeline::MemberSpec model;  // of one model: its name, and what is loaded with it, by name
  pipeline::Request request;   // pictures are ids
  std::optional<pipeline::Recipe> recipe;  // instead of both
  std::vector<std::string> inputs;         // ids of all pictures that it reads
  int preview_every = 1;
  int previews = 0;  // so many at equal distances instead, whatever they cost
  image::FileFormat format = image::FileFormat::kPng;  // of the pictures
  std::optional<int> quality;  // of JPEG and WebP, 1 to 100; then they have no text inside
  bool member_previews = false;
};

// Error kBadInput names the field: an unknown key, a value of another kind, a name that there is
// not, a picture that is no id, more pictures than a job may have.
DrawJob draw_job_from(const nlohmann::json& spec, const NetworkNames& names,
                      const WorkerSetup& setup);

// What the model of a job is loaded with; names are still names.
pipeline::LoadOptions load_options_of(const pipeline::MemberSpec& model, const std::string& prompt,
                                      const WorkerSetup& setup);

}  // namespace pangu::app
