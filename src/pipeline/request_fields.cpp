// How the kinds of a request's fields are read and written, and the list.
#include "pipeline/request_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "core/nearest.h"
#include "diffusion/image_noise.h"
#include "diffusion/samplers/sampler_names.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

// What --help calls a value, and what an error says that it should have been.
struct Kind {
  const char* type;
  const char* meant;
};
Kind kind_of(const std::string&) { return {"TEXT", "a text"}; }
Kind kind_of(const std::vector<std::string>&) { return {"TEXT", "a list of texts"}; }
Kind kind_of(const std::vector<ControlUse>&) {
  return {"TEXT", "a list of {image, weight, from, to}"};
}
Kind kind_of(bool) { return {"", "true or false"}; }
Kind kind_of(double) { return {"FLOAT", "a number"}; }
Kind kind_of(int) { return {"INT", "a whole number"}; }
Kind kind_of(uint64_t) { return {"INT", "a whole number of 0 or more, or -1 for any"}; }

FieldWords words_of(const std::vector<std::string>&) { return FieldWords::kSeveral; }
FieldWords words_of(const std::vector<ControlUse>&) { return FieldWords::kSeveral; }
FieldWords words_of(bool) { return FieldWords::kNone; }
template <class T>
FieldWords words_of(const T&) {
  return FieldWords::kOne;
}

// Whether the JSON is of the field's kind.
bool fits(const json& value, const std::string&) { return value.is_string(); }
bool fits(const json& value, const std::vector<std::string>&) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_string(); });
}
bool fits(const json& value, bool) { return value.is_boolean(); }
bool fits(const json& value, double) { return value.is_number(); }
// Numbers above 2^31 must not wrap around.
bool fits(const json& value, int) {
  return value.is_number_integer() && value == json(value.get<int>());
}
bool fits(const json& value, uint64_t) { return value.is_number_unsigned(); }
bool fits(const json& value, const std::vector<ControlUse>&) {
  const auto number = [](const json& use, const char* key) {
    return use.contains(key) && use[key].is_number();
  };
  return value.is_array() && std::all_of(value.begin(), value.end(), [&](const json& use) {
           return use.is_object() && use.size() == 4 && use.contains("image") &&
                  use["image"].is_string() && number(use, "weight") && number(use, "from") &&
                  number(use, "to");
         });
}

template <class T>
void assign(const json& value, T& field) {
  value.get_to(field);
}
void assign(const json& value, std::vector<ControlUse>& field) {
  field.clear();
  for (const json& use : value) {
    field.push_back({use["image"], use["weight"], use["from"], use["to"]});
  }
}

template <class T>
json written(const T& value) {
  if constexpr (std::is_same_v<T, double>) {
    if (!std::isfinite(value)) return nullptr;
  }
  return value;
}
json written(const std::vector<ControlUse>& uses) {
  json list = json::array();
  for (const ControlUse& use : uses) {
    list.push_back(
        {{"image", use.image}, {"weight", use.weight}, {"from", use.from}, {"to", use.to}});
  }
  return list;
}

// Words of the command line.
template <class T>
json number_in(const std::string& word, const T& field, const std::string& key) {
  T value{};
  const char* const end = word.data() + word.size();
  const auto [rest, failed] = std::from_chars(word.data(), end, value);
  if (failed != std::errc() || rest != end) {
    throw bad_input(key, kind_of(field).meant, "'" + word + "'");
  }
  return value;
}
json parsed(const std::vector<std::string>& words, const std::string&, const std::string&) {
  return words.back();
}
json parsed(const std::vector<std::string>& words, const std::vector<std::string>&,
            const std::string&) {
  return words;
}
json parsed(const std::vector<std::string>& words, const std::vector<ControlUse>&,
            const std::string&) {
  std::vector<ControlUse> uses;
  for (const std::string& word : words) uses.push_back(control_use_from(word));
  return written(uses);
}
json parsed(const std::vector<std::string>&, bool usual, const std::string&) { return !usual; }
template <class T>
json parsed(const std::vector<std::string>& words, const T& field, const std::string& key) {
  return number_in(words.back(), field, key);
}

// A field's value, or that of an optional one.
template <class T>
T plain(const T& field) {
  return field;
}
template <class T>
T plain(const std::optional<T>&) {
  return T{};
}

