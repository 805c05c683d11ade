// Names a call of this room for libtorch's profilers, which see ATen's operators by themselves but
// not our own kernels. It costs nothing that could be measured while no profiler listens.
#pragma once
#include <ATen/record_function.h>

namespace pangu::nn {

// As long as it lives, what runs on this thread belongs to the call. name: a literal, "pangu::...".
class Recorded {
 public:
  explicit Recorded(const char* name) : call_(at::RecordScope::FUNCTION) {
    if (call_.isActive()) call_.before(name);
  }

 private:
  at::RecordFunction call_;
};

}  // namespace pangu::nn
