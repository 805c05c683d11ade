// Opens weights of any format, told by their first bytes (weights_formats.cpp); shards are put
// together by their index.
#include "io/weights_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/mindspore/mindspore_ckpt.h"
#include "io/saved_forms.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = size_t{64} << 20;
constexpr size_t kMaxShards = 4096;

std::string_view text_of(std::span<const std::byte> bytes, size_t most) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

TensorViews torch_named(TensorViews tensors, const std::string& name) {
  TensorViews renamed;
  for (auto& [key, view] : tensors) {
    const std::string torch_name = torch_name_of(key);
    if (!renamed.emplace(torch_name, std::move(view)).second) {
      throw bad_input(name, "names that stay different as torch's",
                      short_quoted(torch_name) + " twice");
    }
  }
  return renamed;
}

// The shards that an index names, in the order of their names: tensor -> file.
std::map<std::string, std::string> weight_map_of(const std::string& path, std::string_view text) {
  JsonReader index("file '" + path + "'",
                   parse_json(text, "file '" + path + "'", {.max_bytes = kMaxIndexBytes}));
  const auto map = index.get("weight_map", std::map<std::string, std::string>());
  if (map.empty()) throw index.error("weight_map", "the shard of every tensor", "none");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, name] : map) {
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw bad_input("file '" + path + "', tensor " + short_quoted(tensor),
                      "the name of a file beside the index", short_text(name));
    }
    files[tensor] = name;
  }
  return files;
}

double float_of(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1.0 : 1.0;
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * HUGE_VAL;
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias)
                               : std::ldexp(1 + fraction, exponent - bias));
}

// E4M3 has no infinity: all exponents are numbers, but for one pattern (OCP 8-bit floating point).
double e4m3_of(uint8_t bits) {
  constexpr uint8_t kMagnitude = 0x7f;
  constexpr int kMantissaBits = 3, kBias = 7;
  const int magnitude = bits & kMagnitude;
  const double sign = magnitude == bits ? 1.0 : -1.0;
  if (magnitude == kMagnitude) return NAN;
  const int exponent = magnitude >> kMantissaBits;
  const double fraction = std::ldexp(magnitude & 7, -kMantissaBits);
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - kBias)
                               : std::ldexp(1 + fraction, exponent - kBias));
}

template <typename T>
T read_as(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

}  // namespace

std::vector<int64_t> shape_of(const NamedTensor& tensor) {
  std::vector<int64_t> shape = tensor.view.shape;
  if (tensor.transpose && shape.size() == 2) std::swap(shape[0], shape[1]);
  return shape;
}

const char* name_of(WeightsKind kind) {
  switch (kind) {
    case WeightsKind::kShardedSafetensors:
      return "sharded safetensors";
    case WeightsKind::kMindSpore:
      return "MindSpore ckpt";
    case WeightsKind::kSafetensors:
      break;
  }
  return "safetensors";
}

WeightsFile WeightsFile::open(const std::string& given) {
  const std::string path = fs::is_directory(given) ? weights_path_in(given) : given;
  const std::string name = "file '" + path + "'";
  WeightsFile file = as_saved(path);
  file.tensors_ = with_scales(without_wrappers(std::move(file.tensors_), name), name);
  return file;
}

WeightsFile WeightsFile::as_saved(const std::string& path) {
  const std::string name = "file '" + path + "'";
  WeightsFile file;
  MappedFile mapped(path);
  const auto bytes = mapped.bytes();
  const std::string_view text = text_of(bytes, kMaxIndexBytes);
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (!looks_like_safetensors(bytes) && start != std::string_view::npos && text[start] == '{' &&
      bytes.size() <= kMaxIndexBytes) {
    file.kind_ = WeightsKind::kShardedSafetensors;
    std::map<std::string, std::set<std::string>> tensors_of;
    for (const auto& [tensor, shard] : weight_map_of(path, text)) tensors_of[shard].insert(tensor);
    if (tensors_of.size() > kMaxShards) {
      throw bad_input(name, "at most " + std::to_string(kMaxShards) + " shards",
                      std::to_string(tensors_of.size()));
    }
    for (const auto& [shard, wanted] : tensors_of) {
      const std::string shard_path = (fs::path(path).parent_path() / shard).string();
      MappedFile part(shard_path);
      refuse_known_formats(part.bytes(), "file '" + shard_path + "'");
      SafetensorsContent content = parse_safetensors(part.bytes(), "file '" + shard_path + "'");
      for (const std::string& tensor : wanted) {
        const auto found = content.tensors.find(tensor);
        if (found == content.tensors.end()) {
          throw bad_input("file '" + shard_path + "'", "tensor " + short_quoted(tensor), "none",
                          "the shards and their index are of different versions");
        }
        file.tensors_.emplace(tensor, std::move(found->second));
      }
      if (file.metadata_.empty()) file.metadata_ = std::move(content.metadata);
      file.files_.push_back(std::move(part));
      file.paths_.push_back(shard_path);
    }
    return file;
  }
  refuse_known_formats(bytes, name);
  if (!looks_like_safetensors(bytes) && looks_like_mindspore(bytes)) {
    file.kind_ = WeightsKind::kMindSpore;
    file.tensors_ = torch_named(parse_mindspore(bytes, name), name);
  } else {
    SafetensorsContent content = parse_safetensors(bytes, name);
    file.tensors_ = std::move(content.tensors);
    file.metadata_ = std::move(content.metadata);
  }
  file.files_.push_back(std::move(mapped));
  file.paths_.push_back(path);
  return file;
}

