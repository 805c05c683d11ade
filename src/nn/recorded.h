// Names a call of this room for libtorch's profilers, which see ATen's operators by themselves but
// not our own kernels. It costs nothing that could be measured while no profiler listens.
#pragma once
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <initializer_list>
#include <vector>

namespace pangu::nn {

// As long as it lives, what runs on this thread belongs to the call. name: a literal, "pangu::...".
class Recorded {
 public:
  explicit Recorded(const char* name) : call_(at::RecordScope::FUNCTION) {
    if (call_.isActive()) call_.before(name);
  }
  // With the tensors that a profiler may ask for.
  Recorded(const char* name, std::initializer_list<at::Tensor> inputs)
      : call_(at::RecordScope::FUNCTION) {
    if (!call_.isActive()) return;
    const std::vector<c10::IValue> values(inputs.begin(), inputs.end());
    call_.before(name, at::ArrayRef<const c10::IValue>(values.data(), values.size()));
  }

 private:
  at::RecordFunction call_;
};

}  // namespace pangu::nn
