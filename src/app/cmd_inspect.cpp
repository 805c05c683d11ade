// `pangu-draw inspect`: what a weight file (model, LoRA, ControlNet, ...), a model folder or a
// picture of this program holds, read from headers: no weight is loaded; and for a model, why
// `draw` would refuse it. What is said of weights is in weights_report.cpp.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/home.h"
#include "app/table.h"
#include "app/weights_report.h"
#include "core/error.h"
#include "image/image.h"
#include "io/families/families.h"
#include "io/json_file.h"
#include "io/mapped_file.h"
#include "io/weights_file.h"
#include "pipeline/families/source.h"
#include "pipeline/families/spec.h"
#include "pipeline/model.h"
#include "pipeline/picture_story.h"
#include "pipeline/picture_text.h"
#include "pipeline/request_fields.h"
#include "pipeline/upscaler.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxJsonBytes = 16 << 20;

std::string shape_text(const OrderedJson& shape) {
  std::string text;
  for (const OrderedJson& side : shape) {
    text += (text.empty() ? "" : "x") + std::to_string(side.get<int64_t>());
  }
  return text.empty() ? "scalar" : text;
}

// Says why `draw` would refuse a model, if it would: the same reading of the same files.
void add_refusal(OrderedJson& found, const fs::path& model) {
  if (found.contains("problem")) return;
  try {
    pipeline::load_model(model.string());
  } catch (const Error& refusal) {
    found["problem"] = refusal.what();
  }
}

// By how much an upscaler enlarges, or why `draw` would refuse it.
void add_factor(OrderedJson& found, const fs::path& upscaler) {
  try {
    found["enlarges"] = pipeline::open_upscaler(upscaler.string(), {}).factor;
  } catch (const Error& refusal) {
    found["problem"] = refusal.what();
  }
}

OrderedJson inspect_weights(const fs::path& path, bool every_tensor) {
  OrderedJson found =
      weights_report(io::WeightsFile::open(path.string()), path.string(), every_tensor);
  const std::string part = found["recognised"]["part"];
  if (part == io::name_of(io::Part::kCheckpoint)) add_refusal(found, path);
  if (part == io::name_of(io::Part::kUpscaler)) add_factor(found, path);
  return found;
}

OrderedJson read_json(const fs::path& path) {
  io::read_json_file(path.string(), "", {.max_bytes = kMaxJsonBytes});  // refuses what is too deep
  return OrderedJson::parse(
      io::read_text_file(path.string(), kMaxJsonBytes));  // in the file's order
}

// What weights a folder has itself: its index of shards, else every file of weights in it.
std::vector<fs::path> weights_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file()) continue;
    if (name.find(".safetensors.index.") != std::string::npos) return {folder};
    if (name.ends_with(".safetensors") || name.ends_with(".ckpt")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Of diffusers' config.json, or of transformers'.
std::string class_in(const OrderedJson& config) {
  const auto name = config.find("_class_name");
  if (name != config.end() && name->is_string()) return name->get<std::string>();
  const auto classes = config.find("architectures");
  const bool said = classes != config.end() && classes->is_array() && !classes->empty();
  return said && classes->front().is_string() ? classes->front().get<std::string>() : "";
}

// "unet.conv_in.weight" of the folder unet_texture -> "unet_texture.conv_in.weight".
void add_names(OrderedJson& all, const OrderedJson& part, const char* key,
               const std::string& component) {
  if (!part.contains(key)) return;
  for (const OrderedJson& item : part[key]) {
    const std::string name = item;
    const bool prefixed = std::string_view(key) == "missing";
    all.push_back(component + "." + (prefixed ? name.substr(name.find('.') + 1) : name));
  }
}

// The parts of a folder with their sums; `found` gets "parameters", "size_bytes", "parts" and what
// is missing and unexpected in all of them.
void add_parts(OrderedJson& found, const fs::path& folder, const std::vector<fs::path>& files,
               bool every_tensor) {
  OrderedJson parts = OrderedJson::array(), missing = OrderedJson::array(),
              unexpected = OrderedJson::array();
  int64_t parameters = 0, bytes = 0;
  std::map<std::string, io::WeightsFile> components;
  for (const fs::path& path : files) {
    const io::WeightsFile& file =
        components.insert_or_assign(path.string(), io::WeightsFile::open(path.string()))
            .first->second;
    // Where the entry lies, not where its link leads to.
    OrderedJson part = weights_report(file, path.lexically_relative(folder).string(), every_tensor);
    const fs::path home = fs::is_directory(path) ? path : path.parent_path();
    if (home != folder && fs::exists(home / "config.json")) {
      part["class"] = class_in(read_json(home / "config.json"));
    }
    parameters += part["parameters"].get<int64_t>();
    bytes += part["size_bytes"].get<int64_t>();
    const std::string component =
        home == folder ? path.filename().string() : home.filename().string();
    add_names(missing, part, "missing", component);
    add_names(unexpected, part, "unexpected", component);
    parts.push_back(part);
  }
  std::map<std::string, io::TensorViews> views;
  for (const auto& [path, file] : components) {
    const fs::path inside = fs::path(path).lexically_relative(folder);
    const std::string component = inside.begin()->string();
    if (component != inside.string() || fs::is_directory(path)) {
      views.emplace(component, file.tensors());
    }
  }
  if (views.count("unet")) found["recognised"] = recognised_report(io::recognise_components(views));
  found["missing"] = missing;
  found["unexpected"] = unexpected;
  found["parameters"] = parameters;
  found["size_bytes"] = bytes;
  found["parts"] = parts;
}

// A model in the layout of diffusers: one part a folder in it.
// What a family that model_index.json alone tells is called; empty for others.
std::string own_name_of(const fs::path& folder) {
  try {
    return pipeline::open_source(folder.string()).spec->human_name;
  } catch (const Error&) {  // add_refusal says what is wrong
    return "";
  }
}

OrderedJson inspect_model(const fs::path& folder, bool every_tensor) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    for (const fs::path& file : weights_in(entry.path())) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  OrderedJson found = {{"kind", "model"},
                       {"path", folder.string()},
                       {"model_index", read_json(folder / "model_index.json")}};
  add_parts(found, folder, files, every_tensor);
  const OrderedJson& index = found["model_index"];
  if (found.contains("recognised") && !class_in(index).empty()) {
    // The pipeline says more than "no known family", and no less beside one.
    OrderedJson& name = found["recognised"]["name"];
    const bool known = found["recognised"]["family"] != io::name_of(io::Family::kUnknown);
    const std::string human = known ? name.get<std::string>() : own_name_of(folder);
    name = human.empty() ? class_in(index) : human + " (" + class_in(index) + ")";
  }
  add_refusal(found, folder);
  return found;
}