uint64_t WeightsFile::size_bytes() const {
  uint64_t total = 0;
  for (const MappedFile& file : files_) total += file.bytes().size();
  return total;
}

std::string weights_path_in(const std::string& folder) {
  for (const char* stem : {"diffusion_pytorch_model", "model", "pytorch_model"}) {
    for (const char* variant : {"", ".fp32", ".fp16", ".bf16"}) {
      // diffusers writes the variant of an index before ".index", transformers behind it.
      const std::string base = std::string(stem);
      for (const std::string& name :
           {base + variant + ".safetensors", base + ".safetensors.index" + variant + ".json",
            base + variant + ".safetensors.index.json"}) {
        const fs::path path = fs::path(folder) / name;
        if (fs::is_regular_file(path)) return path.string();
      }
    }
  }
  std::vector<std::string> weights, pickled;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string extension = it->path().extension().string();
    if (extension == ".safetensors") weights.push_back(it->path().string());
    if (extension == ".bin" || extension == ".ckpt" || extension == ".pt" || extension == ".pth") {
      pickled.push_back(it->path().string());
    }
  }
  std::sort(weights.begin(), weights.end());
  std::sort(pickled.begin(), pickled.end());
  if (weights.size() == 1) return weights.front();
  if (weights.empty() && !pickled.empty()) {
    refuse_known_formats(MappedFile(pickled.front()).bytes(), "file '" + pickled.front() + "'");
  }
  throw bad_input("folder '" + folder + "'", "one set of .safetensors",
                  weights.empty() ? "none" : std::to_string(weights.size()) + " files",
                  weights.empty() ? "" : "name the file instead of the folder");
}

double scalar_of(const TensorView& view, const std::string& name) {
  if (view.data == nullptr || element_count(view.shape) != 1 ||
      view.size_bytes != size_of(view.dtype)) {
    throw bad_input("tensor " + short_quoted(name), "one number",
                    "shape " + shape_text(view.shape));
  }
  switch (view.dtype) {
    case DType::F64:
      return read_as<double>(view.data);
    case DType::F32:
      return static_cast<double>(read_as<float>(view.data));
    case DType::F16:
      return float_of(read_as<uint16_t>(view.data), 5, 10);
    case DType::BF16:
      return float_of(read_as<uint16_t>(view.data), 8, 7);
    case DType::I64:
      return static_cast<double>(read_as<int64_t>(view.data));
    case DType::I32:
      return read_as<int32_t>(view.data);
    case DType::I16:
      return read_as<int16_t>(view.data);
    case DType::I8:
      return read_as<int8_t>(view.data);
    case DType::U64:
      return static_cast<double>(read_as<uint64_t>(view.data));
    case DType::U32:
      return read_as<uint32_t>(view.data);
    case DType::U16:
      return read_as<uint16_t>(view.data);
    case DType::U8:
    case DType::BOOL:
      return read_as<uint8_t>(view.data);
    case DType::F8_E5M2:
      return float_of(read_as<uint8_t>(view.data), 5, 2);
    case DType::F8_E4M3:
      return e4m3_of(read_as<uint8_t>(view.data));
  }
  throw bad_input("tensor " + short_quoted(name), "a plain number", name_of(view.dtype));
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t side : shape) count *= side;
  return count;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace pangu::io
