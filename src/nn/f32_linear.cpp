#include "nn/f32_linear.h"

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <string_view>

#include "kernels/level.h"

namespace pangu::nn {
namespace {

// With fewer, reading the weight is all the work, and both libraries take as long.
constexpr int64_t kLeastRows = 10;

using Scalars = c10::List<std::optional<at::Scalar>>;
using Operator = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            std::string_view, Scalars, std::optional<std::string_view>);

// An operator of libtorch that is in no header. Null if it was built without it.
const c10::OperatorHandle* one_dnn() {
  static const std::optional<c10::OperatorHandle> found =
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return found && at::hasMKLDNN() ? &*found : nullptr;
}

bool machine_gains() {
  static const bool gains = [] {
    __builtin_cpu_init();
    return !__builtin_cpu_is("intel") && one_dnn() != nullptr;
  }();
  return gains && kernels::chosen_level() >= kernels::Level::kAvx512;
}

bool wants_gradient(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return c10::GradMode::is_enabled() &&
         (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
}

bool is_f32_on_cpu(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided;
}

}  // namespace

bool f32_linear_serves(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return machine_gains() && is_f32_on_cpu(x) && is_f32_on_cpu(weight) && weight.is_contiguous() &&
         (!bias.defined() || is_f32_on_cpu(bias)) && x.numel() >= kLeastRows * weight.size(1) &&
         !wants_gradient(x, weight, bias);
}

at::Tensor f32_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto call = one_dnn()->typed<Operator>();
  const std::optional<at::Tensor> added = bias.defined() ? std::optional(bias) : std::nullopt;
  return call.call(x, weight, added, "none", Scalars(), "");
}

}  // namespace pangu::nn
