// Linear layers and convolutions in bf16: our kernel with packed weights against ATen's, and
// against our own in int8, at shapes of Stable Diffusion 1.5 at 512x512 with guidance and of its
// autoencoder, in turns, so that both meet the same machine. And linear layers in f32, of text
// encoders and of the UNet, as nn/f32_linear serves them against at::linear.
//   ninja -C build/release bench_product && build/release/bench/bench_product [rounds]
#include <ATen/ATen.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "bench/rounds.h"
#include "bench/timing.h"
#include "nn/conv.h"
#include "nn/f32_linear.h"
#include "nn/linear.h"
#include "nn/packed_weight.h"

namespace {

using pangu::bench::median;
using pangu::bench::Pairs;
using pangu::nn::Activation;

struct Shape {
  int64_t batch, side, inputs, outputs, kernel;  // kernel 0: a linear layer with GEGLU
};

// The times of a layer with packed weights in bf16 beside those without, and in int8 beside bf16.
struct Times {
  Pairs packed, bytes;
};

template <class Layer, class Forward>
Times times_of(int rounds, std::array<Layer, 3> layers, const Forward& forward) {
  auto& [plain, packed, bytes] = layers;
  packed->pack(pangu::nn::Packing::kBf16);
  bytes->pack_int8({});
  const auto run = [&](Layer& layer) { return [&] { forward(layer); }; };
  return {Pairs::by_turns(rounds, run(packed), run(plain)),
          Pairs::by_turns(rounds, run(bytes), run(packed))};
}

Times measure(const Shape& s, int rounds) {
  const int64_t pixels = s.batch * s.side * s.side;
  if (s.kernel == 0) {
    const auto layer = [&] {
      pangu::nn::Linear made(s.inputs, s.outputs);
      made->to(at::kBFloat16);
      return made;
    };
    std::array layers = {layer(), layer(), layer()};
    for (size_t i = 1; i < layers.size(); ++i) layers[i]->set_gated();
    const at::Tensor x = at::randn({1, pixels, s.inputs}).to(at::kBFloat16);
    const pangu::nn::Epilogue gated{.activation = Activation::kGeglu};
    return times_of(rounds, layers, [&](auto& linear) { linear->forward(x, {}, gated); });
  }
  const auto layer = [&] {
    auto made = pangu::nn::same_conv2d(s.inputs, s.outputs, s.kernel);
    made->to(at::kBFloat16);
    pangu::nn::Conv2dImpl& conv = *made;
    conv.weight.set_data(conv.weight.detach().contiguous(at::MemoryFormat::ChannelsLast));
    return made;
  };
  const at::Tensor x = at::randn({s.batch, s.inputs, s.side, s.side})
                           .to(at::kBFloat16)
                           .contiguous(at::MemoryFormat::ChannelsLast);
  return times_of(rounds, std::array{layer(), layer(), layer()},
                  [&](auto& conv) { conv->forward(x); });
}

// A linear layer of a batch of prompts, or of latents.
struct LinearShape {
  int64_t rows, inputs, outputs;
};

void print_f32(int rounds) {
  for (const LinearShape s :
       {LinearShape{16, 384, 1536}, LinearShape{512, 384, 1536}, LinearShape{154, 768, 3072},
        LinearShape{154, 1280, 5120}, LinearShape{8192, 320, 320}}) {
    const at::Tensor x = at::randn({s.rows, s.inputs}), weight = at::randn({s.outputs, s.inputs});
    const at::Tensor bias = at::randn({s.outputs});
    if (!pangu::nn::f32_linear_serves(x, weight, bias)) {
      std::printf("linear, f32: at::linear serves this machine\n");
      return;
    }
    const Pairs pairs = Pairs::by_turns(
        rounds, [&] { pangu::nn::f32_linear(x, weight, bias); },
        [&] { at::linear(x, weight, bias); });
    const double gflop = 2e-9 * double(s.rows) * double(s.inputs * s.outputs);
    std::printf(
        "linear, f32   %4ld -> %5ld, %4ld rows: oneDNN %6.2f ms, %4.0f GFLOP/s; at::linear %6.2f "
        "ms, "
        "%4.0f GFLOP/s; ratio of pairs %.2f\n",
        long(s.inputs), long(s.outputs), long(s.rows), median(pairs.ours) * 1e3,
        gflop / median(pairs.ours), median(pairs.theirs) * 1e3, gflop / median(pairs.theirs),
        median(pairs.ratios));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  const int rounds = pangu::bench::announced_rounds(argc, argv);
  print_f32(rounds);
  if (!pangu::nn::has_packed_products()) {
    std::printf("no kernel of ours for this level\n");
    return 0;
  }
  for (const Shape s :
       {Shape{2, 64, 320, 320, 3}, Shape{2, 32, 640, 640, 3}, Shape{2, 16, 1280, 1280, 3},
        Shape{2, 8, 2560, 1280, 3}, Shape{2, 64, 320, 320, 1}, Shape{2, 64, 320, 2560, 0},
        Shape{2, 16, 1280, 10240, 0}, Shape{1, 64, 512, 512, 3}, Shape{1, 512, 128, 128, 3}}) {
    const Times times = measure(s, rounds);
    const int64_t taps = std::max<int64_t>(1, s.kernel * s.kernel);
    const double gflop =
        2e-9 * double(s.batch * s.side * s.side) * double(s.inputs * s.outputs * taps);
    std::printf(
        "%s %4ld -> %5ld, %ld x %3ld x %3ld pixels: ours %6.2f ms, %4.0f GFLOP/s; ATen %6.2f ms, "
        "%4.0f GFLOP/s; ratio of pairs %.2f; int8 %6.2f ms, %4.0f GOP/s, ratio to ours %.2f\n",
        s.kernel == 0   ? "linear, GEGLU"
        : s.kernel == 1 ? "1x1          "
                        : "3x3          ",
        long(s.inputs), long(s.outputs), long(s.batch), long(s.side), long(s.side),
        median(times.packed.ours) * 1e3, gflop / median(times.packed.ours),
        median(times.packed.theirs) * 1e3, gflop / median(times.packed.theirs),
        median(times.packed.ratios), median(times.bytes.ours) * 1e3,
        gflop / median(times.bytes.ours), median(times.bytes.ratios));
  }
  return 0;
}
