#include "pipeline/coop/recipe.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/fields.h"
#include "core/file_options.h"
#include "core/json_reader.h"
#include "core/nearest.h"
#include "core/number.h"
#include "core/utf8.h"
#include "pipeline/request_fields.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMaxMembers = 16;
constexpr double kMaxWeight = 1e6;
constexpr double kHalf = 0.5;  // default weight of a member on the command line
constexpr const char* kFilters[] = {"nearest", "bilinear", "bicubic", "lanczos"};

Error unknown_key(const JsonReader& table, const std::string& key) {
  std::string list;
  for (const std::string& name : table.asked()) list += (list.empty() ? "one of " : ", ") + name;
  std::vector<std::string> known(table.asked().begin(), table.asked().end());
  for (const RequestField& field : request_fields()) known.push_back(field.key);
  return bad_input(table.name() + ", key", list + " or a key of a request", "'" + key + "'",
                   did_you_mean(key, known));
}

// Returns the keys that nobody has read as a request's; throws if one is no key of a request or has
// a value of another kind. Other spellings become the keys that a request is written with: "size"
// becomes width and height, "control_image" controls.
json rest_as_request(const JsonReader& table) {
  json request = json::object(), spelled = json::object();
  const json rest = table.rest();
  for (const auto& [key, value] : rest.items()) {
    const RequestField* field = find_request_field(key);
    if (!field) throw unknown_key(table, key);
    (field->written ? request : spelled)[key] = value;
  }
  try {
    const json defaults = to_json(Request()), resolved_fields = to_json(request_from_json(spelled));
    for (const auto& [key, value] : resolved_fields.items()) {
      if (value != defaults[key]) request[key] = value;
    }
    request_from_json(request);
  } catch (const Error& error) {
    throw Error(error.code(), table.name() + ": " + error.what());
  }
  return request;
}

