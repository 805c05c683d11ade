#include "app/serve/picture_settings.h"

#include <filesystem>

#include "core/error.h"
#include "image/image.h"
#include "io/mapped_file.h"
#include "pipeline/picture_story.h"
#include "pipeline/request_fields.h"
#include "serve/picture_files.h"

namespace pangu::app {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class SettingsReader {
 public:
  explicit SettingsReader(const NetworkNames& names) : names_(names) {}

  // The name here of a network that was said by a path or a name; "" if there is none.
  std::string known(const char* kind, const std::string& said) {
    if (said.empty()) return "";
    for (const std::string& name :
         {said, fs::path(said).filename().string(), fs::path(said).stem().string()}) {
      if (names_.has(kind, name)) return name;
    }
    warn(std::string(kind) + " '" + fs::path(said).filename().string() + "' is not on this server");
    return "";
  }

  // The keys that differ from the defaults, with pictures that are ids.
  json request(const pipeline::Request& request) {
    json kept = json::object();
    const json usual = pipeline::to_json(pipeline::Request());
    const json all = pipeline::to_json(request);
    for (const auto& [key, value] : all.items()) {
      if (value == usual[key]) continue;
      const pipeline::RequestField* field = pipeline::find_request_field(key);
      const bool is_picture = (field && field->is_path) || key == "controls";
      if (is_picture && !are_ids(value)) {
        warn(key + ": its picture is not on this server");
        continue;
      }
      kept[key] = value;
    }
    return kept;
  }

  json load(const pipeline::LoadOptions& options) {
    json load = json::object();
    for (const pipeline::LoraUse& use : options.loras) {
      const std::string name = known("lora", use.path);
      if (name.empty()) continue;
      load["lora"].push_back({{"path", name},
                              {"weight", use.weight},
                              {"text_weight", use.text_weight.value_or(use.weight)}});
    }
    const auto list = [&](const char* kind, const std::vector<std::string>& said) {
      for (const std::string& one : said) {
        const std::string name = known(kind, one);
        if (!name.empty()) load[kind].push_back(name);
      }
    };
    const auto one = [&](const char* kind, const std::string& said) {
      const std::string name = known(kind, said);
      if (!name.empty()) load[kind] = name;
    };
    list("controlnet", options.controlnets);
    list("embedding", options.embeddings);
    list("text_encoder", options.text_encoders);
    one("vae", options.vae);
    one("unet", options.unet);
    one("upscaler", options.upscaler);
    one("refiner", options.refiner);
    if (load.contains("refiner")) load["refiner_start"] = options.refiner_start;
    if (!options.prediction_type.empty()) load["prediction_type"] = options.prediction_type;
    return load;
  }

  void warn(const std::string& sentence) { warnings_.push_back(sentence); }
  const json& warnings() const { return warnings_; }

 private:
  static bool are_ids(const json& value) {
    if (value.is_string()) return serve::is_picture_id(value.get<std::string>());
    for (const json& use : value) {
      if (!serve::is_picture_id(use.value("image", ""))) return false;
    }
    return true;
  }

  const NetworkNames& names_;
  json warnings_ = json::array();
};

json recipe_settings(const pipeline::Recipe& recipe, SettingsReader& reader) {
  json written = pipeline::to_json(recipe);
  for (json& member : written["member"]) {
    const std::string model = member.value("model", "");
    member["model"] = reader.known("model", model);
    for (const char* key : {"mask", "tiny_vae"}) {
      if (!member.contains(key)) continue;
      if (serve::is_picture_id(member.value(key, ""))) continue;
      reader.warn(std::string(key) + " of a member is not on this server");
      member.erase(key);
    }
  }
  written.erase("bridges");
  return written;
}

}  // namespace

json picture_settings(const std::string& path, const NetworkNames& names) {
  const io::MappedFile file(path);
  const auto bytes = file.bytes();
  const auto text =
      image::read_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  const pipeline::PictureStory story = pipeline::story_of_text(text, "the picture");
  SettingsReader reader(names);
  json settings = {{"origin", story.origin}};
  if (story.recipe) {
    settings["recipe"] = recipe_settings(*story.recipe, reader);
  } else {
    settings["request"] = reader.request(story.request);
    settings["model"] =
        reader.known("model", story.mark.path.empty() ? story.mark.name : story.mark.path);
    // LoRAs that the prompt names by itself would count twice.
    pipeline::LoadOptions load = story.model.load;
    for (const pipeline::LoraUse& tagged : loras_named_in(story.request.prompt)) {
      std::erase_if(load.loras, [&](const pipeline::LoraUse& use) {
        return fs::path(use.path).stem().string() == tagged.path;
      });
    }
    settings["load"] = reader.load(load);
  }
  if (!story.difference.empty()) reader.warn(story.difference);
  settings["unmatched"] = story.unmatched;
  settings["warnings"] = reader.warnings();
  return settings;
}

}  // namespace pangu::app