// A folder with nothing but weights: one component, or PanGu-Draw 3's pair of files.
OrderedJson inspect_folder(const fs::path& folder, bool every_tensor) {
  const std::vector<fs::path> files = weights_in(folder);
  if (files.empty()) {
    throw bad_input("inspect", "a folder with a model_index.json or with weights",
                    "'" + folder.string() + "'",
                    "of pictures with captions: pangu-draw data stats FOLDER");
  }
  if (files.size() == 1) return inspect_weights(files.front(), every_tensor);
  OrderedJson found = {{"kind", "weights"}, {"path", folder.string()}};
  add_parts(found, folder, files, every_tensor);
  return found;
}

bool is_picture(const fs::path& path) {
  for (const char* extension : {".png", ".jpg", ".jpeg", ".webp"}) {
    if (path.extension() == extension) return true;
  }
  const io::MappedFile file(path.string());
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 16));
  return text.starts_with("\x89PNG") || text.starts_with("\xFF\xD8\xFF") ||
         (text.starts_with("RIFF") && text.substr(8).starts_with("WEBP"));
}

// What a picture says of its drawing, in the order in which a person asks.
OrderedJson drawing_of(const pipeline::PictureStory& story) {
  OrderedJson found = {{"by", story.origin}};
  if (story.recipe) {
    found["recipe"] = OrderedJson(pipeline::to_json(*story.recipe));
  } else {
    // Only what was said: the usual value of what was not is in none of its fields.
    const nlohmann::json request = pipeline::to_json(story.request),
                         usual = pipeline::to_json(pipeline::Request());
    for (const pipeline::RequestField& field : pipeline::request_fields()) {
      if (!request.contains(field.key) || request[field.key] == usual[field.key]) continue;
      found["request"][field.key] = request[field.key];
    }
    found["model"] = {{"name", story.mark.name},
                      {"path", story.mark.path},
                      {"fingerprint", story.mark.fingerprint}};
    const nlohmann::json member = pipeline::to_json(story.model),
                         plain = pipeline::to_json(pipeline::MemberSpec());
    for (const auto& [key, value] : member.items()) {
      if (key != "model" && (!plain.contains(key) || plain[key] != value))
        found["with"][key] = value;
    }
  }
  if (story.grid) {
    for (const pipeline::GridAxis& axis : story.grid->axes) {
      found["grid"][axis.key] = pipeline::grid_values_text(axis.values);
    }
  }
  if (story.load.dtype) found["dtype"] = *story.load.dtype;
  if (story.load.precision != pipeline::kExactPrecision) found["precision"] = story.load.precision;
  if (!story.unmatched.empty()) found["unmatched"] = story.unmatched;
  return found;
}

OrderedJson inspect_picture(const fs::path& path) {
  const io::MappedFile file(path.string());
  const auto bytes = file.bytes();
  const std::span<const uint8_t> pixels(reinterpret_cast<const uint8_t*>(bytes.data()),
                                        bytes.size());
  image::Image picture;
  image::TextChunks chunks;
  try {
    picture = image::decode_image(pixels);
    chunks = image::read_text(pixels);
  } catch (const Error& error) {
    throw while_doing("reading '" + path.string() + "'", error);
  }
  OrderedJson text = OrderedJson::object();
  for (const auto& [key, value] : chunks) text[key] = value;
  OrderedJson found = {{"kind", "picture"},
                       {"path", path.string()},
                       {"width", picture.width},
                       {"height", picture.height},
                       {"text", text}};
  try {
    found["drawing"] = drawing_of(pipeline::story_of_text(chunks, path.string()));
  } catch (const Error& error) {
    const bool says = chunks.count(pipeline::kJsonText) || chunks.count(pipeline::kParametersText);
    if (says) found["problem"] = error.what();
  }
  return found;
}

