// `pangu-draw inspect`: what a weight file, a model folder or a picture of this program holds, read
// from headers alone: no weight is loaded.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/table.h"
#include "core/error.h"
#include "image/image.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr size_t kMaxJsonBytes = 16 << 20;

std::string shape_text(const json& shape) {
  std::string text;
  for (const json& side : shape) {
    text += (text.empty() ? "" : "x") + std::to_string(side.get<int64_t>());
  }
  return text.empty() ? "scalar" : text;
}

json inspect_weights(const fs::path& path, bool every_tensor) {
  const io::SafetensorsFile file = io::SafetensorsFile::open(path.string());
  int64_t parameters = 0, bytes = 0;
  json dtypes = json::object(), tensors = json::array(), metadata = json::object();
  for (const auto& [name, view] : file.tensors()) {
    int64_t count = 1;
    for (const int64_t side : view.shape) count *= side;
    parameters += count;
    bytes += static_cast<int64_t>(view.size_bytes);
    const char* dtype = io::name_of(view.dtype);
    dtypes[dtype] = dtypes.value(dtype, int64_t{0}) + count;
    if (every_tensor) {
      tensors.push_back({{"name", name}, {"dtype", dtype}, {"shape", view.shape}});
    }
  }
  for (const auto& [key, text] : file.metadata()) metadata[key] = text;
  json found = {
      {"kind", "safetensors"},    {"path", path.string()}, {"tensors", file.tensors().size()},
      {"parameters", parameters}, {"size_bytes", bytes},   {"parameters_by_dtype", dtypes},
      {"metadata", metadata}};
  if (every_tensor) found["tensor_list"] = tensors;
  return found;
}

json read_json(const fs::path& path) {
  const std::string text = io::read_text_file(path.string(), kMaxJsonBytes);
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) throw bad_input(path.string(), "JSON", "a text that is none");
  return value;
}

json inspect_model(const fs::path& folder, bool every_tensor) {
  json parts = json::array();
  int64_t parameters = 0, bytes = 0;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    json part = inspect_weights(file, every_tensor);
    part["path"] = fs::relative(file, folder).string();
    const fs::path config = file.parent_path() / "config.json";
    if (fs::exists(config)) part["class"] = read_json(config).value("_class_name", "");
    parameters += part["parameters"].get<int64_t>();
    bytes += part["size_bytes"].get<int64_t>();
    parts.push_back(part);
  }
  return {{"kind", "model"},
          {"path", folder.string()},
          {"model_index", read_json(folder / "model_index.json")},
          {"parameters", parameters},
          {"size_bytes", bytes},
          {"parts", parts}};
}

json inspect_picture(const fs::path& path) {
  const io::MappedFile file(path.string());
  const auto bytes = file.bytes();
  const std::span<const uint8_t> pixels(reinterpret_cast<const uint8_t*>(bytes.data()),
                                        bytes.size());
  const image::Image picture = image::decode_image(pixels);
  json text = json::object();
  if (path.extension() == ".png") {
    for (const auto& [key, value] : image::read_png_text(pixels)) text[key] = value;
  }
  return {{"kind", "picture"},
          {"path", path.string()},
          {"width", picture.width},
          {"height", picture.height},
          {"text", text}};
}

Row summary_row(const json& part) {
  std::string dtypes;
  for (const auto& [dtype, count] : part["parameters_by_dtype"].items()) {
    dtypes += (dtypes.empty() ? "" : " ") + dtype;
  }
  return {part["path"].get<std::string>(),
          part.value("class", ""),
          std::to_string(part["tensors"].get<size_t>()),
          human_count(part["parameters"].get<int64_t>()),
          human_bytes(part["size_bytes"].get<double>()),
          dtypes};
}

void print_tensors(const json& part) {
  if (!part.contains("tensor_list")) return;
  std::vector<Row> rows;
  for (const json& tensor : part["tensor_list"]) {
    rows.push_back({"  " + tensor["name"].get<std::string>(), tensor["dtype"].get<std::string>(),
                    shape_text(tensor["shape"])});
  }
  std::cout << table(rows);
}

void print(const json& found) {
  const std::string kind = found["kind"];
  if (kind == "picture") {
    std::cout << found["path"].get<std::string>() << ": " << found["width"] << "x"
              << found["height"] << "\n";
    for (const auto& [key, text] : found["text"].items()) {
      std::cout << key << ": " << text.get<std::string>() << "\n";
    }
    return;
  }
  const std::vector<json> parts =
      kind == "model" ? found["parts"].get<std::vector<json>>() : std::vector<json>{found};
  std::vector<Row> rows = {{"file", "class", "tensors", "parameters", "size", "types"}};
  for (const json& part : parts) rows.push_back(summary_row(part));
  std::cout << table(rows);
  for (const json& part : parts) print_tensors(part);
  if (kind == "model") std::cout << "model_index.json: " << found["model_index"].dump(2) << "\n";
  if (kind == "safetensors" && !found["metadata"].empty()) {
    std::cout << "metadata: " << found["metadata"].dump(2) << "\n";
  }
}

}  // namespace

int run_inspect(const InspectArgs& args) {
  const fs::path path = args.path;
  json found;
  if (fs::is_directory(path)) {
    if (!fs::exists(path / "model_index.json")) {
      throw bad_input("inspect", "a folder with a model_index.json", args.path);
    }
    found = inspect_model(path, args.tensors);
  } else if (path.extension() == ".safetensors") {
    found = inspect_weights(path, args.tensors);
  } else {
    found = inspect_picture(path);
  }
  if (args.json) {
    // Names and texts of foreign files may be no UTF-8.
    std::cout << found.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    print(found);
  }
  return 0;
}

}  // namespace pangu::app
