// What a denoiser trains on: latents of pictures and states of their captions, in memory, and the
// order in which batches are drawn from them. Filled by the application; knows no encoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace pangu::train {

// Token states of captions, one after another. Caption 0 is the empty one.
struct CaptionStates {
  at::Tensor states;             // [T,D] bf16
  std::vector<int64_t> offsets;  // caption i is rows offsets[i] .. offsets[i+1]
  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// One picture: its latents (scaled, as a denoiser sees them) and its captions by language.
struct LatentItem {
  at::Tensor latent;            // [C,h,w] bf16
  at::Tensor small_latent;      // the whole picture at the crop's size [C,s,s], or undefined
  at::Tensor mask, small_mask;  // [1,h,w] bf16 in [0,1], how much their losses count; or undefined
  std::vector<std::vector<int32_t>> captions;  // [language][i], indices into CaptionStates
  at::Tensor control;  // [E,h,w] bf16, of a denoiser with control channels, or undefined
  at::Tensor picture;  // [3,S,S] bf16, what an image encoder sees of it, or undefined
  int repeats = 1;     // how often an epoch shows it
};

struct LatentSet {
  std::vector<LatentItem> items;
  CaptionStates captions;
};

// Tensors by key in one safetensors file, for what is slow to compute and never changes: a key says
// what a tensor was made of (a hash of the caption, or of the picture and its size), `maker` what
// it was made with. Several runs may share the file; each adds what it misses.
class TensorCache {
 public:
  // An absent file, or one of another maker, is an empty cache. Of an empty path nothing is kept.
  TensorCache(std::string path, std::string maker);
  // An undefined tensor if the key is not there.
  at::Tensor find(const std::string& key) const;
  void put(const std::string& key, const at::Tensor& bf16);
  // Writes the file, atomically, if anything was put since.
  void save();

 private:
  std::string path_, maker_;
  std::unordered_map<std::string, at::Tensor> tensors_;
  bool changed_ = false;
};

// Batches of items whose latents have one shape, each item as often as it repeats; a new shuffle
// every epoch, a pure function of (seed, epoch). Every epoch has the same number of batches; what
// does not fill a batch sits out.
class BatchOrder {
 public:
  // Error kBadInput if no shape has at least one item; a shape with fewer items than batch_size
  // repeats them to make one batch.
  BatchOrder(const LatentSet& set, int64_t batch_size, uint64_t seed);
  // Item indices of batch number `batch` (0, 1, 2, ... over the whole run). Thread-safe.
  std::vector<int64_t> at(int64_t batch);
  int64_t batches_per_epoch() const { return batches_per_epoch_; }

 private:
  std::vector<std::vector<int64_t>> shapes_;  // items of each shape
  int64_t batch_size_, batches_per_epoch_ = 0;
  uint64_t seed_;
  std::mutex mutex_;
  std::map<int64_t, std::vector<std::vector<int64_t>>> epochs_;
};

}  // namespace pangu::train
