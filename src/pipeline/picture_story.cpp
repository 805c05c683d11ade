#include "pipeline/picture_story.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "image/image.h"
#include "io/mapped_file.h"
#include "pipeline/comfy_graph.h"
#include "pipeline/picture_text.h"
#include "pipeline/web_parameters.h"
#include "text/infotext.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

constexpr int kUnnamedNoiseVersion = 1;  // of pictures from before versions were written
constexpr const char* kComfyText = "prompt";

// What was meant where a key is missing, because the program had no such key when it drew: pictures
// of another shape were stretched.
json with_old_defaults(json request) {
  if (request.is_object() && !request.contains("resize_mode")) request["resize_mode"] = "stretch";
  return request;
}

// Before marks had kinds a file had its SHA-256 alone.
KeptInput kept_input(const std::string& path, const json& files) {
  KeptInput input{path, "", {}};
  const auto found = files.find(path);
  if (found == files.end()) return input;
  if (found->is_string()) input.mark = {"sha256", found->get<std::string>()};
  if (!found->is_object()) return input;
  const auto text = [&](const char* key) {
    return found->contains(key) && (*found)[key].is_string() ? (*found)[key].get<std::string>()
                                                             : "";
  };
  input.relative = text("relative");
  for (const char* kind : {"sha256", "ends"}) {
    if (!text(kind).empty()) input.mark = {kind, text(kind)};
  }
  return input;
}

std::string difference_in(const json& document, const Request& request) {
  // A recipe may leave both to its hub, whose defaults are philox and a sampler without noise.
  const bool own_noise = request.noise.value_or("philox") == "philox";
  if (!request.sampler || !own_noise) return "";
  const auto& all = diffusion::samplers();
  const auto sampler = std::find_if(all.begin(), all.end(),
                                    [&](const auto& s) { return s.name == *request.sampler; });
  if (sampler == all.end()) return "";  // who draws with it will say so
  if (!sampler->needs_noise && !(sampler->takes_eta && request.eta.value_or(0.0) > 0.0)) return "";
  const json version = document.value(kNoiseVersionKey, json(kUnnamedNoiseVersion));
  if (version == diffusion::kStepNoiseVersion) return "";
  return "the noise that " + *request.sampler + " adds was of version " +
         version.dump().substr(0, 20) + " and is of version " +
         std::to_string(diffusion::kStepNoiseVersion) + " now, which makes another picture";
}

void read_model(PictureStory& story, const json& document, const std::string& what) {
  JsonReader model(what + ", model", document.value("model", json::object()));
  model.read("path", story.mark.path);
  model.read("name", story.mark.name);
  model.read("fingerprint", story.mark.fingerprint);
  model.read("dtype", story.load.dtype);
  model.read("precision", story.load.precision);
  model.read("vae_tile", story.load.vae_tile);
  json member = document.value("load", json::object());
  if (!member.is_object()) throw bad_input(what + ", load", "an object", short_text(member));
  member["model"] = story.mark.path;
  story.model = member_from_json(member);
  model.read("vae_dtype", story.model.load.vae_dtype);
}

void read_members(PictureStory& story, const json& document, const std::string& what) {
  const json models = document.value("models", json::object());
  for (const auto& [name, mark] : models.items()) {
    if (mark.is_string()) story.marks[name] = {"", "", mark.get<std::string>()};
    if (!mark.is_object()) continue;
    JsonReader read(what + ", models", mark);
    read.read("name", story.marks[name].name);
    read.read("fingerprint", story.marks[name].fingerprint);
  }
  for (const MemberSpec& member : story.recipe->members) {
    if (story.marks.count(member.name)) story.marks[member.name].path = member.model;
  }
  JsonReader shared(what + ", shared", document.value("shared", json::object()));
  shared.read("dtype", story.load.dtype);
  shared.read("precision", story.load.precision);
  shared.read("vae_tile", story.load.vae_tile);
}

PictureStory own_story(const std::string& text, const std::string& name, const FindInput& find) {
  const std::string what = "'" + name + "', text '" + kJsonText + "'";
  json document = JsonReader(what, parse_json(text, what)).json();
  const json files = document.value("files", json::object());
  for (const char* part : {"request", "load", "recipe"}) {
    if (!find || !document.contains(part)) continue;
    replace_paths(document[part],
                  [&](const std::string& path) { return find(kept_input(path, files)); });
  }
  PictureStory story;
  story.origin = kOwnOrigin;
  if (document.contains(kGridKey)) story.grid = grid_from_json(document[kGridKey]);
  if (document.contains("recipe")) {
    story.recipe = recipe_from_json(with_old_defaults(document["recipe"]));
    read_members(story, document, what);
    story.difference = difference_in(document, story.recipe->request);
    return story;
  }
  if (!document.contains("request")) throw bad_input("'" + name + "'", "a request", "none");
  story.request = request_from_json(with_old_defaults(document["request"]));
  read_model(story, document, what);
  story.difference = difference_in(document, story.request);
  return story;
}

PictureStory foreign_story(const char* origin, WebRequest found) {
  PictureStory story;
  story.origin = origin;
  story.request = std::move(found.request);
  story.mark = {"", found.model, ""};
  story.grid = std::move(found.grid);
  story.unmatched = std::move(found.unmatched);
  return story;
}

}  // namespace

PictureStory story_of_text(const std::map<std::string, std::string>& text, const std::string& name,
                           const FindInput& find) {
  const auto own = text.find(kJsonText), web = text.find(kParametersText),
             comfy = text.find(kComfyText);
  if (own != text.end()) return own_story(own->second, name, find);
  const auto reading = [&](const auto& read) {
    try {
      return read();
    } catch (const Error& error) {
      throw while_doing("reading '" + name + "'", error);
    }
  };
  if (web != text.end()) {
    return reading([&] {
      const text::Infotext info = text::parse_infotext(web->second);
      return foreign_story("A1111's web UI", request_of_parameters(info));
    });
  }
  if (comfy != text.end()) {
    return reading([&] {
      const json graph = parse_json(comfy->second, "text 'prompt'", kComfyLimits);
      return foreign_story("ComfyUI", request_of_graph(graph));
    });
  }
  throw bad_input("'" + name + "'", "a picture of this program, of A1111's web UI or of ComfyUI",
                  "one that says nothing of its drawing",
                  "programs that send pictures often remove such text");
}

PictureStory story_of_picture(const std::string& path, const FindInput& find) {
  const io::MappedFile file(path);
  const auto bytes = file.bytes();
  std::map<std::string, std::string> text;
  try {
    text = image::read_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  } catch (const Error& error) {
    throw while_doing("reading '" + path + "'", error);
  }
  return story_of_text(text, path, find);
}

}  // namespace pangu::pipeline
