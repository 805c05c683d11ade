#include "pipeline/picture_text.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "diffusion/image_noise.h"
#include "pipeline/draw.h"
#include "pipeline/web_parameters.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// A path in the JSON of a key that names files; LoRAs have their weight behind a colon.
void replace_path(json& node, const std::string& key,
                  const std::function<std::string(const std::string& path)>& with) {
  const std::string text = node;
  const size_t colon = key == "lora" ? text.rfind(':') : std::string::npos;
  const std::string path = text.substr(0, colon);
  if (path.empty()) return;
  node = with(path) + (colon == std::string::npos ? "" : text.substr(colon));
}

void replace_paths_of(json& node, const std::string& key,
                      const std::function<std::string(const std::string& path)>& with) {
  if (node.is_array()) {
    for (json& item : node) replace_paths_of(item, key, with);
  } else if (node.is_object()) {
    for (auto& [inner, value] : node.items()) {
      const bool path_of_lora = key == "lora" && inner == "path";
      replace_paths_of(value, path_of_lora ? "image" : inner, with);
    }
  } else if (node.is_string() && key != "model" && names_a_path(key)) {
    replace_path(node, key, with);
  }
}

// The keys of a member that say something: what was loaded beside the model.
json load_json(const MemberSpec& member) {
  json table = to_json(member);
  const json usual = to_json(MemberSpec());
  for (const auto& [key, value] : usual.items()) {
    if (table.contains(key) && table[key] == value) table.erase(key);
  }
  for (const char* kept_of_model : {"model", "vae_dtype"}) table.erase(kept_of_model);
  return table;
}

}  // namespace

void replace_paths(json& document, const std::function<std::string(const std::string&)>& with) {
  replace_paths_of(document, "", with);
}

json kept_files(const json& document, const PictureKeeps& keeps) {
  json files = json::object();
  if (!keeps.mark) return files;
  json read = document;
  replace_paths(read, [&](const std::string& path) {
    if (files.contains(path)) return path;
    try {
      const io::ContentMark mark = keeps.mark(path);
      const fs::path from = fs::absolute(keeps.folder.empty() ? "." : keeps.folder);
      files[path] = {{mark.kind, mark.digits},
                     {"relative", fs::absolute(path)
                                      .lexically_normal()
                                      .lexically_relative(from.lexically_normal())
                                      .string()}};
    } catch (const std::exception&) {  // it was drawn all the same: a file that is gone by now
    }
    return path;
  });
  return files;
}

std::map<std::string, std::string> png_text(const Model& model, const Request& request, int index,
                                            const PictureKeeps& keeps) {
  Request one = request;
  one.seed = *request.seed + static_cast<uint64_t>(index);
  one.count = 1;
  json document = {{"request", to_json(one)},
                   {"model",
                    {{"path", keeps.model.model},
                     {"name", model.name},
                     {"fingerprint", model.fingerprint},
                     {"dtype", model.cost.dtype},
                     {"vae_dtype", model.cost.vae_dtype}}},
                   {kNoiseVersionKey, diffusion::kStepNoiseVersion}};
  if (model.cost.precision != kExactPrecision) {
    document["model"]["precision"] = model.cost.precision;
  }
  if (keeps.model.load.vae_tile > 0) document["model"]["vae_tile"] = keeps.model.load.vae_tile;
  if (keeps.grid) {
    document[kGridKey] = to_json(*keeps.grid);
    document["request"] = to_json(keeps.of_grid);
  }
  const json load = load_json(keeps.model);
  if (!load.empty()) document["load"] = load;
  json files = kept_files(document, keeps);
  if (!files.empty()) document["files"] = std::move(files);
  const Batch batch = batch_of(model, request, index);
  if (batch.count > 1) {
    document["batch"] = {{"first_seed", *request.seed + static_cast<uint64_t>(batch.first)},
                         {"count", batch.count}};
  }
  return {{kParametersText, text::to_text(web_parameters(model, one, keeps))},
          {kJsonText, document.dump()}};
}

}  // namespace pangu::pipeline
