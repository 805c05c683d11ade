#include "nn/product_results.h"

#include <ATen/ATen.h>

#include "nn/bf16_bits.h"

namespace pangu::nn {

std::optional<kernels::ProductActivation> fused(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return kernels::ProductActivation::kNone;
    case Activation::kSilu:
      return kernels::ProductActivation::kSilu;
    case Activation::kGelu:
      return kernels::ProductActivation::kGelu;
    case Activation::kGeglu:
      return kernels::ProductActivation::kGeglu;
    default:
      return {};
  }
}

kernels::ProductWeights product_weights(at::IntArrayRef sizes, Activation activation) {
  kernels::ProductWeights w;
  w.outputs = sizes[0], w.inputs = sizes[1];
  if (sizes.size() == 4) w.high = sizes[2], w.wide = sizes[3];
  if (activation == Activation::kGeglu) w.activation = kernels::ProductActivation::kGeglu;
  return w;
}

ProductResults::ProductResults(kernels::ProductProblem& p, at::IntArrayRef sizes,
                               at::MemoryFormat format, at::ScalarType type,
                               const Epilogue& epilogue)
    : epilogue_(epilogue) {
  const auto activation = fused(epilogue.activation);
  fused_ = activation.has_value();
  p.weights.activation = activation.value_or(kernels::ProductActivation::kNone);
  const bool wide = type == at::kFloat;
  if (epilogue.residual.defined() && fused_) {
    residual_ = epilogue.residual.to(type).expand(sizes).contiguous(format);
    p.residual_pixel = p.weights.results();
    wide ? void(p.wide_residual = residual_.const_data_ptr<float>())
         : void(p.residual = bits_of(residual_));
  }
  out_ = at::empty(sizes, at::TensorOptions(type).memory_format(format));
  p.out_pixel = p.weights.results();
  wide ? void(p.wide_out = out_.mutable_data_ptr<float>()) : void(p.out = bits_of(out_));
}

at::Tensor ProductResults::finished() const {
  return fused_ ? out_ : after_product(out_, epilogue_);
}

}  // namespace pangu::nn
