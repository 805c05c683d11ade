// Measures how long our group norm takes: the norms of an autoencoder's last level, of a UNet's
// first level and of a small training batch, forward and with gradients. It prints the shortest of
// many runs.
//   bench_norm [threads]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "nn/fused_norm.h"

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Run>
double least_ms(const Run& run) {
  double least = 1e9;
  const double start = seconds();
  for (int i = 0; i < 5 || seconds() - start < 2.0; ++i) {
    const double before = seconds();
    run();
    least = std::min(least, seconds() - before);
  }
  return least * 1e3;
}

void measure(const char* what, at::IntArrayRef sizes, at::ScalarType type, bool trains) {
  torch::nn::GroupNorm norm(torch::nn::GroupNormOptions(32, sizes[1]));
  norm->to(type);
  const at::Tensor x = at::randn(sizes).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  const double forward = [&] {
    const at::NoGradGuard frozen;
    return least_ms([&] { pangu::nn::group_norm(x, norm, pangu::nn::Activation::kSilu); });
  }();
  double both = 0;
  if (trains) {
    const at::Tensor leaf = x.detach().requires_grad_();
    const at::Tensor upstream = at::randn_like(x);
    both = least_ms([&] {
      pangu::nn::group_norm(leaf, norm, pangu::nn::Activation::kSilu).backward(upstream);
    });
  }
  std::printf("%-26s %-9s forward %8.3f ms", what, c10::toString(type), forward);
  if (trains) std::printf(", with gradients %8.3f ms", both);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) at::set_num_threads(std::atoi(argv[1]));
  std::printf("%d threads\n", at::get_num_threads());
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    measure("autoencoder 1x128x512x512", {1, 128, 512, 512}, type, false);
    measure("UNet 2x320x64x64", {2, 320, 64, 64}, type, true);
    measure("UNet 1x320x64x64", {1, 320, 64, 64}, type, true);
    measure("UNet 1x1280x16x16", {1, 1280, 16, 16}, type, true);
    measure("training 64x96x16x16", {64, 96, 16, 16}, type, true);
  }
  return 0;
}