// What else a field says beside its key and its kind.
struct Told {
  std::string flag = {};
  std::vector<std::string> also = {};
  std::string help = {};
  std::string usual = {};
  bool of_all = false;
  bool is_path = false;
};

template <class T>
RequestField field(const std::string& key, T Request::* member, Told told) {
  const auto usual = plain(Request().*member);
  RequestField f{.key = key,
                 .flag = told.flag,
                 .also = told.also,
                 .help = told.help,
                 .type = kind_of(usual).type,
                 .words = words_of(usual),
                 .usual = told.usual,
                 .of_all = told.of_all,
                 .is_path = told.is_path};
  f.parsed = [key, usual](const std::vector<std::string>& words) {
    return parsed(words, usual, key);
  };
  f.read = [key, member, usual](const json& value, Request& request) {
    if (!fits(value, usual)) {
      throw bad_input("request, key '" + key + "'", kind_of(usual).meant, shown(value));
    }
    auto filled = usual;
    assign(value, filled);
    request.*member = std::move(filled);
  };
  f.written = [member](const Request& request) -> json {
    if constexpr (requires { (request.*member).has_value(); }) {
      return request.*member ? written(*(request.*member)) : json(nullptr);
    } else {
      return written(request.*member);
    }
  };
  return f;
}

RequestField size_field() {
  RequestField f{.key = "size",
                 .flag = "--size",
                 .help = "WIDTHxHEIGHT in pixels, or one number for a square",
                 .type = "TEXT",
                 .words = FieldWords::kOne,
                 .usual = "the model's"};
  f.parsed = [](const std::vector<std::string>& words) { return json(words.back()); };
  f.read = [](const json& value, Request& request) {
    if (!value.is_string()) {
      throw bad_input("request, key 'size'", "a text, WIDTHxHEIGHT", shown(value));
    }
    std::tie(request.width, request.height) = size_from(value);
  };
  return f;
}

// Control pictures as a person writes them; "controls" is how a PNG keeps them.
RequestField control_image_field() {
  RequestField f{
      .key = "control_image",
      .flag = "--control-image",
      .help = "A ControlNet's picture: FILE[,weight=1][,from=0][,to=1], one for each ControlNet",
      .type = "TEXT",
      .words = FieldWords::kSeveral,
      .is_path = true};
  f.parsed = [](const std::vector<std::string>& words) { return json(words); };
  f.read = [](const json& value, Request& request) {
    const json list = value.is_array() ? value : json::array({value});
    if (!fits(list, std::vector<std::string>())) {
      throw bad_input("request, key 'control_image'", "a text or a list of texts", shown(value));
    }
    request.controls.clear();
    for (const json& one : list) request.controls.push_back(control_use_from(one));
  };
  return f;
}

template <class Entries>
std::vector<std::string> names_of(const Entries& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.name);
  return names;
}

std::string in_one_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : ", ") + word;
  return line;
}

// The names of other tools too (diffusion/samplers/sampler_names.h); a sampler's may say a
// schedule.
RequestField sampler_field() {
  RequestField f = field("sampler", &Request::sampler,
                         {.flag = "--sampler",
                          .also = {"--sampling-method", "--sampler-name"},
                          .help = in_one_line(names_of(diffusion::samplers())),
                          .usual = "the model's",
                          .of_all = true});
  f.values = names_of(diffusion::samplers());
  f.read = [read = f.read](const json& value, Request& request) {
    read(value, request);
    const diffusion::NamedSampler named = diffusion::named_sampler(*request.sampler);
    request.sampler = named.sampler;
    if (named.schedule) request.schedule = named.schedule;
  };
  return f;
}

// As its words, true or false (on or off), or the interval alone.
RequestField reuse_field() {
  RequestField f = field("reuse_features", &Request::reuse_features,
                         {.flag = "--reuse-features",
                          .help = "Deep features shared by steps, faster and a little another "
                                  "picture: off, on, INTERVAL[,depth=D][,order=O][,from=0][,to=1]",
                          .usual = "off"});
  f.read = [read = f.read](const json& value, Request& request) {
    if (value.is_boolean()) {
      request.reuse_features = value.get<bool>() ? "on" : "off";
    } else if (value.is_number_integer()) {
      request.reuse_features = value.dump();
    } else {
      read(value, request);
    }
  };
  f.written = [](const Request& request) {
    return request.reuse_features == Request().reuse_features ? json(nullptr)
                                                              : json(request.reuse_features);
  };
  return f;
}

