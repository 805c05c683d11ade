// Attention in bf16: our kernel against ATen's, at the shapes of Stable Diffusion 1.5 at 512x512
// (and one of SDXL, of models/mini and of an autoencoder), without and with gradients, in turns, so
// that both meet the same machine.
//   ninja -C build/release bench_attention && build/release/bench_attention [rounds]
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <functional>
#include <vector>

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

using Attention =
    std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&)>;

// Prints what both take for a shape: the mix alone, or with the gradients of q, k and v.
void compare(const Shape& s, bool with_gradient, int rounds, const Attention& ours,
             const Attention& theirs) {
  const auto drawn = [&](int64_t rows) {
    return at::randn({s.batch, rows, s.heads * s.width})
        .to(at::kBFloat16)
        .set_requires_grad(with_gradient);
  };
  const std::vector<at::Tensor> inputs = {drawn(s.queries), drawn(s.keys), drawn(s.keys)};
  if (!ours(inputs[0], inputs[1], inputs[2]).defined()) {
    std::printf("heads of %ld%s: no kernel of ours\n", long(s.width),
                with_gradient ? ", with gradient" : "");
    return;
  }
  const at::Tensor d_out = at::randn_like(inputs[0]);
  const auto run = [&](const Attention& attention) {
    const at::Tensor out = attention(inputs[0], inputs[1], inputs[2]);
    if (with_gradient) torch::autograd::grad({out}, inputs, {d_out});
  };
  const auto times =
      pangu::bench::Pairs::by_turns(rounds, [&] { run(ours); }, [&] { run(theirs); });
  const double our_time = median(times.ours), their_time = median(times.theirs);
  // The gradient's products are twice those of the mix; what is computed again does not count.
  const double gflop = (with_gradient ? 12e-9 : 4e-9) * double(s.batch * s.heads * s.queries) *
                       double(s.keys * s.width);
  std::printf(
      "%s%ld x %2ld heads of %3ld, %4ld queries, %4ld keys: ours %7.2f ms, %4.0f GFLOP/s; "
      "ATen %7.2f ms, %4.0f GFLOP/s; ratio of pairs %.2f\n",
      with_gradient ? "with gradient, " : "", long(s.batch), long(s.heads), long(s.width),
      long(s.queries), long(s.keys), our_time * 1e3, gflop / our_time, their_time * 1e3,
      gflop / their_time, median(times.ratios));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = pangu::bench::announced_rounds(argc, argv);
  for (const bool with_gradient : {false, true}) {
    for (const Shape s :
         {Shape{2, 8, 4096, 4096, 40}, Shape{2, 8, 4096, 77, 40}, Shape{2, 8, 1024, 1024, 80},
          Shape{2, 8, 256, 256, 160}, Shape{2, 8, 64, 64, 160}, Shape{2, 10, 4096, 4096, 64},
          Shape{16, 6, 256, 256, 32}, Shape{1, 1, 4096, 4096, 512}}) {
      pangu::nn::AttentionOptions options;
      options.heads = s.heads;
      const Attention ours = [&](const auto& q, const auto& k, const auto& v) {
        return pangu::nn::attention_by_kernel(q, k, v, options);
      };
      const Attention theirs = [&](const auto& q, const auto& k, const auto& v) {
        return of_aten(q, k, v, s.heads);
      };
      compare(s, with_gradient, rounds, ours, theirs);
    }
  }
  return 0;
}