json infinite_as_null(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

void read_curve(JsonReader& keys, MemberSpec& member) {
  const json curve = keys.get("weight_curve", json());
  if (curve.is_null()) return;
  const auto fits = [](const json& point) {
    return point.is_array() && point.size() == 2 && point[0].is_number() && point[1].is_number();
  };
  if (!curve.is_array() || curve.empty() || !std::all_of(curve.begin(), curve.end(), fits)) {
    throw keys.error("weight_curve", "a list of [sigma, weight]", shown(curve));
  }
  for (const json& point : curve) member.weight_curve.emplace_back(point[0], point[1]);
}

// Reads one LoRA or a list of them, each "FILE[:WEIGHT]", or {path, weight, text_weight} as a PNG
// keeps it.
void read_loras(JsonReader& keys, std::vector<LoraUse>& uses) {
  const auto number = [](const json& table, const char* key) {
    return table.contains(key) && table[key].is_number();
  };
  for (const json& item : keys.get("lora", std::vector<json>())) {
    if (item.is_string()) {
      uses.push_back(lora_use_from(item));
    } else if (item.is_object() && item.size() == 3 && item.contains("path") &&
               item["path"].is_string() && number(item, "weight") && number(item, "text_weight")) {
      uses.push_back({item["path"], item["weight"], item["text_weight"].get<double>()});
    } else {
      throw keys.error("lora", "FILE[:WEIGHT], or a list of them", shown(item));
    }
  }
}

void check_share(const JsonReader& keys, double from, double to) {
  if (!(from < to)) throw keys.error("to", "a share of the steps above `from`", shown(to));
}

MemberSpec member_from(const json& table, size_t number) {
  std::string owner = "member " + std::to_string(number);
  if (table.is_object() && table.contains("name") && table["name"].is_string()) {
    owner = "member '" + table["name"].get<std::string>() + "'";
  } else if (table.is_object() && table.contains("model") && table["model"].is_string()) {
    owner += " ('" + table["model"].get<std::string>() + "')";
  }
  JsonReader keys(owner, table);
  MemberSpec m;
  keys.read("name", m.name);
  keys.read("model", m.model);
  keys.read("hub", m.hub);
  keys.read("weight", m.weight, 0.0, kMaxWeight);
  read_curve(keys, m);
  keys.read("from", m.from, 0.0, 1.0);
  keys.read("to", m.to, 0.0, 1.0);
  check_share(keys, m.from, m.to);
  keys.read("sigma_low", m.sigma_low, 0.0, 1e9);
  keys.read("sigma_high", m.sigma_high, 0.0, 1e9);
  keys.read("mask", m.mask);
  keys.read("tiny_vae", m.tiny_vae);
  keys.read("controlnet", m.load.controlnets);
  read_loras(keys, m.load.loras);
  keys.read("embedding", m.load.embeddings);
  keys.read("vae", m.load.vae);
  keys.read("vae_dtype", m.load.vae_dtype);
  keys.read("unet", m.load.unet);
  keys.read("text_encoder", m.load.text_encoders);
  keys.read("prediction_type", m.load.prediction_type);
  keys.read("upscaler", m.load.upscaler);
  keys.read("refiner", m.load.refiner);
  keys.read("refiner_start", m.load.refiner_start, 0.0, 1.0);
  m.request = rest_as_request(keys);
  for (const RequestField& field : request_fields()) {
    if (field.of_all && m.request.contains(field.key) && !m.request[field.key].is_null()) {
      throw keys.error(field.key, "none, since all members share it", shown(m.request[field.key]));
    }
  }
  return m;
}

json json_of_member(const MemberSpec& m) {
  json table = m.request;
  table["name"] = m.name;
  table["model"] = m.model;
  table["hub"] = m.hub;
  table["weight"] = m.weight;
  if (!m.weight_curve.empty()) table["weight_curve"] = m.weight_curve;
  table["from"] = m.from;
  table["to"] = m.to;
  table["sigma_low"] = m.sigma_low;
  table["sigma_high"] = infinite_as_null(m.sigma_high);
  const auto write = [&](const char* key, const auto& field) {
    if (!field.empty()) table[key] = field;
  };
  write("mask", m.mask);
  write("tiny_vae", m.tiny_vae);
  write("controlnet", m.load.controlnets);
  write("embedding", m.load.embeddings);
  write("vae", m.load.vae);
  if (m.load.vae_dtype) table["vae_dtype"] = *m.load.vae_dtype;
  write("unet", m.load.unet);
  write("text_encoder", m.load.text_encoders);
  write("prediction_type", m.load.prediction_type);
  write("upscaler", m.load.upscaler);
  write("refiner", m.load.refiner);
  if (!m.load.refiner.empty()) table["refiner_start"] = m.load.refiner_start;
  for (const LoraUse& use : m.load.loras) {
    if (use.text_weight) {
      table["lora"].push_back(
          {{"path", use.path}, {"weight", use.weight}, {"text_weight", *use.text_weight}});
    } else {
      table["lora"].push_back(use.path + ":" + shown(use.weight));
    }
  }
  return table;
}

StageSpec stage_from(const json& table, size_t number) {
  JsonReader keys("stage " + std::to_string(number), table);
  StageSpec stage;
  keys.read("members", stage.members);
  keys.read("until", stage.until);
  std::string size;
  keys.read("size", size);
  if (!size.empty()) stage.size = size_from(size);
  keys.read("upscale", stage.upscale);
  if (std::find(std::begin(kFilters), std::end(kFilters), stage.upscale) == std::end(kFilters)) {
    throw keys.error("upscale", "nearest, bilinear, bicubic or lanczos", shown(stage.upscale));
  }
  const json rest = keys.rest();
  if (!rest.empty()) throw unknown_key(keys, rest.begin().key());
  if (stage.members.empty()) throw keys.error("members", "names of members", "[]");
  return stage;
}

json to_json(const StageSpec& stage) {
  json table = {{"members", stage.members}, {"until", stage.until}, {"upscale", stage.upscale}};
  if (stage.size) {
    table["size"] = std::to_string(stage.size->first) + "x" + std::to_string(stage.size->second);
  }
  return table;
}

json tables(JsonReader& keys, const char* key) {
  json list = keys.get(key, json());
  if (list.is_null()) return json::array();
  if (!list.is_array()) throw keys.error(key, std::string("tables [[") + key + "]]", shown(list));
  return list;
}

void check_members(const Recipe& recipe) {
  if (recipe.members.size() < 2 || recipe.members.size() > kMaxMembers) {
    throw bad_input("recipe", "two to " + std::to_string(kMaxMembers) + " members",
                    std::to_string(recipe.members.size()));
  }
  const MemberSpec* hub = nullptr;
  for (const MemberSpec& m : recipe.members) {
    if (!m.hub) continue;
    const auto label = [](const MemberSpec& member) {
      return "'" + (member.name.empty() ? member.model : member.name) + "'";
    };
    if (hub) {
      throw bad_input("recipe", "one hub", label(*hub) + " and " + label(m),
                      "the hub is the member whose latent becomes the picture");
    }
    hub = &m;
  }
  if (!hub) {
    throw bad_input("recipe", "one member with hub = true", "none",
                    "the hub is the member whose latent becomes the picture");
  }
}

// The keys of members and of control pictures whose values are paths; for keys of a request,
// RequestField::is_path says so.
const std::set<std::string> kPathKeys = {
    "model", "mask",         "controlnet", "lora",     "embedding", "vae",  "tiny_vae",
    "unet",  "text_encoder", "refiner",    "upscaler", "bridges",   "image"};

// Replaces the path in `text` (the part before ",weight=" or ":0.8") by that of the file in the
// recipe's folder or in `home`.
std::string located(const std::string& key, const std::string& text, const fs::path& folder,
                    const fs::path& home) {
  std::vector<size_t> ends = {text.size()};
  if (key == "control_image") ends.push_back(file_options_from(text).file.size());
  if (key == "lora" && text.rfind(':') != std::string::npos) ends.push_back(text.rfind(':'));
  for (const size_t end : ends) {
    const fs::path path = text.substr(0, end);
    if (path.empty() || path.is_absolute()) return text;
    for (const fs::path& base : {folder, home}) {
      std::error_code unreadable;
      if (fs::exists(base / path, unreadable)) {
        return (base / path).lexically_normal().string() + text.substr(end);
      }
    }
  }
  return text;
}

void locate(json& node, const std::string& key, const fs::path& folder, const fs::path& home) {
  if (node.is_object()) {
    for (auto& [inner, value] : node.items()) locate(value, inner, folder, home);
  } else if (node.is_array()) {
    for (json& item : node) locate(item, key, folder, home);
  } else if (node.is_string() && names_a_path(key)) {
    node = located(key, node.get<std::string>(), folder, home);
  }
}

}  // namespace

