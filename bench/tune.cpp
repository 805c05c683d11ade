// Measures which level's kernel serves which class of shapes faster than libtorch, on one thread,
// and writes the rows of this machine into the table that the program reads
// (src/kernels/serving_table.inc). Run it on an idle machine.
//   ninja -C build/release bench_tune
//   build/release/bench/bench_tune src/kernels/serving_table.inc [rounds]
// Processors without dot products of bf16 pairs are compared with libtorch's operators in f32,
// which they would draw with otherwise. A newer processor measures for them when libtorch is held
// to what they have:
//   PANGU_KERNELS=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
//   MKL_ENABLE_INSTRUCTIONS=AVX2 PANGU_KERNELS=avx512 ATEN_CPU_CAPABILITY=avx512
//   ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "kernels/attention_gradient.h"
#include "kernels/fast_conv.h"
#include "kernels/serving.h"
#include "nn/attention.h"
#include "nn/bf16_bits.h"

namespace {

using namespace pangu::kernels;
using pangu::bench::median;
using pangu::bench::Pairs;
using pangu::nn::bits_of;

constexpr int64_t kAny = -1;

// A class of shapes, and the one that stands for it.
struct Class {
  Served served;
  int64_t most_numbers, most_rows;
  int64_t numbers, rows;  // measured
};

const std::vector<Class>& classes() {
  using enum Served;
  static const std::vector<Class> all = {
      {kAttention, 48, 256, 40, 77},
      {kAttention, 96, 256, 64, 77},
      {kAttention, kAny, 256, 160, 77},
      {kAttention, 48, kAny, 40, 4096},
      {kAttention, 96, kAny, 64, 4096},
      {kAttention, 160, kAny, 160, 1024},
      {kAttention, kAny, kAny, 512, 1024},
      {kAttentionGradient, 48, 256, 40, 77},
      {kAttentionGradient, 96, 256, 64, 77},
      {kAttentionGradient, kAny, 256, 160, 77},
      {kAttentionGradient, 48, kAny, 40, 4096},
      {kAttentionGradient, 96, kAny, 64, 4096},
      {kAttentionGradient, kAny, kAny, 160, 1024},
      {kProduct, 64, 1, 32, 1},
      {kProduct, 640, 1, 320, 1},
      {kProduct, kAny, 1, 1280, 1},
      {kProduct, 64, kAny, 32, 9},
      {kProduct, 640, kAny, 320, 9},
      {kProduct, kAny, kAny, 1280, 9},
      {kRoundedProduct, kAny, 1, 512, 1},
      {kRoundedProduct, kAny, kAny, 256, 9},
  };
  return all;
}

at::Tensor drawn(at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); }

// Attention at the sizes of a class.
struct OurAttention {
  OurAttention(const Class& c, Level level)
      : level(level),
        heads(c.numbers > 160 ? 1 : 4),
        q(drawn({1, kQueries, heads * c.numbers})),
        k(drawn({1, c.rows, heads * c.numbers})),
        v(at::randn_like(k)),
        out(at::empty_like(q)) {
    p.batch = 1, p.heads = heads, p.queries = kQueries, p.keys = c.rows, p.width = c.numbers;
    p.q = bits_of(q), p.k = bits_of(k), p.v = bits_of(v), p.out = bits_of(out);
    p.q_row = p.k_row = p.v_row = heads * c.numbers;
    p.scale = 1 / std::sqrt(float(c.numbers));
    packed = at::empty({attention_packed_size(p, level)}, q.options());
  }

  void run() const {
    attention_pack(p, bits_of(packed), 0, attention_pack_tasks(p), level);
    attention_run(p, bits_of(packed), 0, attention_run_tasks(p, level), level);
  }

  // [1,N,h*d] -> [1,h,N,d], a view
  at::Tensor in_heads(const at::Tensor& x) const {
    return x.unflatten(-1, {heads, -1}).transpose(1, 2);
  }

  static constexpr int64_t kQueries = 1024;
  Level level;
  int64_t heads;
  at::Tensor q, k, v, out, packed;
  AttentionProblem p;
};

Pairs attention(const Class& c, Level level, at::ScalarType type, int rounds) {
  const OurAttention ours(c, level);
  const at::Tensor q = ours.in_heads(ours.q.to(type)), k = ours.in_heads(ours.k.to(type)),
                   v = ours.in_heads(ours.v.to(type));
  return Pairs::by_turns(
      rounds, [&] { ours.run(); }, [&] { at::scaled_dot_product_attention(q, k, v); });
}

