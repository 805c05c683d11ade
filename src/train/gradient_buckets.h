// The gradients of a step in flat buckets that processes sum together while the backward pass still
// runs: a bucket travels as soon as every replica has the gradients of all its parameters. Within a
// process they are summed in the order of replicas, and buckets travel in one order, so that the
// result depends on no timing.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "dist/world.h"
#include "train/flat_layout.h"

namespace pangu::train {

class GradientBuckets {
 public:
  // leaves[replica][parameter], of the layout's parameters; their gradients are taken away as they
  // arise for as long as this lives. keeps_part: each process keeps its part of the sums alone, and
  // every micro-batch travels (ZeRO-2); else only the last one does. world outlives this.
  GradientBuckets(dist::World& world, std::shared_ptr<const FlatLayout> layout,
                  const std::vector<std::vector<at::Tensor>>& leaves, bool keeps_part);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // A micro-batch: begin, then the backward passes of the replicas, each ended by replica_done from
  // its own thread, then finish. What a replica has no gradient of by then counts as 0.
  void begin(bool is_first, bool is_last);
  void replica_done(int replica);
  // Waits for what travels. Throws what World's calls throw, here and from the backward passes.
  void finish();

  // Buckets of which all is in memory at present. With keeps_part few are at any time, and none
  // once a micro-batch is finished.
  size_t whole_buckets() const;

  // The sums over all replicas and processes once the last micro-batch is finished; f32. Of each
  // parameter a view with its strides, or, with keeps_part, [count] of part_of(parameter, rank).
  // The views stay the same from step to step.
  const std::vector<at::Tensor>& sums() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pangu::train