bool names_a_path(const std::string& key) {
  const RequestField* field = find_request_field(key);
  return field ? field->is_path : kPathKeys.count(key) > 0;
}

MemberSpec member_from_json(const json& table) { return member_from(table, 1); }
json to_json(const MemberSpec& member) { return json_of_member(member); }

Recipe recipe_from_json(const json& document) {
  JsonReader keys("recipe", document);
  Recipe r;
  size_t number = 0;
  for (const json& table : tables(keys, "member"))
    r.members.push_back(member_from(table, ++number));
  number = 0;
  for (const json& table : tables(keys, "stage")) r.stages.push_back(stage_from(table, ++number));
  keys.read("form", r.form);
  keys.read("bridge", r.bridge);
  keys.read("bridges", r.bridges);
  keys.read("bridge_every", r.bridge_every, 1, 1000);
  keys.read("bridge_from", r.bridge_from, 0.0, 1.0);
  keys.read("bridge_to", r.bridge_to, 0.0, 1.0);
  check_share(keys, r.bridge_from, r.bridge_to);
  keys.read("handoff", r.handoff);
  r.request = request_from_json(rest_as_request(keys));
  if (!r.request.controls.empty()) {
    throw keys.error("control_image", "one in the [[member]] that has the controlnet",
                     shown(r.request.controls.front().image));
  }
  check_members(r);
  return r;
}

json to_json(const Recipe& r) {
  json document = to_json(r.request);
  document["form"] = r.form;
  document["bridge"] = r.bridge;
  document["bridges"] = r.bridges;
  document["bridge_every"] = r.bridge_every;
  document["bridge_from"] = r.bridge_from;
  document["bridge_to"] = r.bridge_to;
  document["handoff"] = r.handoff;
  for (const MemberSpec& m : r.members) document["member"].push_back(json_of_member(m));
  document["stage"] = json::array();
  for (const StageSpec& s : r.stages) document["stage"].push_back(to_json(s));
  return document;
}

Recipe recipe_of_file(const std::string& path, const std::string& home) {
  json document = toml_as_json(path);
  locate(document, "", fs::path(path).parent_path(), home);
  return recipe_from_json(document);
}

MemberSpec member_from_text(const std::string& text) {
  static const std::set<std::string> numbers = {"weight",    "from",       "to",
                                                "sigma_low", "sigma_high", "refiner_start"};
  static const std::set<std::string> lists = {"controlnet", "lora", "embedding", "text_encoder"};
  if (!is_utf8(text)) throw bad_input("--with", "UTF-8", "other bytes");
  const FileOptions with = file_options_from(text);
  if (has_lost_comma(with)) throw bad_input("--with", "MODEL[,key=value...]", "'" + text + "'");
  json table = {{"weight", kHalf}, {"model", with.file}};
  RequestWords request_words;
  for (const auto& [name, value] : with.options) {
    const std::string key = name == "control" ? "control_image" : name;
    if (const RequestField* field = find_request_field(key)) {
      request_words[key].push_back(value);
      table[key] = field->parsed(request_words[key]);
    } else if (numbers.count(key)) {
      table[key] = number_of("--with, " + key, value);
    } else if (lists.count(key)) {
      table[key].push_back(value);
    } else {
      table[key] = value;
    }
  }
  return member_from(table, 1);
}

}  // namespace pangu::pipeline
