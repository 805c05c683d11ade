#include "train/latent_set.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/rng.h"
#include "io/safetensors.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::train {
namespace {

constexpr uint64_t kBatchOrderStream = 0x626f7264;
constexpr size_t kLatentEpochsKept = 3;

template <class T>
void shuffle(std::vector<T>& values, Rng& rng) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[rng.below(i)]);
}

}  // namespace

TensorCache::TensorCache(std::string path, std::string maker)
    : path_(std::move(path)), maker_(std::move(maker)) {
  if (path_.empty() || !std::filesystem::exists(path_)) return;
  const io::SafetensorsFile file = io::SafetensorsFile::open(path_);
  const auto found = file.metadata().find("maker");
  if (found == file.metadata().end() || found->second != maker_) return;
  for (const auto& [key, view] : file.tensors()) {
    if (view.dtype == io::DType::BF16) tensors_[key] = tensors::copied(view, key);
  }
}

at::Tensor TensorCache::find(const std::string& key) const {
  const auto found = tensors_.find(key);
  return found == tensors_.end() ? at::Tensor() : found->second;
}

void TensorCache::put(const std::string& key, const at::Tensor& bf16) {
  tensors_[key] = bf16.contiguous();
  changed_ = true;
}

void TensorCache::save() {
  if (!changed_ || path_.empty()) return;
  tensors::save_safetensors(path_, {tensors_.begin(), tensors_.end()}, {{"maker", maker_}});
  changed_ = false;
}

BatchOrder::BatchOrder(const LatentSet& set, int64_t batch_size, uint64_t seed)
    : batch_size_(batch_size), seed_(seed) {
  std::map<std::vector<int64_t>, std::vector<int64_t>> by_shape;
  for (size_t i = 0; i < set.items.size(); ++i) {
    std::vector<int64_t>& same = by_shape[set.items[i].latent.sizes().vec()];
    same.insert(same.end(), static_cast<size_t>(set.items[i].repeats), static_cast<int64_t>(i));
  }
  for (auto& [shape, items] : by_shape) {
    batches_per_epoch_ += std::max<int64_t>(1, static_cast<int64_t>(items.size()) / batch_size);
    shapes_.push_back(std::move(items));
  }
  if (shapes_.empty()) throw bad_input("training data", "at least one picture", "none");
}

std::vector<int64_t> BatchOrder::at(int64_t batch) {
  const int64_t epoch = batch / batches_per_epoch_;
  const std::lock_guard lock(mutex_);
  auto found = epochs_.find(epoch);
  if (found == epochs_.end()) {
    Rng rng(seed_, kBatchOrderStream + static_cast<uint64_t>(epoch) * 0x9E3779B97F4A7C15ull);
    std::vector<std::vector<int64_t>> batches;
    for (std::vector<int64_t> items : shapes_) {
      shuffle(items, rng);
      const int64_t count = static_cast<int64_t>(items.size());
      for (int64_t b = 0; b < std::max<int64_t>(1, count / batch_size_); ++b) {
        std::vector<int64_t> one;
        for (int64_t i = 0; i < batch_size_; ++i) {
          one.push_back(items[static_cast<size_t>((b * batch_size_ + i) % count)]);
        }
        batches.push_back(std::move(one));
      }
    }
    shuffle(batches, rng);
    if (epochs_.size() >= kLatentEpochsKept) epochs_.erase(epochs_.begin());
    found = epochs_.emplace(epoch, std::move(batches)).first;
  }
  return found->second[static_cast<size_t>(batch % batches_per_epoch_)];
}

}  // namespace pangu::train
