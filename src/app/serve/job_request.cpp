#include "app/serve/job_request.h"

#include <algorithm>

#include "app/home.h"
#include "core/error.h"
#include "core/json_reader.h"
#include "core/nearest.h"
#include "pipeline/request_fields.h"
#include "serve/picture_files.h"

namespace pangu::app {
namespace {

using nlohmann::json;

// The keys of a job's "load": those of a recipe's member that say what is loaded with it.
const std::vector<std::string> kLoadKeys = {
    "lora",    "controlnet",    "embedding", "text_encoder",   "vae", "unet", "upscaler",
    "refiner", "refiner_start", "vae_dtype", "prediction_type"};

constexpr size_t kIdDigits = 64;

[[noreturn]] void refuse_picture(const std::string& key, const std::string& found) {
  throw bad_input("request, key '" + key + "'", "an id of POST /v1/pictures",
                  "'" + found.substr(0, 80) + "'");
}

// "ID", or for control_image "ID,weight=1": before anything else looks at the text, which might
// take it for a file's name.
void collect_picture(const std::string& key, const json& value, std::vector<std::string>& ids) {
  if (value.is_array()) {
    for (const json& item : value) collect_picture(key, item, ids);
  } else if (value.is_object()) {
    if (value.contains("image")) collect_picture(key, value["image"], ids);
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text.empty() && key != "control_image") return;
    const std::string id = text.substr(0, kIdDigits), rest = text.substr(id.size());
    const bool may_have_more = key == "control_image" && rest.starts_with(",");
    if (!serve::is_picture_id(id) || !(rest.empty() || may_have_more)) refuse_picture(key, text);
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
}

void collect_pictures(const json& request, std::vector<std::string>& ids) {
  if (!request.is_object()) return;
  for (const auto& [key, value] : request.items()) {
    const pipeline::RequestField* field = pipeline::find_request_field(key);
    if ((field && field->is_path) || key == "controls") collect_picture(key, value, ids);
    if (!field && key == "mask") collect_picture(key, value, ids);  // of a member
  }
}

void check_count(const pipeline::Request& request, const WorkerSetup& setup) {
  if (request.count <= setup.most_pictures) return;
  throw bad_input("request, key 'count'",
                  "at most " + std::to_string(setup.most_pictures) + " in one job",
                  std::to_string(request.count));
}

// LoRA names may hold a colon only in front of the weight; what stands behind it must be a number.
void check_names(const pipeline::MemberSpec& model, const std::string& prompt,
                 const NetworkNames& names, const WorkerSetup& setup) {
  names.path_of("model", model.model);
  names.with_paths(load_options_of(model, prompt, setup));
}

pipeline::MemberSpec model_of_spec(const json& spec, const WorkerSetup& setup) {
  json load = spec.value("load", json::object());
  if (!load.is_object()) throw bad_input("load", "a JSON object", short_text(load));
  for (const auto& [key, value] : load.items()) {
    if (std::find(kLoadKeys.begin(), kLoadKeys.end(), key) != kLoadKeys.end()) continue;
    std::string list;
    for (const std::string& known : kLoadKeys) list += (list.empty() ? "one of " : ", ") + known;
    throw bad_input("load, key", list, "'" + key + "'", did_you_mean(key, kLoadKeys));
  }
  std::string name = spec.value("model", "");
  if (name.empty()) name = setup.default_model;
  load["model"] = name;
  pipeline::MemberSpec model = pipeline::member_from_json(load);
  model.model = name;
  return model;
}

// A recipe whose files are names and ids; the folders of learned bridges are the server's own.
pipeline::Recipe recipe_of_spec(const json& recipe, const NetworkNames& names,
                                const WorkerSetup& setup, std::vector<std::string>& inputs) {
  collect_pictures(recipe, inputs);
  const json members = recipe.value("member", json::array());
  if (members.is_array()) {
    for (const json& member : members) {
      collect_pictures(member, inputs);
      if (member.is_object() && member.contains("tiny_vae")) {
        throw bad_input("recipe, key 'tiny_vae'", "none on a server",
                        short_text(member["tiny_vae"]));
      }
    }
  }
  if (recipe.contains("bridges")) {
    throw bad_input("recipe, key 'bridges'", "none: a server has its own",
                    short_text(recipe["bridges"]));
  }
  pipeline::Recipe read = pipeline::recipe_from_json(recipe);
  for (const pipeline::MemberSpec& member : read.members) check_names(member, "", names, setup);
  return read;
}

}  // namespace

pipeline::LoadOptions load_options_of(const pipeline::MemberSpec& model, const std::string& prompt,
                                      const WorkerSetup& setup) {
  pipeline::LoadOptions options = model.load;
  options.device = setup.device;
  if (!setup.dtype.empty()) options.dtype = setup.dtype;
  options.tokenizers = (home() / "models" / "tokenizers").string();
  for (const auto& use : loras_named_in(prompt)) options.loras.push_back(use);
  return options;
}

DrawJob draw_job_from(const json& spec, const NetworkNames& names, const WorkerSetup& setup) {
  DrawJob job;
  job.preview_every = spec.value("preview_every", 1);
  job.previews = spec.value("previews", 0);
  job.member_previews = spec.value("member_previews", false);
  JsonReader how("body", spec);
  const std::string format = how.get("output_format", std::string("png"));
  const auto known = image::format_of_name("." + format);
  if (!known || format == "jpg") {
    throw how.error("output_format", "png, jpeg or webp", "'" + format + "'");
  }
  job.format = *known;
  if (how.has("output_compression")) {
    int quality = 0;
    how.read("output_compression", quality, 0, 100);
    if (job.format != image::FileFormat::kPng) job.quality = std::max(1, quality);
  }
  if (spec.contains("recipe")) {
    job.recipe = recipe_of_spec(spec["recipe"], names, setup, job.inputs);
    check_count(job.recipe->request, setup);
    return job;
  }
  const json& request = spec.at("request");
  collect_pictures(request, job.inputs);
  job.request = pipeline::request_from_json(request);
  check_count(job.request, setup);
  job.model = model_of_spec(spec, setup);
  check_names(job.model, job.request.prompt, names, setup);
  return job;
}

}  // namespace pangu::app