RequestField schedule_field() {
  RequestField f = field("schedule", &Request::schedule,
                         {.flag = "--schedule",
                          .also = {"--scheduler"},
                          .help = in_one_line(names_of(diffusion::sigma_rules())),
                          .usual = "the model's",
                          .of_all = true});
  f.values = names_of(diffusion::sigma_rules());
  f.read = [read = f.read](const json& value, Request& request) {
    read(value, request);
    request.schedule = diffusion::named_schedule(*request.schedule);
  };
  return f;
}

// -1, as web UIs say it, is any seed.
RequestField seed_field() {
  RequestField f = field("seed", &Request::seed,
                         {.flag = "--seed",
                          .help = "Seed of the first picture; the next ones count up; -1: any",
                          .usual = "any",
                          .of_all = true});
  f.parsed = [parsed = f.parsed](const std::vector<std::string>& words) {
    return words.back() == "-1" ? json(-1) : parsed(words);
  };
  f.read = [read = f.read](const json& value, Request& request) {
    if (value == json(-1)) {
      request.seed.reset();
    } else {
      read(value, request);
    }
  };
  return f;
}

std::vector<RequestField> made_fields() {
  using R = Request;
  return {
      field("prompt", &R::prompt,
            {.flag = "--prompt", .help = "What to draw, in Chinese or English"}),
      field("negative", &R::negative,
            {.flag = "--negative",
             .also = {"--negative-prompt", "--no"},
             .help = "What to stay away from"}),
      field("styles", &R::styles,
            {.flag = "--style",
             .help = "Style of style guidance, a name or words: STYLE[:SCALE] (may be repeated)"}),
      field("style_scale", &R::style_scale,
            {.flag = "--style-scale",
             .help = "Scale of the styles that say none",
             .usual = "the model's"}),
      field("width", &R::width,
            {.flag = "--width", .also = {"-W"}, .help = "In pixels", .usual = "as --height"}),
      field("height", &R::height,
            {.flag = "--height", .also = {"-H"}, .help = "In pixels", .usual = "as --width"}),
      size_field(),
      field("steps", &R::steps,
            {.flag = "--steps",
             .also = {"-s", "--num-inference-steps"},
             .help = "Steps of the sampler",
             .usual = "the model's",
             .of_all = true}),
      field("guidance", &R::guidance,
            {.flag = "--guidance",
             .also = {"--cfg", "--cfg-scale", "--guidance-scale"},
             .help = "Classifier-free guidance scale",
             .usual = "the model's"}),
      field("guidance_rescale", &R::guidance_rescale,
            {.flag = "--guidance-rescale", .help = "0 to 1, against overexposure"}),
      field("guidance_low", &R::guidance_low,
            {.flag = "--guidance-low",
             .help = "Noise level (sigma) below which guidance is off, which also saves its time",
             .usual = "the model's"}),
      field("guidance_high", &R::guidance_high,
            {.flag = "--guidance-high",
             .help = "Noise level (sigma) above which guidance is off",
             .usual = "infinity"}),
      sampler_field(),
      schedule_field(),
      field("spacing", &R::spacing,
            {.flag = "--spacing",
             .help = "Of its timesteps: leading, linspace or trailing",
             .usual = "the model's",
             .of_all = true}),
      field("noise", &R::noise,
            {.flag = "--noise",
             .help = "philox, numpy or torch-cpu (what diffusers draws from)",
             .usual = "the model's",
             .of_all = true}),
      field("eta", &R::eta,
            {.flag = "--eta",
             .help = "Share of fresh noise in a step",
             .usual = "1, of ddim 0",
             .of_all = true}),
      field("sampler_order", &R::sampler_order,
            {.flag = "--sampler-order",
             .help = "Of lms, 1 to 4, and unipc, 1 to 3",
             .usual = "4 of lms, 2 of unipc",
             .of_all = true}),
      field("s_noise", &R::s_noise,
            {.flag = "--s-noise",
             .help = "Factor of the noise that a sampler adds in its steps",
             .of_all = true}),
      seed_field(),
      field("count", &R::count,
            {.flag = "--count", .also = {"-n"}, .help = "How many pictures", .of_all = true}),
      field("clip_skip", &R::clip_skip,
            {.flag = "--clip-skip",
             .help = "CLIP's layer from its end, as web UIs count (SDXL and 2.x read the second)"}),
      reuse_field(),
      field("init_image", &R::init_image,
            {.flag = "--init-image",
             .also = {"--init-img"},
             .help = "Picture to start from",
             .is_path = true}),
      field("strength", &R::strength,
            {.flag = "--strength",
             .also = {"--denoising-strength", "--denoise"},
             .help = "How much of it is drawn anew, 0 to 1",
             .usual = "0.75, with a mask 1",
             .of_all = true}),
      field("mask_image", &R::mask_image,
            {.flag = "--mask",
             .help = "White is drawn anew, black stays",
             .of_all = true,
             .is_path = true}),
      field("mask_blur", &R::mask_blur,
            {.flag = "--mask-blur", .help = "Soft edge of the mask in pixels", .of_all = true}),
      field("composite", &R::composite,
            {.flag = "--no-composite",
             .help = "Outside the mask, keep what was decoded",
             .of_all = true}),
      field("resize_mode", &R::resize_mode,
            {.flag = "--resize-mode",
             .help = "Pictures of another shape than --size: crop, pad or stretch (crop)"}),
      field("upscale", &R::upscale,
            {.flag = "--upscale",
             .help = "Enlarge the finished picture so many times, by --upscaler or Lanczos",
             .of_all = true}),
      field("hires_scale", &R::hires_scale,
            {.flag = "--hires-scale",
             .help = "Draw in two sizes: --size first, then so many times that (hires fix)",
             .of_all = true}),
      field("hires_strength", &R::hires_strength,
            {.flag = "--hires-strength",
             .help = "Share of the steps that the larger size draws (0.7)",
             .of_all = true}),
      field("image_prompt", &R::image_prompt,
            {.flag = "--image-prompt",
             .help = "Picture to vary (image-variation models)",
             .is_path = true}),
      field("controls", &R::controls, {}),
      control_image_field(),
  };
}

}  // namespace

