// Attention in bf16: our kernel against ATen's, at the shapes of Stable Diffusion 1.5 at 512x512
// (and one of SDXL and of an autoencoder), in turns, so that both meet the same machine.
//   ninja -C build/release bench_attention && build/release/bench_attention [rounds]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/level.h"
#include "nn/attention_kernel.h"

namespace {

struct Shape {
  int64_t batch, heads, queries, keys, width;
};

double median(std::vector<double> numbers) {
  std::nth_element(numbers.begin(), numbers.begin() + long(numbers.size()) / 2, numbers.end());
  return numbers[numbers.size() / 2];
}

template <class Call>
double seconds(const Call& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

at::Tensor of_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads) {
  const auto split = [&](const at::Tensor& x) {
    return x.unflatten(-1, {heads, -1}).transpose(1, 2);
  };
  return at::scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2);
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 7;
  std::printf("level %s, %d threads, medians of %d rounds\n",
              std::string(pangu::kernels::to_string(pangu::kernels::chosen_level())).c_str(),
              at::get_num_threads(), rounds);
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
    std::vector<double> ours, theirs, ratios;
    for (int round = 0; round <= rounds; ++round) {
      bool there = true;
      const double own =
          seconds([&] { there = pangu::nn::attention_by_kernel(q, k, v, options).defined(); });
      const double other = seconds([&] { of_aten(q, k, v, s.heads); });
      if (!there) {
        std::printf("no kernel of ours for this level\n");
        return 0;
      }
      if (round == 0) continue;  // memory is touched for the first time
      ours.push_back(own), theirs.push_back(other), ratios.push_back(other / own);
    }
    const double gflop = 4e-9 * double(s.batch * s.heads * s.queries) * double(s.keys * s.width);
    std::printf(
        "%ld x %2ld heads of %3ld, %4ld queries, %4ld keys: ours %7.2f ms, %4.0f GFLOP/s; "
        "ATen %7.2f ms, %4.0f GFLOP/s; ratio of pairs %.2f\n",
        long(s.batch), long(s.heads), long(s.width), long(s.queries), long(s.keys),
        median(ours) * 1e3, gflop / median(ours), median(theirs) * 1e3, gflop / median(theirs),
        median(ratios));
  }
  return 0;
}
