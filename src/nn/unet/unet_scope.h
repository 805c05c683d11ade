// The name of the layer that is running, for callers that trace a forward pass. Without a trace it
// costs one test for null.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace pangu::nn {

// Called with the diffusers name of a layer and its output, in the order of computation. The tensor
// must not be changed; [B,C,H,W] outputs are channels-last in memory.
using TraceFn = std::function<void(const std::string& name, const at::Tensor& output)>;

class Scope {
 public:
  explicit Scope(const TraceFn* trace, std::string path = "")
      : trace_(trace && *trace ? trace : nullptr), path_(std::move(path)) {}

  // Returns the scope of a part of this layer: "down_blocks.0" -> "down_blocks.0.resnets.1".
  Scope in(const char* part) const { return trace_ ? child(part) : *this; }
  Scope in(const char* list, size_t index) const {
    return trace_ ? child(std::string(list) + "." + std::to_string(index)) : *this;
  }

  // Reports the layer's output and passes it on.
  at::Tensor out(at::Tensor output) const {
    if (trace_) (*trace_)(path_, output);
    return output;
  }

 private:
  Scope child(const std::string& part) const {
    return Scope(trace_, path_.empty() ? part : path_ + "." + part);
  }

  const TraceFn* trace_;  // must outlive the forward pass; null: no trace
  std::string path_;
};

}  // namespace pangu::nn