// "  prompt          a cat", objects and lists as they are in JSON.
void add_rows(std::vector<Row>& rows, const OrderedJson& values, const std::string& indent) {
  for (const auto& [key, value] : values.items()) {
    if (value.is_object()) {
      rows.push_back({indent + key, ""});
      add_rows(rows, value, indent + "  ");
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      for (size_t i = 0; i < value.size(); ++i) {
        rows.push_back({indent + key + " " + std::to_string(i + 1), ""});
        add_rows(rows, value[i], indent + "  ");
      }
    } else if (!value.is_null() && value != "" && !(value.is_array() && value.empty())) {
      rows.push_back({indent + key, value.is_string() ? value.get<std::string>() : value.dump()});
    }
  }
}

void print_picture(const OrderedJson& found) {
  std::cout << found["path"].get<std::string>() << ": " << found["width"] << "x" << found["height"]
            << "\n";
  if (found.contains("problem")) {
    std::cout << "problem: " << found["problem"].get<std::string>() << "\n";
  }
  if (found.contains("drawing")) {
    std::vector<Row> rows;
    add_rows(rows, found["drawing"], "");
    size_t width = 0;
    for (const Row& row : rows) width = std::max(width, row[0].size());
    for (const Row& row : rows) {
      std::cout << row[0] << std::string(row[1].empty() ? 0 : width + 2 - row[0].size(), ' ')
                << row[1] << "\n";
    }
    return;
  }
  if (found["text"].empty()) std::cout << "it says nothing of its drawing\n";
  for (const auto& [key, text] : found["text"].items()) {
    std::cout << key << ": " << text.get<std::string>() << "\n";
  }
}

Row summary_row(const OrderedJson& part) {
  const std::string known = part["recognised"]["part"];
  return {part["path"].get<std::string>(),
          part.value("class", known == "unknown" ? "" : known),
          part["tensors"].dump(),
          human_count(part["parameters"].get<int64_t>()),
          human_bytes(part["size_bytes"].get<double>()),
          precision_text(part["parameters_by_dtype"])};
}

void print_tensors(const OrderedJson& part) {
  if (!part.contains("tensor_list")) return;
  std::vector<Row> rows;
  for (const OrderedJson& tensor : part["tensor_list"]) {
    rows.push_back({"  " + tensor["name"].get<std::string>(), tensor["dtype"].get<std::string>(),
                    shape_text(tensor["shape"])});
  }
  std::cout << table(rows);
}

void print(const OrderedJson& found) {
  const std::string kind = found["kind"];
  if (kind == "picture") {
    print_picture(found);
    return;
  }
  const bool one = !found.contains("parts");
  const std::vector<OrderedJson> parts =
      one ? std::vector<OrderedJson>{found} : found["parts"].get<std::vector<OrderedJson>>();
  std::vector<Row> rows = {{"file", "class", "tensors", "parameters", "size", "types"}};
  for (const OrderedJson& part : parts) rows.push_back(summary_row(part));
  std::cout << table(rows);
  std::cout << report_text(found);
  for (const OrderedJson& part : parts) {
    // Of a model's parts only what is wrong: the rest is in the table.
    if (kind == "weights" || (!one && part.contains("problem"))) {
      std::cout << part["path"].get<std::string>() << ":\n" << report_text(part);
    }
  }
  for (const OrderedJson& part : parts) print_tensors(part);
  if (kind == "model") std::cout << "model_index.json: " << found["model_index"].dump(2) << "\n";
  if (one && !found["metadata"].empty()) {
    std::cout << "metadata: "
              << found["metadata"].dump(2, ' ', false, OrderedJson::error_handler_t::replace)
              << "\n";
  }
}

}  // namespace

int run_inspect(const InspectArgs& args) {
  fs::path path = args.path;
  std::error_code unreadable;
  const bool is_name = !path.has_parent_path() && !path.has_extension();
  if (is_name && !fs::exists(path, unreadable)) path = model_path(args.path);  // "mini"
  OrderedJson found;
  if (fs::is_directory(path)) {
    found = fs::exists(path / "model_index.json") ? inspect_model(path, args.tensors)
                                                  : inspect_folder(path, args.tensors);
  } else {
    found = is_picture(path) ? inspect_picture(path) : inspect_weights(path, args.tensors);
  }
  if (args.json) {
    // Names and texts of foreign files may be no UTF-8.
    std::cout << found.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
  } else {
    print(found);
  }
  return 0;
}

}  // namespace pangu::app
