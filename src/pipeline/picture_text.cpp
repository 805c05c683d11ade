#include "pipeline/picture_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/json_reader.h"
#include "diffusion/image_noise.h"
#include "image/image.h"
#include "io/mapped_file.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kJsonKey = "pangu-draw";
constexpr int kUnnamedNoiseVersion = 1;  // of pictures from before versions were written
constexpr const char* kVaeDtypeKey = "vae_dtype";
constexpr const char* kParametersKey = "parameters";  // A1111's web UI

std::map<std::string, std::string> text_of_png(const std::string& path) {
  const io::MappedFile file(path);
  const auto bytes = file.bytes();
  try {
    return image::read_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  } catch (const Error& error) {
    throw while_doing("reading '" + path + "'", error);
  }
}

nlohmann::json json_of_png(const std::string& path) {
  const auto text = text_of_png(path);
  const auto found = text.find(kJsonKey);
  if (found == text.end()) {
    throw bad_input("'" + path + "'", "a PNG drawn by this program", "one without its request");
  }
  const std::string what = "'" + path + "', text '" + kJsonKey + "'";
  return JsonReader(what, parse_json(found->second, what)).json();
}

// What was meant where a key is missing, because the program had no such key when it drew: pictures
// of another shape were stretched.
nlohmann::json with_old_defaults(nlohmann::json request) {
  if (request.is_object() && !request.contains("resize_mode")) request["resize_mode"] = "stretch";
  return request;
}

}  // namespace

std::map<std::string, std::string> png_text(const Model& model, const Request& request, int index) {
  Request one = request;
  one.seed = *request.seed + static_cast<uint64_t>(index);
  one.count = 1;
  nlohmann::json json = {{"request", to_json(one)},
                         {"model",
                          {{"name", model.name},
                           {"fingerprint", model.fingerprint},
                           {kVaeDtypeKey, model.cost.vae_dtype}}},
                         {kNoiseVersionKey, diffusion::kStepNoiseVersion}};
  const Batch batch = batch_of(model, request, index);
  if (batch.count > 1) {
    json["batch"] = {{"first_seed", *request.seed + static_cast<uint64_t>(batch.first)},
                     {"count", batch.count}};
  }
  std::ostringstream parameters;
  parameters << request.prompt << "\n";
  if (!request.negative.empty()) parameters << "Negative prompt: " << request.negative << "\n";
  parameters << "Steps: " << *request.steps << ", Sampler: " << *request.sampler
             << ", Schedule type: " << *request.schedule << ", CFG scale: " << *request.guidance
             << ", Seed: " << *one.seed << ", Size: " << *request.width << "x" << *request.height
             << ", Model: " << model.name;
  if (request.eta) parameters << ", Eta: " << *request.eta;
  if (request.s_noise != 1.0) parameters << ", Sigma noise: " << request.s_noise;
  return {{kParametersKey, parameters.str()}, {kJsonKey, json.dump()}};
}

Request request_of_png(const std::string& path) {
  const nlohmann::json json = json_of_png(path);
  if (!json.contains("request")) {
    const bool recipe = json.contains("recipe");
    throw bad_input("'" + path + "'", "a request", recipe ? "a recipe of several models" : "none",
                    recipe ? "pangu-draw coop --from repeats it" : "");
  }
  return request_from_json(with_old_defaults(json["request"]));
}

Recipe recipe_of_png(const std::string& path) {
  const nlohmann::json json = json_of_png(path);
  if (!json.contains("recipe")) {
    const bool request = json.contains("request");
    throw bad_input("'" + path + "'", "a recipe", request ? "a request of one model" : "none",
                    request ? "pangu-draw draw --from repeats it" : "");
  }
  return recipe_from_json(with_old_defaults(json["recipe"]));
}

std::optional<std::string> vae_dtype_of_png(const std::string& path) {
  const nlohmann::json json = json_of_png(path);
  std::optional<std::string> dtype;
  if (json.contains("model")) {
    JsonReader("'" + path + "', model", json["model"]).read(kVaeDtypeKey, dtype);
  }
  return dtype;
}

std::string difference_of_png(const std::string& path) {
  const nlohmann::json json = json_of_png(path);
  const Request request =
      json.contains("recipe") ? recipe_from_json(json["recipe"]).request : request_of_png(path);
  // A recipe may leave both to its hub, whose defaults are philox and a sampler without noise.
  const bool own_noise = request.noise.value_or("philox") == "philox";
  if (!request.sampler || !own_noise) return "";
  const auto& all = diffusion::samplers();
  const auto sampler = std::find_if(all.begin(), all.end(),
                                    [&](const auto& s) { return s.name == *request.sampler; });
  if (sampler == all.end()) return "";  // who draws with it will say so
  if (!sampler->needs_noise && !(sampler->takes_eta && request.eta.value_or(0.0) > 0.0)) return "";
  const auto found = json.find(kNoiseVersionKey);
  const nlohmann::json version =
      found == json.end() ? nlohmann::json(kUnnamedNoiseVersion) : *found;
  if (version == diffusion::kStepNoiseVersion) return "";
  return "the noise that " + *request.sampler + " adds was of version " +
         version.dump().substr(0, 20) + " and is of version " +
         std::to_string(diffusion::kStepNoiseVersion) + " now, which makes another picture";
}

std::vector<std::string> changed_inputs_of_png(
    const std::string& path, const std::function<std::string(const std::string& path)>& hash) {
  const nlohmann::json json = json_of_png(path);
  const nlohmann::json files = json.value("files", nlohmann::json::object());
  std::vector<std::string> changed;
  for (const std::string& file : files_of(recipe_of_png(path))) {
    if (!files.is_object() || !files.contains(file)) continue;
    try {
      if (files[file] != hash(file)) changed.push_back(file);
    } catch (const Error&) {  // who draws with it will say what is wrong
    }
  }
  return changed;
}

}  // namespace pangu::pipeline
