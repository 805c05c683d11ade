// What the processes of a training share: each computes the gradients of its part of every batch,
// and steps all weights with the sums (ZeRO stage 0), or only its part of them, whose optimiser
// state it alone has (stage 1; with stage 2 also the summed gradients), and hands it to the others.
// Rajbhandari et al. 2020. Matrices that Muon steps belong to one process as a whole.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dist/world.h"
#include "train/flat_layout.h"
#include "train/gradient_buckets.h"
#include "train/optimizer.h"
#include "train/state_parts.h"

namespace pangu::train {

struct DataParallelOptions {
  int zero_stage = 0;
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  int64_t bucket_bytes = 25 << 20;  // of f32; PyTorch's DistributedDataParallel's own
};

class DataParallel {
 public:
  // params: the working parameters, which take the first process's values; leaves[replica] has
  // their memory. Error kBadInput for a stage that the optimiser does not go with.
  DataParallel(dist::World& world, const NamedTensors& params,
               const std::vector<std::vector<at::Tensor>>& leaves,
               const DataParallelOptions& options);

  GradientBuckets& buckets() { return *buckets_; }

  // What this process's optimiser steps, with these gradients (Optimizer::use_gradients).
  const NamedTensors& stepped() const { return stepped_; }
  const std::vector<bool>& is_decayed() const { return is_decayed_; }
  std::vector<at::Tensor> gradients() const;
  bool is_divided() const { return options_.zero_stage > 0; }

  // After a step: every process gets the parameters that the others stepped.
  void exchange_params();

  // Tensors by name, [KIND/]PARAMETER as Optimizer::state has them, of this process's parts. Of all
  // parts, f32 and contiguous, in the first process; the others get an empty map. Every process
  // must call it.
  std::map<std::string, at::Tensor> whole(const std::map<std::string, at::Tensor>& parts);

  // A state of this process as what it writes of the whole one: its own parts, or, of tensors that
  // all have, an even share. Back from a whole one: what is this process's, read when it is made.
  // Error kBadInput for a tensor of another shape than its parameter's.
  std::vector<StatePart> written_parts(const LazyTensors& state) const;
  LazyTensors own_part(const StoredTensors& whole) const;

 private:
  at::Tensor part_in(const at::Tensor& dense, size_t param) const;

  dist::World& world_;
  DataParallelOptions options_;
  NamedTensors params_, stepped_;
  std::vector<bool> is_decayed_;
  std::vector<int> owner_;  // of each parameter; -1: every process has a part
  std::map<std::string, size_t> index_;
  std::shared_ptr<const FlatLayout> layout_;
  std::unique_ptr<GradientBuckets> buckets_;
};

}  // namespace pangu::train
