#include "nn/fast_conv.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/fast_conv.h"
#include "nn/bf16_bits.h"
#include "nn/fused_norm.h"
#include "nn/parallel.h"
#include "nn/product_results.h"

namespace pangu::nn {
namespace {

// Layers of fewer inputs or outputs cost little, and carry what a network reads and writes.
constexpr int64_t kFewestChannels = 16;
// Of the numbers that a band's products take; they stay in the cache that cores share.
constexpr int64_t kBandBytes = 6 << 20;

kernels::FastConvWeights fast_weights(int64_t outputs, int64_t inputs, bool enlarges) {
  using enum kernels::FastConvForm;
  return {outputs, inputs, enlarges ? kEnlarged : kPairs};
}

void run_tasks(const kernels::FastConvProblem& c) {
  const kernels::Level level = kernels::chosen_level();
  for_each_task(kernels::fast_conv_tasks(c),
                [&](int64_t task) { kernels::fast_conv_run(c, task, task + 1, level); });
}

// The same problem from the results' pixel `first` on.
kernels::ProductProblem from_pixel(kernels::ProductProblem p, int64_t first) {
  if (p.residual) p.residual += first * p.residual_pixel;
  if (p.wide_residual) p.wide_residual += first * p.residual_pixel;
  if (p.out) p.out += first * p.out_pixel;
  if (p.wide_out) p.wide_out += first * p.out_pixel;
  return p;
}

// A picture and what is to be done with it before its convolution, kept alive.
struct Source {
  at::Tensor x, affine;  // affine: [2,B,C] or undefined
  kernels::PairsInput in;

  Source(const at::Tensor& input, const Prologue& prologue) : x(input) {
    const Activation after = prologue.activation;
    const bool simple = (after == Activation::kNone || after == Activation::kSilu) &&
                        !prologue.layer_norm && !prologue.doubles;
    if (simple && prologue.group_norm) {
      affine = group_norm_affine(x, prologue.group_norm, after, prologue.shift);
    }
    const bool fused = simple && (affine.defined() || !prologue.group_norm);
    if (!fused) x = before_product(x, prologue);
    if (x.scalar_type() != at::kFloat) x = x.to(at::kBFloat16);
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
    in.silu = fused && after == Activation::kSilu;
    in.batch = x.size(0), in.inputs = x.size(1), in.height = x.size(2), in.width = x.size(3);
    if (affine.defined()) {
      in.scale = affine.const_data_ptr<float>();
      in.offset = in.scale + in.batch * in.inputs;
    }
    if (x.scalar_type() == at::kFloat) {
      in.wide_x = x.const_data_ptr<float>();
    } else {
      in.x = bits_of(x);
    }
  }