// With the gradients of queries, keys and values. libtorch computes them in the faster of the two
// ways that nn/attention knows.
Pairs attention_with_gradient(const Class& c, Level level, at::ScalarType type, int rounds) {
  OurAttention ours(c, level);
  const at::Tensor log_sums = at::empty({ours.heads, ours.kQueries});
  ours.p.log_sums = log_sums.data_ptr<float>();
  const at::Tensor d_out = at::randn_like(ours.q);
  const at::Tensor dk = at::empty_like(ours.k), dv = at::empty_like(ours.k);
  const at::Tensor dq = at::empty({attention_gradient_parts(ours.p), ours.q.numel()});
  const at::Tensor workspace = at::empty({attention_gradient_workspace(ours.p)}, at::kByte);
  const AttentionGradientProblem gradient{.forward = ours.p,
                                          .d_out = bits_of(d_out),
                                          .dq = dq.data_ptr<float>(),
                                          .dk = bits_of(dk),
                                          .dv = bits_of(dv)};
  const auto leaf = [&](const at::Tensor& x) {
    return x.to(type, false, /*copy=*/true).set_requires_grad(true);
  };
  const std::vector<at::Tensor> leaves = {leaf(ours.q), leaf(ours.k), leaf(ours.v)};
  const at::Tensor theirs = d_out.to(type);
  pangu::nn::AttentionOptions options;
  options.heads = ours.heads;
  constexpr int64_t kFewScores = 512 * 512;
  return Pairs::by_turns(
      rounds,
      [&] {
        ours.run();
        attention_gradient_run(gradient, workspace.data_ptr(), 0, attention_gradient_tasks(ours.p));
        dq.sum(0).to(at::kBFloat16);
      },
      [&] {
        const at::AutoGradMode with_gradient(true);
        const bool few = ours.kQueries * c.rows <= kFewScores;
        const at::Tensor mix =
            few ? pangu::nn::plain_attention(leaves[0], leaves[1], leaves[2], options)
                : at::scaled_dot_product_attention(
                      ours.in_heads(leaves[0]), ours.in_heads(leaves[1]), ours.in_heads(leaves[2]))
                      .transpose(1, 2)
                      .flatten(2);
        torch::autograd::grad({mix}, leaves, {theirs});
      });
}

// A product as a layer computes it: 3x3 taps by fewer products where the level has a kernel for
// that.
class OurProduct {
 public:
  // x: [1,height,width,inputs]; rows: [outputs,kernel,kernel,inputs]
  OurProduct(const ProductProblem& problem, const at::Tensor& x, const at::Tensor& rows)
      : p_(problem), x_(x) {
    const FastConvWeights w{p_.weights.outputs, p_.weights.inputs};
    level_ = p_.weights.level;
    fast_ = p_.weights.taps() == 9 && fast_conv_fits(w, level_);
    const int64_t size = fast_ ? fast_conv_packed_size(w) : product_packed_size(p_.weights);
    packed_ = at::empty({size}, x.options());
    p_.packed = bits_of(packed_), p_.x = bits_of(x_), p_.x_pixel = w.inputs;
    if (!fast_) {
      product_pack(p_.weights, bits_of(rows), bits_of(packed_), 0, product_pack_tasks(p_.weights));
      return;
    }
    FastConvNumbers numbers;
    numbers.numbers = bits_of(rows);
    for (int64_t i = 0; i < fast_conv_panels(w); ++i) {
      fast_conv_pack(w, i, numbers, bits_of(packed_), level_);
    }
    in_.x = p_.x, in_.height = in_.rows = p_.height, in_.width = p_.width, in_.inputs = w.inputs;
    pairs_ = at::empty({in_.size()}, x.options());
    in_.pairs = bits_of(pairs_), p_.x = in_.pairs;
  }

  void run() const {
    if (!fast_) return product_run(p_, 0, product_tasks(p_));
    write_pairs(in_, 0, in_.rows + 2, level_);
    const FastConvProblem c{{p_.weights.outputs, p_.weights.inputs}, p_};
    fast_conv_run(c, 0, fast_conv_tasks(c), level_);
  }

 private:
  ProductProblem p_;
  Level level_;
  bool fast_;
  PairsInput in_;
  at::Tensor x_, packed_, pairs_;
};

