// Where each parameter lies in the flat buffers, called buckets, that processes exchange, and which
// part of each bucket belongs to which process. Buckets have the order in which a backward pass
// reaches parameters, so that the first can travel while the others are computed: Li et al. 2020,
// PyTorch Distributed; parts by process are those of Rajbhandari et al. 2020, ZeRO.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "train/optimizer.h"

namespace pangu::train {

// Elements [begin, end) of a parameter, in the order of its memory.
struct FlatPart {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

struct FlatBucket {
  std::vector<size_t> params;    // indices
  std::vector<int64_t> offsets;  // of each, in elements from the beginning of the bucket
  int64_t size = 0;              // elements, with what fills up
  at::ScalarType type = at::kFloat;
};

// Indices of parameters in the order in which a network uses them: that of `params`, but for blocks
// whose layers are in two lists that take turns, NAME.resnets.I and NAME.attentions.I, as those of
// diffusers' UNets. Else the buckets of a whole block would wait for the first of its layers.
std::vector<size_t> order_of_use(const NamedTensors& params);

class FlatLayout {
 public:
  // params: dense. A bucket is full at bucket_bytes of f32, and has parameters of one type and of
  // one of `groups`, which has a number for each of them; empty: all are of one.
  FlatLayout(const NamedTensors& params, int processes, int64_t bucket_bytes,
             const std::vector<int>& groups = {});

  const std::vector<FlatBucket>& buckets() const { return buckets_; }
  size_t bucket_of(size_t param) const { return bucket_of_[param]; }
  int64_t offset_of(size_t param) const { return offset_of_[param]; }  // in its bucket
  // The part of a parameter that is in process `rank`'s equal part of its bucket. Parts begin at
  // multiples of kAlignment.
  FlatPart part_of(size_t param, int rank) const;

  static constexpr int64_t kAlignment = 256;  // elements

 private:
  int processes_;
  std::vector<FlatBucket> buckets_;
  std::vector<size_t> bucket_of_;
  std::vector<int64_t> offset_of_, count_of_;
};

// The elements of a dense tensor in the order of its memory, [numel].
at::Tensor flat_view(const at::Tensor& dense);

}  // namespace pangu::train
