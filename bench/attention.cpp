// Attention in bf16: our kernel against ATen's, at the shapes of Stable Diffusion 1.5 at 512x512
// (and one of SDXL and of an autoencoder), in turns, so that both meet the same machine.
//   ninja -C build/release bench_attention && build/release/bench_attention [rounds]
#include <ATen/ATen.h>

#include <cstdio>

#include "bench/rounds.h"
#include "bench/timing.h"
#include "nn/attention_kernel.h"

namespace {

using pangu::bench::median;

struct Shape {
  int64_t batch, heads, queries, keys, width;
};

at::Tensor of_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads) {
  const auto split = [&](const at::Tensor& x) {
    return x.unflatten(-1, {heads, -1}).transpose(1, 2);
  };
  return at::scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2);
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  const int rounds = pangu::bench::announced_rounds(argc, argv);
  for (const Shape s :
       {Shape{2, 8, 4096, 4096, 40}, Shape{2, 8, 4096, 77, 40}, Shape{2, 8, 1024, 1024, 80},
        Shape{2, 8, 256, 256, 160}, Shape{2, 8, 64, 64, 160}, Shape{2, 10, 4096, 4096, 64},
        Shape{1, 1, 4096, 4096, 512}}) {
    const auto drawn = [&](int64_t rows) {
      return at::randn({s.batch, rows, s.heads * s.width}).to(at::kBFloat16);
    };
    const at::Tensor q = drawn(s.queries), k = drawn(s.keys), v = drawn(s.keys);
    pangu::nn::AttentionOptions options;
    options.heads = s.heads;
    if (!pangu::nn::attention_by_kernel(q, k, v, options).defined()) {
      std::printf("no kernel of ours for this level\n");
      return 0;
    }
    const auto times = pangu::bench::Pairs::by_turns(
        rounds, [&] { pangu::nn::attention_by_kernel(q, k, v, options); },
        [&] { of_aten(q, k, v, s.heads); });
    const double ours = median(times.ours), theirs = median(times.theirs);
    const double gflop = 4e-9 * double(s.batch * s.heads * s.queries) * double(s.keys * s.width);
    std::printf(
        "%ld x %2ld heads of %3ld, %4ld queries, %4ld keys: ours %7.2f ms, %4.0f GFLOP/s; "
        "ATen %7.2f ms, %4.0f GFLOP/s; ratio of pairs %.2f\n",
        long(s.batch), long(s.heads), long(s.width), long(s.queries), long(s.keys), ours * 1e3,
        gflop / ours, theirs * 1e3, gflop / theirs, median(times.ratios));
  }
  return 0;
}