Pairs product(const Class& c, Level level, at::ScalarType type, int rounds) {
  const int64_t side = c.numbers > 640 ? 16 : 32, outputs = 320, kernel = c.rows == 1 ? 1 : 3;
  const at::Tensor x = drawn({1, side, side, c.numbers});
  const at::Tensor rows = drawn({outputs, kernel, kernel, c.numbers});
  const at::Tensor out = at::empty({1, side, side, outputs}, x.options());
  ProductProblem p;
  p.weights = {.outputs = outputs, .high = kernel, .wide = kernel, .inputs = c.numbers};
  p.weights.level = level;
  p.height = p.width = side, p.padding = kernel / 2;
  p.out = bits_of(out), p.out_pixel = outputs;
  // As layers have them: a bias, and the sum with what passes them by.
  const at::Tensor bias = at::randn({outputs}), residual = drawn({1, side, side, outputs});
  p.bias = bias.const_data_ptr<float>();
  p.residual = bits_of(residual), p.residual_pixel = outputs;
  const at::Tensor input = x.to(type).permute({0, 3, 1, 2});
  const at::Tensor weight = rows.to(type).permute({0, 3, 1, 2});
  const OurProduct ours(p, x, rows);
  const at::Tensor matrix = weight.flatten(1), tokens = x.to(type).flatten(0, 2);
  const at::Tensor passed = residual.to(type), own_bias = bias.to(type);
  return Pairs::by_turns(
      rounds, [&] { ours.run(); },
      [&] {
        kernel == 1 ? at::linear(tokens, matrix, own_bias).add_(passed.flatten(0, 2))
                    : at::conv2d(input, weight, own_bias, {1, 1}, {kernel / 2, kernel / 2})
                          .add_(passed.permute({0, 3, 1, 2}));
      });
}

std::string constant(Level level) {
  switch (level) {
    case Level::kAmx:
      return "kAmx";
    case Level::kAvx512Bf16:
      return "kAvx512Bf16";
    case Level::kAvx512:
      return "kAvx512";
    case Level::kAvx2:
      return "kAvx2";
    default:
      return "kPlain";
  }
}

std::string bound(int64_t most) { return most == kAny ? "kAny" : std::to_string(most); }

// The row of a class: the level with the greatest ratio, or libtorch where that is below 1.
std::string measured_row(const Class& c, Level machine, int rounds) {
  Level best = Level::kPlain;
  double most = 0, ratio = 0;
  for (const Level level : {Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmx}) {
    if (level > machine || has_pair_products(level) != has_pair_products(machine)) continue;
    const auto ratio_to = [&](at::ScalarType type) {
      const auto measure = c.served == Served::kAttention           ? attention
                           : c.served == Served::kAttentionGradient ? attention_with_gradient
                                                                    : product;
      return median(measure(c, level, type, rounds).ratios);
    };
    const auto own = c.served == Served::kRoundedProduct ? at::kFloat : at::kBFloat16;
    const double gain = ratio_to(own);
    if (gain > most) {
      most = gain, best = level;
      ratio = own == at::kFloat || has_pair_products(level) ? gain : ratio_to(at::kFloat);
    }
  }
  const char* served = c.served == Served::kAttention           ? "kAttention"
                       : c.served == Served::kAttentionGradient ? "kAttentionGradient"
                       : c.served == Served::kProduct           ? "kProduct"
                                                                : "kRoundedProduct";
  char printed[16];
  std::snprintf(printed, sizeof printed, "%.2f", ratio);
  return "{" + constant(machine) + ", " + served + ", " + bound(c.most_numbers) + ", " +
         bound(c.most_rows) + ", " + constant(most > 1 ? best : Level::kPlain) + ", " + printed +
         "},";
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(1);
  const Level machine = chosen_level();
  if (argc < 2 || machine == Level::kPlain) {
    std::fprintf(stderr, argc < 2 ? "bench_tune TABLE [rounds]\n" : "no kernels to measure here\n");
    return 2;
  }
  std::vector<std::string> lines;
  std::ifstream before(argv[1]);
  for (std::string line; std::getline(before, line);) {
    if (line.rfind("{" + constant(machine) + ",", 0) != 0) lines.push_back(line);
  }
  if (lines.empty()) {
    std::fprintf(stderr, "%s: not the table\n", argv[1]);
    return 2;
  }
  for (const Class& c : classes()) {
    if (c.served == Served::kAttentionGradient && !has_pair_products(machine)) continue;
    lines.push_back(measured_row(c, machine, argc > 2 ? std::max(1, std::atoi(argv[2])) : 9));
    std::printf("%s\n", lines.back().c_str());
  }
  std::ofstream after(argv[1]);
  for (const std::string& line : lines) after << line << "\n";
  return after.flush() ? 0 : 3;
}
