// What a denoiser trains on: latents of pictures and states of their captions, in memory or in
// mapped files, and the order in which batches are drawn from them. Filled by the application;
// knows no encoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "data/batch_order.h"
#include "train/tensor_shards.h"

namespace pangu::train {

// Token states of captions. Caption 0 is the empty one.
struct CaptionStates {
  // [n,D] each, n its number of tokens, bf16 or f32; or, where are_ids, [n,E] f32, the ids for E
  // text encoders that are trained along
  std::vector<KeptTensor> states;
  std::vector<KeptTensor> pooled = {};  // [P] each, the text as a whole; or none
  // Whether captions have tokens that fill them up to one length, as CLIP's do: a batch of equal
  // lengths then has no mask.
  bool are_filled_up = false;
  bool are_ids = false;  // Conditions::token_ids
  int64_t count() const { return static_cast<int64_t>(states.size()); }
  int64_t length(int64_t caption) const { return states[static_cast<size_t>(caption)].size(0); }
};

// Reads or computes a tensor whenever it is asked for, the same one each time. Safe to call from
// several threads. Empty: there is none.
using ReadTensor = std::function<at::Tensor()>;

// One picture: its latents (scaled, as a denoiser sees them) and its captions by language.
struct LatentItem {
  KeptTensor latent;            // [C,h,w], bf16 or f32
  KeptTensor small_latent;      // the whole picture at the crop's size [C,s,s], or undefined
  KeptTensor mask, small_mask;  // [1,h,w] bf16 in [0,1], how much their losses count; or undefined
  std::vector<std::vector<int32_t>> captions;  // [language][i], indices into CaptionStates
  // [E,h,w] bf16, of a denoiser with control channels; [3,H,W] u8 in pixels, of a ControlNet
  ReadTensor control;
  ReadTensor picture;            // [3,S,S] bf16, what an image encoder sees of it
  int repeats = 1;               // how often an epoch shows it
  at::Tensor size_numbers = {};  // [K] f32, Conditions::size_numbers, or undefined
  double loss_weight = 1;        // how much its loss counts
  // Of a denoiser that is told of masks. Reads the picture again, [1,3,H,W] f32 in [-1,1], cut and
  // of the size as its latent.
  ReadTensor pixels = {};
  ReadTensor own_mask = {};  // [H,W] u8, 1 is drawn anew; empty: a random one for each sample
};

struct LatentSet {
  std::vector<LatentItem> items;
  CaptionStates captions;
  // Of a denoiser that is told of masks (train/masked_pictures.h), else as they are here.
  int64_t downscale = 1;  // pixels a latent pixel, each way
  // [1,3,H,W] f32 in [-1,1] -> [1,C,h,w], scaled as a denoiser sees them. Thread-safe.
  std::function<at::Tensor(const at::Tensor& pixels)> encode = {};
  // Latents [C,h,w] of pictures that are masked as a whole, by their height and width.
  std::map<std::pair<int64_t, int64_t>, KeptTensor> grey = {};
  std::shared_ptr<const void> holds = {};  // what the items read from
};

// Batches of items whose latents have one shape (data/batch_order.h), each item as often as it
// repeats. Error kBadInput of a set without items.
data::BatchOrder batch_order(const LatentSet& set, int64_t batch_size, uint64_t seed);

}  // namespace pangu::train
