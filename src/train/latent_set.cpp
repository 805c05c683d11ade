#include "train/latent_set.h"

#include <torch/torch.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/rng.h"
#include "io/safetensors.h"

namespace pangu::train {
namespace {

constexpr uint64_t kBatchOrderStream = 0x626f7264;
constexpr size_t kEpochsKept = 3;

io::TensorView view_of(const at::Tensor& t, io::DType dtype) {
  io::TensorView view;
  view.dtype = dtype;
  view.shape.assign(t.sizes().begin(), t.sizes().end());
  view.data = static_cast<const std::byte*>(t.const_data_ptr());
  view.size_bytes = t.nbytes();
  return view;
}

at::Tensor tensor_of(const io::TensorView& view, at::ScalarType type) {
  at::Tensor t = at::empty(view.shape, type);
  if (t.nbytes() != view.size_bytes) throw Error(ErrorCode::kInternal, "latent cache: wrong dtype");
  if (view.size_bytes) std::memcpy(t.mutable_data_ptr(), view.data, view.size_bytes);
  return t;
}

std::optional<io::SafetensorsFile> open_if_made_of(const std::string& path,
                                                   const std::string& fingerprint) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  io::SafetensorsFile file = io::SafetensorsFile::open(path);
  const auto found = file.metadata().find("fingerprint");
  if (found == file.metadata().end() || found->second != fingerprint) return std::nullopt;
  return file;
}

template <class T>
void shuffle(std::vector<T>& values, Rng& rng) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[rng.below(i)]);
}

}  // namespace

// Layout: latent/I and small/I [C,h,w] BF16; links I64 rows of (item, language, caption).
void save_latents(const std::string& path, const std::vector<LatentItem>& items,
                  const std::string& fingerprint) {
  io::TensorViews views;
  std::vector<at::Tensor> kept;
  std::vector<int64_t> links;
  for (size_t i = 0; i < items.size(); ++i) {
    const LatentItem& item = items[i];
    kept.push_back(item.latent.contiguous());
    views["latent/" + std::to_string(i)] = view_of(kept.back(), io::DType::BF16);
    if (item.small_latent.defined()) {
      kept.push_back(item.small_latent.contiguous());
      views["small/" + std::to_string(i)] = view_of(kept.back(), io::DType::BF16);
    }
    for (size_t language = 0; language < item.captions.size(); ++language) {
      for (const int32_t caption : item.captions[language]) {
        links.insert(links.end(), {int64_t(i), int64_t(language), int64_t(caption)});
      }
    }
  }
  const at::Tensor rows = at::tensor(links, at::kLong).view({-1, 3});
  views["links"] = view_of(rows, io::DType::I64);
  io::write_safetensors(path, views,
                        {{"fingerprint", fingerprint}, {"items", std::to_string(items.size())}});
}

std::optional<std::vector<LatentItem>> load_latents(const std::string& path,
                                                    const std::string& fingerprint) {
  const auto file = open_if_made_of(path, fingerprint);
  if (!file) return std::nullopt;
  std::vector<LatentItem> items(std::stoul(file->metadata().at("items")));
  for (const auto& [name, view] : file->tensors()) {
    if (name.starts_with("latent/")) {
      items.at(std::stoul(name.substr(7))).latent = tensor_of(view, at::kBFloat16);
    } else if (name.starts_with("small/")) {
      items.at(std::stoul(name.substr(6))).small_latent = tensor_of(view, at::kBFloat16);
    }
  }
  const at::Tensor links = tensor_of(file->tensors().at("links"), at::kLong);
  const auto* l = links.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < links.size(0); ++row, l += 3) {
    auto& languages = items.at(static_cast<size_t>(l[0])).captions;
    const size_t language = static_cast<size_t>(l[1]);
    if (languages.size() <= language) languages.resize(language + 1);
    languages[language].push_back(static_cast<int32_t>(l[2]));
  }
  return items;
}

// Layout: states BF16 [T,D]; offsets I64.
void save_captions(const std::string& path, const CaptionStates& captions,
                   const std::string& fingerprint) {
  const at::Tensor states = captions.states.contiguous();
  const at::Tensor offsets = at::tensor(captions.offsets, at::kLong);
  io::write_safetensors(path,
                        {{"states", view_of(states, io::DType::BF16)},
                         {"offsets", view_of(offsets, io::DType::I64)}},
                        {{"fingerprint", fingerprint}});
}

std::optional<CaptionStates> load_captions(const std::string& path,
                                           const std::string& fingerprint) {
  const auto file = open_if_made_of(path, fingerprint);
  if (!file) return std::nullopt;
  CaptionStates captions;
  captions.states = tensor_of(file->tensors().at("states"), at::kBFloat16);
  const at::Tensor offsets = tensor_of(file->tensors().at("offsets"), at::kLong);
  const auto* o = offsets.const_data_ptr<int64_t>();
  captions.offsets.assign(o, o + offsets.numel());
  return captions;
}

BatchOrder::BatchOrder(const LatentSet& set, int64_t batch_size, uint64_t seed)
    : batch_size_(batch_size), seed_(seed) {
  std::map<std::vector<int64_t>, std::vector<int64_t>> by_shape;
  for (size_t i = 0; i < set.items.size(); ++i) {
    by_shape[set.items[i].latent.sizes().vec()].push_back(static_cast<int64_t>(i));
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
    if (epochs_.size() >= kEpochsKept) epochs_.erase(epochs_.begin());
    found = epochs_.emplace(epoch, std::move(batches)).first;
  }
  return found->second[static_cast<size_t>(batch % batches_per_epoch_)];
}

}  // namespace pangu::train
