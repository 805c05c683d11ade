#include "nn/epilogue.h"

#include <ATen/ATen.h>

#include "nn/fused_norm.h"
#include "nn/recorded.h"

namespace pangu::nn {
namespace {

at::Tensor layer_normalised(const at::Tensor& x, const torch::nn::LayerNorm& norm) {
  const auto& options = norm->options;
  return at::layer_norm(x, options.normalized_shape(), norm->weight, norm->bias, options.eps());
}

at::Tensor enlarged(const at::Tensor& x, const Prologue& prologue) {
  if (!prologue.doubles) return x;
  return at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
}

}  // namespace

at::Tensor before_product(const at::Tensor& x, const Prologue& prologue) {
  const Recorded call("pangu::norm");
  if (prologue.group_norm) {
    return enlarged(group_norm(x, prologue.group_norm, prologue.activation, prologue.shift),
                    prologue);
  }
  const at::Tensor y = prologue.layer_norm ? layer_normalised(x, prologue.layer_norm) : x;
  return enlarged(activate(y, prologue.activation), prologue);
}

at::Tensor plain_before_product(const at::Tensor& x, const Prologue& prologue) {
  if (prologue.group_norm) {
    return enlarged(plain_group_norm(x, prologue.group_norm, prologue.activation, prologue.shift),
                    prologue);
  }
  const at::Tensor y = prologue.layer_norm ? layer_normalised(x, prologue.layer_norm) : x;
  return enlarged(plain_activate(y, prologue.activation), prologue);
}

at::Tensor after_product(const at::Tensor& y, const Epilogue& epilogue) {
  const at::Tensor active = activate(y, epilogue.activation);
  return epilogue.residual.defined() ? epilogue.residual + active : active;
}

at::Tensor plain_after_product(const at::Tensor& y, const Epilogue& epilogue) {
  const at::Tensor active = plain_activate(y, epilogue.activation);
  return epilogue.residual.defined() ? epilogue.residual + active : active;
}

}  // namespace pangu::nn
