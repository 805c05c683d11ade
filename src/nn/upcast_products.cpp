#include "nn/upcast_products.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <tuple>

#include "core/processor.h"

namespace pangu::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat); }
at::Tensor narrow(const at::Tensor& x) { return x.defined() ? x.to(at::kBFloat16) : x; }

// Positions of the factors among the arguments of forward().
constexpr size_t kXArgument = 0, kWeightArgument = 1, kBiasArgument = 2;

// An argument of a Function is a tensor that is defined; an empty one stands for no bias.
at::Tensor given(const at::Tensor& bias, const at::Tensor& x) {
  return bias.defined() ? bias : at::empty({0}, x.options());
}
at::Tensor wide_bias(const at::Tensor& bias) {
  return bias.numel() > 0 ? wide(bias) : at::Tensor();
}

// Keeps each factor for the gradient of the other.
void keep_factors(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
  context->save_for_backward(
      {weight.requires_grad() ? x : at::Tensor(), x.requires_grad() ? weight : at::Tensor()});
}

struct UpcastLinear : torch::autograd::Function<UpcastLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    keep_factors(context, x, weight);
    return narrow(at::linear(wide(x), wide(weight), wide_bias(bias)));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list kept = context->get_saved_variables();
    const at::Tensor dy = wide(gradients[0]);
    const at::Tensor rows = dy.reshape({-1, dy.size(-1)});
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(kXArgument)) dx = at::matmul(dy, wide(kept[kWeightArgument]));
    if (context->needs_input_grad(kWeightArgument)) {
      const at::Tensor x = wide(kept[kXArgument]);
      dweight = at::mm(rows.t(), x.reshape({-1, x.size(-1)}));
    }
    if (context->needs_input_grad(kBiasArgument)) dbias = rows.sum(0);
    return {narrow(dx), narrow(dweight), narrow(dbias)};
  }
};

struct UpcastConv2d : torch::autograd::Function<UpcastConv2d> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t stride, int64_t padding) {
    keep_factors(context, x, weight);
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    context->saved_data["x_sizes"] = x.sizes();
    context->saved_data["weight_sizes"] = weight.sizes();
    return narrow(
        at::conv2d(wide(x), wide(weight), wide_bias(bias), {stride, stride}, {padding, padding}));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list kept = context->get_saved_variables();
    const at::Tensor dy = wide(gradients[0]);
    const auto sizes = [&](const char* name) { return context->saved_data.at(name).toIntVector(); };
    const int64_t stride = context->saved_data.at("stride").toInt();
    const int64_t padding = context->saved_data.at("padding").toInt();
    // A factor that was not kept is needed for its shape alone.
    const auto factor = [&](size_t which, const char* name) {
      return kept[which].defined() ? wide(kept[which])
                                   : at::empty({1}, dy.options()).expand(sizes(name));
    };
    const std::array<bool, 3> wanted = {context->needs_input_grad(kXArgument),
                                        context->needs_input_grad(kWeightArgument),
                                        context->needs_input_grad(kBiasArgument)};
    const int64_t outputs = dy.size(1);
    const auto [dx, dweight, dbias] = at::convolution_backward(
        dy, factor(kXArgument, "x_sizes"), factor(kWeightArgument, "weight_sizes"),
        at::IntArrayRef(outputs), {stride, stride}, {padding, padding}, {1, 1},
        /*transposed=*/false, {0, 0}, /*groups=*/1, wanted);
    return {narrow(dx), narrow(dweight), narrow(dbias), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool is_upcast(const at::Tensor& x) {
  return !processor_multiplies_bf16() && x.is_cpu() && x.scalar_type() == at::kBFloat16;
}

bool is_upcast(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return is_upcast(x) && is_upcast(weight) && (!bias.defined() || is_upcast(bias));
}

at::Tensor upcast_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return UpcastLinear::apply(x, weight, given(bias, x));
}

at::Tensor upcast_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const ConvShape& shape) {
  return UpcastConv2d::apply(x, weight, given(bias, x), shape.stride, shape.padding);
}

}  // namespace pangu::nn