  // The same of one picture.
  kernels::PairsInput of_picture(int64_t picture) const {
    kernels::PairsInput one = in;
    one.batch = 1;
    const int64_t numbers = in.height * in.width * in.inputs;
    if (one.x) one.x += picture * numbers;
    if (one.wide_x) one.wide_x += picture * numbers;
    if (one.scale) one.scale += picture * in.inputs, one.offset += picture * in.inputs;
    return one;
  }
};

// Computes the results of some rows. `product` begins with the first of them.
void run_band(const kernels::FastConvWeights& weights, const kernels::ProductProblem& product,
              const kernels::PairsInput& in) {
  const kernels::Level level = kernels::chosen_level();
  for_each_task(in.batch * (in.rows + 2),
                [&](int64_t row) { kernels::write_pairs(in, row, row + 1, level); });
  kernels::FastConvProblem c{weights, product};
  c.product.x = in.pairs;
  c.product.batch = in.batch, c.product.height = in.rows, c.product.width = in.width;
  run_tasks(c);
}

}  // namespace

std::shared_ptr<FastConv> FastConv::without_numbers(at::IntArrayRef sizes, bool enlarges) {
  if (sizes.size() != 4 || sizes[2] != 3 || sizes[3] != 3) return nullptr;
  const kernels::FastConvWeights w = fast_weights(sizes[0], sizes[1], enlarges);
  if (std::min(w.inputs, w.outputs) < kFewestChannels) return nullptr;
  if (!kernels::fast_conv_fits(w, kernels::chosen_level())) return nullptr;
  std::shared_ptr<FastConv> conv(new FastConv);
  conv->outputs_ = w.outputs, conv->inputs_ = w.inputs, conv->enlarges_ = enlarges;
  return conv;
}

std::shared_ptr<const FastConv> FastConv::of_numbers(const at::Tensor& numbers,
                                                     at::IntArrayRef sizes, bool enlarges) {
  auto conv = without_numbers(sizes, enlarges);
  if (!conv || !are_packed_numbers(numbers, kernels::fast_conv_packed_size(fast_weights(
                                                conv->outputs_, conv->inputs_, enlarges)))) {
    return nullptr;
  }
  conv->numbers_ = numbers;
  return conv;
}

std::shared_ptr<const FastConv> FastConv::pack(const at::Tensor& weight, bool enlarges) {
  const auto conv = without_numbers(weight.sizes(), enlarges);
  if (!conv) return nullptr;
  const kernels::FastConvWeights w = fast_weights(conv->outputs_, conv->inputs_, enlarges);
  const kernels::Level level = kernels::chosen_level();
  conv->numbers_ = at::empty({kernels::fast_conv_packed_size(w)}, at::kBFloat16);
  const at::Tensor rows = weight.detach().permute({0, 2, 3, 1}).contiguous();
  kernels::FastConvNumbers numbers;
  if (rows.scalar_type() == at::kFloat) {
    numbers.wide_numbers = rows.const_data_ptr<float>();
  } else {
    numbers.numbers = bits_of(rows);
  }
  for_each_task(kernels::fast_conv_panels(w), [&](int64_t panel) {
    kernels::fast_conv_pack(w, panel, numbers, bits_of(conv->numbers_), level);
  });
  return conv;
}

at::Tensor FastConv::unpacked() const {
  const at::Tensor rows = at::empty({outputs_, 3, 3, inputs_});
  kernels::fast_conv_unpack(fast_weights(outputs_, inputs_, enlarges_), bits_of(numbers_),
                            rows.mutable_data_ptr<float>());
  return rows.permute({0, 3, 1, 2});
}

kernels::ProductProblem FastConv::problem(const at::Tensor& bias) const {
  kernels::ProductProblem p;
  p.weights = {.outputs = outputs_, .high = 3, .wide = 3, .inputs = inputs_};
  p.packed = bits_of(numbers_);
  if (bias.defined()) p.bias = bias.const_data_ptr<float>();
  return p;
}

at::Tensor FastConv::run(const at::Tensor& input, const at::Tensor& bias, at::ScalarType type,
                         const Prologue& prologue, const Epilogue& epilogue) const {
  if (!enlarges_) return run_pairs(input, bias, type, prologue, epilogue);
  Prologue before = prologue;
  before.doubles = false;  // the kernel does it
  const at::Tensor x =
      before_product(input, before).to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  kernels::FastConvProblem c{fast_weights(outputs_, inputs_, true), problem(bias)};
  kernels::ProductProblem& p = c.product;
  p.x = bits_of(x), p.x_pixel = inputs_;
  p.batch = x.size(0), p.height = x.size(2), p.width = x.size(3);
  const ProductResults results(p, {p.batch, outputs_, 2 * p.height, 2 * p.width},
                               at::MemoryFormat::ChannelsLast, type, epilogue);
  run_tasks(c);
  return results.finished();
}

at::Tensor FastConv::run_pairs(const at::Tensor& x, const at::Tensor& bias, at::ScalarType type,
                               const Prologue& prologue, const Epilogue& epilogue) const {
  const Source source(x, prologue);
  const kernels::PairsInput& all = source.in;
  kernels::ProductProblem p = problem(bias);
  const ProductResults results(p, {all.batch, outputs_, all.height, all.width},
                               at::MemoryFormat::ChannelsLast, type, epilogue);
  const kernels::FastConvWeights weights = fast_weights(outputs_, inputs_, false);
  kernels::PairsInput band = all;
  band.rows = all.height;
  const auto bytes = [](const kernels::PairsInput& in) { return 2 * in.size(); };
  at::Tensor pairs;
  const auto take = [&](kernels::PairsInput& in) {
    if (!pairs.defined()) pairs = at::empty({in.size()}, at::kBFloat16);
    in.pairs = bits_of(pairs);
  };
  if (bytes(band) <= kBandBytes) {  // all pictures share every panel of weights
    take(band);
    run_band(weights, p, band);
    return results.finished();
  }
  for (int64_t picture = 0; picture < all.batch; ++picture) {
    band = source.of_picture(picture);
    band.rows = 1;
    const int64_t row_bytes = bytes(band) / 3;
    const int64_t rows = std::max<int64_t>(1, kBandBytes / row_bytes - 2);
    for (band.first_row = 0; band.first_row < all.height; band.first_row += band.rows) {
      band.rows = std::min(rows, all.height - band.first_row);
      take(band);
      const int64_t first = (picture * all.height + band.first_row) * all.width;
      run_band(weights, from_pixel(p, first), band);
    }
  }
  return results.finished();
}

}  // namespace pangu::nn
