#include "nn/int8_input.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/int8_product.h"
#include "nn/bf16_bits.h"
#include "nn/fused_norm.h"
#include "nn/parallel.h"
#include "nn/recorded.h"

namespace pangu::nn {
namespace {

constexpr int64_t kRowsATask = 64;

// The part of a prologue that the kernel computes. Tensors that it points to are kept alive.
struct FusedPrologue {
  kernels::Int8Rows rows;
  at::Tensor kept[2];
};

bool norms_rows(const at::Tensor& x, const Prologue& prologue) {
  const torch::nn::LayerNorm& norm = prologue.layer_norm;
  return norm && prologue.activation == Activation::kNone && norm->weight.defined() &&
         norm->bias.defined() && norm->options.normalized_shape().size() == 1 &&
         norm->weight.numel() == x.size(-1);
}

// Returns false if the kernel does not compute this prologue of x.
bool fuse(const at::Tensor& x, const Prologue& prologue, FusedPrologue& fused) {
  if (x.scalar_type() != at::kBFloat16) return false;
  if (prologue.group_norm) {
    const at::Tensor affine =
        group_norm_affine(x, prologue.group_norm, prologue.activation, prologue.shift);
    if (!affine.defined()) return false;
    fused.kept[0] = affine;
    fused.rows.scale = affine.const_data_ptr<float>();
    fused.rows.shift = fused.rows.scale + x.size(0) * x.size(1);
    fused.rows.rows_a_picture = x.size(2) * x.size(3);
  } else if (norms_rows(x, prologue)) {
    const auto wide = [](const at::Tensor& t) { return t.to(at::kFloat).contiguous(); };
    fused.kept[0] = wide(prologue.layer_norm->weight),
    fused.kept[1] = wide(prologue.layer_norm->bias);
    fused.rows.norm_weight = fused.kept[0].const_data_ptr<float>();
    fused.rows.norm_bias = fused.kept[1].const_data_ptr<float>();
    fused.rows.eps = static_cast<float>(prologue.layer_norm->options.eps());
  } else if (prologue.layer_norm || (prologue.activation != Activation::kNone &&
                                     prologue.activation != Activation::kSilu)) {
    return false;
  }
  fused.rows.silu = prologue.activation == Activation::kSilu;
  return true;
}

}  // namespace

Int8Input int8_input(const at::Tensor& x, const Prologue& prologue, at::MemoryFormat format) {
  const Recorded call("pangu::int8_input");
  FusedPrologue fused;
  const bool fuses = fuse(x, prologue, fused);
  const at::Tensor rows =
      (fuses ? x : before_product(x, prologue).to(at::kBFloat16)).contiguous(format);
  kernels::Int8Rows& r = fused.rows;
  r.inputs = format == at::MemoryFormat::ChannelsLast ? rows.size(1) : rows.size(-1);
  r.rows = r.inputs > 0 ? rows.numel() / r.inputs : 0;
  Int8Input input{at::empty(rows.sizes(), rows.options().dtype(at::kByte).memory_format(format)),
                  at::empty({r.rows}, rows.options().dtype(at::kFloat))};
  r.x = bits_of(rows);
  r.codes = input.codes.mutable_data_ptr<uint8_t>();
  r.factors = input.factors.mutable_data_ptr<float>();
  const kernels::Level level = kernels::chosen_level();
  for_each_task((r.rows + kRowsATask - 1) / kRowsATask, [&](int64_t task) {
    const int64_t first = task * kRowsATask;
    kernels::int8_rows(r, first, std::min(first + kRowsATask, r.rows), level);
  });
  return input;
}

}  // namespace pangu::nn
