// Facts of the layout: torch/distributed/checkpoint/hf_storage.py and _hf_utils.py of PyTorch 2.13.
#include "io/sharded_safetensors.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/tensor_names.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".safetensors";
constexpr const char* kShardingInfo = "DCP_SHARDING_INFO";
constexpr const char* kOffsets = "saved_offsets";
constexpr const char* kVersion = "DCP_VERSION";
constexpr JsonLimits kInfoLimits = {.max_bytes = kMaxSafetensorsHeaderBytes, .max_depth = 4};
constexpr const char* kCopyAgain =
    "a file is missing, damaged or of another checkpoint; copy the whole folder again";

// Offsets by tensor, as one file says them.
std::map<std::string, std::vector<int64_t>> offsets_in(const NamedContent& file) {
  std::map<std::string, std::vector<int64_t>> all;
  const auto& [name, content] = file;
  const auto text = content.metadata.find(kShardingInfo);
  if (text == content.metadata.end()) {
    for (const auto& [tensor, view] : content.tensors) {
      all[tensor] = std::vector<int64_t>(view.shape.size(), 0);
    }
    return all;
  }
  const std::string what = name + ", " + kShardingInfo;
  JsonReader info(what, parse_json(text->second, what, kInfoLimits));
  for (const auto& [tensor, view] : content.tensors) {
    JsonReader entry(what + " of " + short_quoted(tensor), info.need<nlohmann::json>(tensor));
    auto& offsets = all[tensor] = entry.need<std::vector<int64_t>>(kOffsets);
    const bool fits = offsets.size() == view.shape.size() &&
                      std::all_of(offsets.begin(), offsets.end(), [](auto o) { return o >= 0; });
    if (!fits) {
      throw entry.error(kOffsets, std::to_string(view.shape.size()) + " numbers from 0 on",
                        shape_text(offsets));
    }
  }
  const nlohmann::json others = info.rest();
  if (!others.empty()) {
    throw bad_input(what, "tensors that are in the file", short_quoted(others.begin().key()),
                    kCopyAgain);
  }
  return all;
}

void add_box(ShardedTensor& tensor, const std::string& name, const std::string& what, TensorBox box,
             const TensorView& view) {
  if (tensor.boxes.empty()) {
    tensor.dtype = view.dtype;
    tensor.shape.assign(view.shape.size(), 0);
  }
  const std::string here = what + ", tensor " + short_quoted(name);
  if (tensor.dtype != view.dtype || tensor.shape.size() != view.shape.size()) {
    throw bad_input(here,
                    std::string(name_of(tensor.dtype)) + " of " +
                        std::to_string(tensor.shape.size()) + " dimensions, as in another file",
                    std::string(name_of(view.dtype)) + " of " + std::to_string(view.shape.size()),
                    kCopyAgain);
  }
  for (size_t axis = 0; axis < view.shape.size(); ++axis) {
    int64_t end = 0;
    if (__builtin_add_overflow(box.offsets[axis], view.shape[axis], &end)) {
      throw bad_input(here, "a possible place", shape_text(box.offsets));
    }
    tensor.shape[axis] = std::max(tensor.shape[axis], end);
  }
  tensor.boxes.push_back({std::move(box), view});
}

// Boxes without a common element that have as many elements as the shape fill it.
void check_filled(const ShardedTensor& tensor, const std::string& what) {
  int64_t whole = 1, filled = 0;
  bool fits = true;
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) whole = 0;
  for (const int64_t side : tensor.shape) {
    fits = fits && !__builtin_mul_overflow(whole, side, &whole);
  }
  for (size_t i = 0; i < tensor.boxes.size(); ++i) {
    const TensorBox& box = tensor.boxes[i].box;
    filled += int64_t(tensor.boxes[i].view.size_bytes / size_of(tensor.dtype));
    for (size_t k = 0; k < i; ++k) {
      const TensorBox common = common_box(box, tensor.boxes[k].box);
      const bool none =
          std::find(common.sizes.begin(), common.sizes.end(), 0) != common.sizes.end();
      if (!none) {
        throw bad_input(
            what, "every element in one file",
            shape_text(common.sizes) + " from " + shape_text(common.offsets) + " on in two",
            kCopyAgain);
      }
    }
  }
  if (!fits || whole != filled) {
    throw bad_input(what, "all elements of " + shape_text(tensor.shape),
                    std::to_string(filled) + " of them", kCopyAgain);
  }
}

}  // namespace

ShardedTensors joined(const std::vector<NamedContent>& files) {
  ShardedTensors all;
  for (const NamedContent& file : files) {
    const auto offsets = offsets_in(file);
    for (const auto& [name, view] : file.second.tensors) {
      add_box(all[name], name, file.first, {offsets.at(name), view.shape}, view);
    }
  }
  for (const auto& [name, tensor] : all) {
    const std::string where = files.size() == 1 ? files.front().first
                                                : "the " + std::to_string(files.size()) +
                                                      " files beside " + files.front().first;
    check_filled(tensor, where + ", tensor " + short_quoted(name));
  }
  return all;
}

ShardedSafetensors::ShardedSafetensors(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    for (const auto& entry : fs::directory_iterator(path, failure)) {
      if (entry.path().extension() == kSuffix) paths_.push_back(entry.path().string());
    }
    if (failure) throw io_error("cannot read the folder", path, failure.value());
    if (paths_.empty()) throw bad_input("folder '" + path + "'", "safetensors files", "none");
    std::sort(paths_.begin(), paths_.end());
  } else {
    paths_.push_back(path);
  }
  for (const std::string& file : paths_) files_.push_back(SafetensorsFile::open(file));
}

ShardedTensors ShardedSafetensors::joined() const {
  std::vector<NamedContent> contents;
  for (size_t i = 0; i < paths_.size(); ++i) {
    contents.emplace_back("file '" + paths_[i] + "'",
                          SafetensorsContent{files_[i].tensors(), files_[i].metadata()});
  }
  return io::joined(contents);
}

std::string shard_file_name(int shard, int file, int files) {
  char name[80];
  std::snprintf(name, sizeof name, "shard-%05d-model-%05d-of-%05d%s", shard, file, files, kSuffix);
  return name;
}

Metadata sharding_metadata(const std::map<std::string, std::vector<int64_t>>& offsets) {
  nlohmann::json info = nlohmann::json::object();
  for (const auto& [name, one] : offsets) info[name] = {{kOffsets, one}};
  return {{"format", "pt"}, {kVersion, "1.0"}, {kShardingInfo, info.dump()}};
}

}  // namespace pangu::io
