#include "train/tensor_shards.h"

#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "io/safetensors.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::train {
namespace {

namespace files = std::filesystem;
using nlohmann::json;

constexpr const char* kShardSuffix = ".safetensors";
constexpr const char* kMaker = "maker";
constexpr const char* kSkippedPictures = "skipped";  // {KEY: [NAME, REASON]}
constexpr size_t kShardDigits = 16;

// The whole pages that some bytes of a mapping lie in. Those of neighbours come back from the file.
std::span<const std::byte> pages_of(const std::byte* data, size_t size_bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = begin / page * page;
  const uintptr_t last = (begin + size_bytes + page - 1) / page * page;
  return {reinterpret_cast<const std::byte*>(first), last - first};
}

}  // namespace

KeptTensor::KeptTensor(at::Tensor tensor) : tensor_(std::move(tensor)) {}

at::Tensor KeptTensor::load() const {
  if (!file_) return tensor_;
  at::Tensor copy = at::empty(form_->sizes, form_->type);
  if (form_->size_bytes == 0) return copy;
  const std::byte* bytes = file_->bytes().data() + offset_;
  std::memcpy(copy.data_ptr(), bytes, form_->size_bytes);
  io::forget_pages(pages_of(bytes, form_->size_bytes));
  return copy;
}

at::IntArrayRef KeptTensor::sizes() const {
  return form_ ? at::IntArrayRef(form_->sizes) : tensor_.sizes();
}

at::ScalarType KeptTensor::scalar_type() const {
  return form_ ? form_->type : tensor_.scalar_type();
}

TensorShards::TensorShards(std::string folder, std::string prefix, std::string maker)
    : folder_(std::move(folder)), prefix_(std::move(prefix)), maker_(std::move(maker)) {
  refresh();
}

void TensorShards::refresh() {
  if (folder_.empty()) return;
  std::error_code ignored;
  std::vector<std::string> found;
  for (const auto& entry : files::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool is_ours = name == prefix_ + kShardSuffix || name.starts_with(prefix_ + "-");
    if (is_ours && name.ends_with(kShardSuffix) && opened_.count(name) == 0) found.push_back(name);
  }
  std::sort(found.begin(), found.end());  // which of two equal keys counts depends on names alone
  for (const std::string& name : found) {
    opened_.insert(name);
    open(folder_ + "/" + name);
  }
}

void TensorShards::open(const std::string& path) {
  try {
    const auto file = std::make_shared<const io::MappedFile>(path);
    const io::SafetensorsContent content = io::parse_safetensors(file->bytes(), path);
    const auto maker = content.metadata.find(kMaker);
    if (maker == content.metadata.end() || maker->second != maker_) return;
    for (const auto& [key, view] : content.tensors) {
      if (view.dtype != io::DType::BF16 && view.dtype != io::DType::F32) continue;
      const KeptTensor::Form form{view.shape, tensors::scalar_type_of(view.dtype, key),
                                  view.size_bytes};
      auto& shared = forms_[form];
      if (!shared) shared = std::make_shared<const KeptTensor::Form>(form);
      KeptTensor kept;
      kept.file_ = file;
      kept.form_ = shared;
      kept.offset_ = static_cast<uint64_t>(view.data - file->bytes().data());
      tensors_.emplace(key, std::move(kept));
    }
    const auto skipped = content.metadata.find(kSkippedPictures);
    if (skipped != content.metadata.end()) {
      const json pictures = json::parse(skipped->second);
      for (const auto& [key, why] : pictures.items()) {
        skipped_[key] = {why.at(0).get<std::string>(), why.at(1).get<std::string>()};
      }
    }
    io::forget_pages(pages_of(file->bytes().data(), file->bytes().size()));
  } catch (const Error&) {
    return;  // what it held is made again, in a file of another name
  } catch (const json::exception&) {
    return;
  }
}

KeptTensor TensorShards::find(const std::string& key) const {
  const auto found = tensors_.find(key);
  return found == tensors_.end() ? KeptTensor() : found->second;
}

const TensorShards::Skipped* TensorShards::skipped(const std::string& key) const {
  const auto found = skipped_.find(key);
  return found == skipped_.end() ? nullptr : &found->second;
}

void TensorShards::put(const std::string& key, const at::Tensor& tensor) {
  const at::Tensor kept = tensor.contiguous();
  tensors_[key] = kept;
  if (folder_.empty()) return;
  new_tensors_[key] = kept;
  new_bytes_ += kept.nbytes();
  if (new_bytes_ >= kMostBytes) write();
}

void TensorShards::skip(const std::string& key, Skipped why) {
  if (!folder_.empty()) new_skipped_[key] = why;
  skipped_[key] = std::move(why);
}

void TensorShards::write() {
  if (new_tensors_.empty() && new_skipped_.empty()) return;
  Sha256 hash;
  for (const auto& [key, tensor] : new_tensors_) hash.update(key).update("\n");
  json skipped = json::object();
  for (const auto& [key, why] : new_skipped_) {
    hash.update(key).update("\n");
    skipped[key] = {why.name, why.reason};
  }
  const std::string stem = prefix_ + "-" + hex_of(hash.digest()).substr(0, kShardDigits);
  std::string name = stem + kShardSuffix;
  // A damaged file, or one of another maker, keeps its name.
  for (int i = 1; files::exists(folder_ + "/" + name); ++i) {
    name = stem + "-" + std::to_string(i) + kShardSuffix;
  }
  io::Metadata metadata = {{kMaker, maker_}};
  if (!skipped.empty()) {
    metadata[kSkippedPictures] = skipped.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  tensors::save_safetensors(folder_ + "/" + name, new_tensors_, metadata);
  // In memory no longer.
  for (const auto& [key, tensor] : new_tensors_) tensors_.erase(key);
  new_tensors_.clear();
  new_skipped_.clear();
  new_bytes_ = 0;
  opened_.insert(name);
  open(folder_ + "/" + name);
}

}  // namespace pangu::train
