#include "app/serve/catalog.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"
#include "pipeline/model.h"
#include "pipeline/request_fields.h"

namespace pangu::app {
namespace {

using nlohmann::json;

// In which models are opened; behind it they are listed by name alone.
constexpr std::chrono::seconds kLookingTime{5};
constexpr const char* kEmbeddedModel = "mini";

const char* type_of(const pipeline::RequestField& field) {
  using pipeline::FieldWords;
  const std::string_view type = field.type;
  if (field.key == "controls") return "controls";
  if (field.words == FieldWords::kNone) return "boolean";
  if (field.words == FieldWords::kSeveral) return "texts";
  return type == "INT" ? "integer" : type == "FLOAT" ? "number" : "text";
}

json fields_json() {
  json fields = json::array();
  for (const pipeline::RequestField& field : pipeline::request_fields()) {
    fields.push_back({{"key", field.key},
                      {"type", type_of(field)},
                      {"help", field.help},
                      {"default", field.written ? field.written(pipeline::Request()) : json()},
                      {"usual", field.usual},
                      {"values", field.values},
                      {"picture", field.is_path},
                      {"shared", field.of_all}});
  }
  return fields;
}

void add_facts(json& entry, const pipeline::Model& model) {
  const pipeline::RequestRules& rules = model.rules;
  entry["title"] = model.name;
  entry["fingerprint"] = model.fingerprint;
  entry["experts"] = json::array();
  for (const auto& expert : model.denoising.experts) entry["experts"].push_back(expert.name);
  entry["boundaries"] = model.denoising.boundaries;
  const json defaults = pipeline::to_json(rules.defaults);
  entry["defaults"] = json::object();
  for (const char* key : {"width", "height", "steps", "guidance", "guidance_low", "style_scale",
                          "sampler", "schedule", "noise"}) {
    entry["defaults"][key] = defaults[key];
  }
  entry["size_multiple"] = rules.size_multiple;
  entry["min_side"] = rules.min_side_px;
  entry["max_side"] = rules.max_side_px;
  entry["max_steps"] = rules.max_steps;
  entry["sizes"] = json::array();
  for (const auto& [width, height] : rules.sizes) entry["sizes"].push_back({width, height});
  entry["styles"] = json::array();
  for (const auto& [style, words] : model.styles) entry["styles"].push_back(style);
  entry["controls"] = model.denoising.control_channels > 0;
  entry["inpainting"] = model.denoising.extra_channels > 0;
  entry["image_prompt"] = model.quirks.reads_picture;
  entry["weight_bytes"] = model.cost.weight_bytes;
  entry["device"] = model.cost.device;
  entry["dtype"] = model.cost.dtype;
}

template <class Table>
json named_entries(const Table& table) {
  json list = json::array();
  for (const auto& entry : table) {
    list.push_back(
        {{"name", entry.name}, {"web_name", entry.web_name}, {"aliases", entry.other_names}});
    list.back()["summary"] = entry.summary;
  }
  return list;
}

json samplers_json() {
  json list = named_entries(diffusion::samplers());
  for (size_t i = 0; i < list.size(); ++i) {
    list[i]["takes_eta"] = diffusion::samplers()[i].takes_eta;
  }
  return list;
}

}  // namespace

json models_json(const NetworkNames& names, const WorkerSetup& setup) {
  json models = json::array();
  const auto until = std::chrono::steady_clock::now() + kLookingTime;
  const std::string usual = setup.default_model.empty() ? kEmbeddedModel : setup.default_model;
  for (const std::string& name : names.names("model")) {
    json entry = {{"id", name},
                  {"object", "model"},
                  {"created", 0},
                  {"owned_by", "pangu-draw"},
                  {"name", name},
                  {"title", name},
                  {"default", name == usual},
                  {"error", nullptr}};
    if (std::chrono::steady_clock::now() < until) {
      try {
        add_facts(entry, pipeline::load_model(names.path_of("model", name),
                                              load_options_of({}, "", setup)));
      } catch (const std::exception& problem) {
        entry["error"] = names.without_folders(problem.what());
      }
    }
    models.push_back(std::move(entry));
  }
  // The default first.
  std::stable_sort(models.begin(), models.end(), [](const json& a, const json& b) {
    return a["default"].get<bool>() && !b["default"].get<bool>();
  });
  return models;
}

json capabilities_json(const NetworkNames& names) {
  json networks = json::object();
  for (const char* kind :
       {"lora", "controlnet", "embedding", "vae", "unet", "text_encoder", "upscaler", "refiner"}) {
    networks[kind] = names.names(kind);
  }
  return {
      {"fields", fields_json()},
      {"samplers", samplers_json()},
      {"schedules", named_entries(diffusion::sigma_rules())},
      {"networks", networks},
      {"controls",
       {{{"kind", "edges"},
         {"options", {{"low_threshold", 100}, {"high_threshold", 200}, {"l2_gradient", false}}}},
        {{"kind", "hed"},
         {"options", {{"detect_resolution", 512}, {"safe", false}, {"scribble", false}}}},
        {{"kind", "pose"},
         {"options", {{"detect_resolution", 192}, {"threshold", 0.2}, {"people", 5}}}}}},
      {"coop",
       {{"forms", {"paper", "symmetric", "one_way"}},
        {"bridges", {"auto", "exact", "tiny", "learned"}}}},
      {"features",
       {"draw", "coop", "plan", "previews", "member_previews", "settings", "controls", "openai",
        "sdapi"}}};
}

}  // namespace pangu::app
