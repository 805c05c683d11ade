// A checkpoint is one safetensors file, OUTPUT_DIR/checkpoint.safetensors, replaced atomically:
// the optimiser's tensors and, as metadata, the number of steps done. All randomness of training is
// a function of (seed, step), so nothing else is needed to go on bit for bit.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>

#include "train/lazy_tensor.h"

namespace pangu::train {

struct Checkpoint {
  int64_t step = 0;          // optimiser steps done
  double train_seconds = 0;  // spent so far, over all runs
  double cpu_seconds = 0;    // of all threads; 0 also for files from before these were counted
  std::string fingerprint;   // of what must not change between runs; see train/fingerprint.h
  LazyTensors tensors;
};

// Makes and writes one tensor after another. Error kIo (disk full, ...): the last checkpoint stays
// as it was.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);
// Its tensors are copied out of the mapped file when they are made, and leave none of its pages in
// memory; the file may be replaced meanwhile. None if there is no such file; Error kBadInput if
// there is a broken one.
std::optional<Checkpoint> load_checkpoint(const std::string& path);

// The steps alone, and the fingerprint alone, without reading the tensors; none if there is no such
// file.
std::optional<int64_t> checkpoint_step(const std::string& path);
std::optional<std::string> fingerprint_in(const std::string& path);

// Writes named f32 tensors in `dtype`, atomically.
void write_weights(const std::string& path, const std::map<std::string, at::Tensor>& weights,
                   at::ScalarType dtype);

}  // namespace pangu::train