std::string shown(const json& value) {
  if (value.is_number_float()) return number_text(value.get<double>());
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 80);
}

const std::vector<RequestField>& request_fields() {
  static const std::vector<RequestField> fields = made_fields();
  return fields;
}

const RequestField* find_request_field(const std::string& key) {
  const auto& fields = request_fields();
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const RequestField& f) { return f.key == key; });
  return found == fields.end() ? nullptr : &*found;
}

const RequestField* find_request_flag(const std::string& flag) {
  std::string usual = flag;
  std::replace(usual.begin(), usual.end(), '_', '-');
  const auto& fields = request_fields();
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const RequestField& f) {
    return !usual.empty() &&
           (f.flag == usual || std::find(f.also.begin(), f.also.end(), usual) != f.also.end());
  });
  return found == fields.end() ? nullptr : &*found;
}

void apply(const RequestWords& words, Request& request) {
  for (const RequestField& f : request_fields()) {
    const auto found = words.find(f.key);
    if (found == words.end() || found->second.empty()) continue;
    f.read(f.parsed(found->second), request);
  }
}

json to_json(const Request& request) {
  json object = json::object();
  for (const RequestField& f : request_fields()) {
    if (f.written) object[f.key] = f.written(request);
  }
  return object;
}

Request request_from_json(const json& object) {
  if (!object.is_object()) throw bad_input("request", "a JSON object", object.type_name());
  Request request;
  for (const RequestField& f : request_fields()) {
    const auto found = object.find(f.key);
    if (found != object.end() && !found->is_null()) f.read(*found, request);
  }
  for (const auto& [key, value] : object.items()) {
    if (find_request_field(key)) continue;
    std::string list;
    std::vector<std::string> known;
    for (const RequestField& f : request_fields()) {
      list += (list.empty() ? "one of " : ", ") + f.key;
      known.push_back(f.key);
    }
    throw bad_input("request, key", list, "'" + key + "'", did_you_mean(key, known));
  }
  return request;
}

}  // namespace pangu::pipeline
