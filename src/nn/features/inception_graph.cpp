// The graph is written once, as a walk that is either building (it reads weights of the shape it
// meets) or running (it convolves). The order of convolutions and of concatenation is that of
// Keras' keras.applications.inception_v3, which the conversions to PyTorch have too.
#include "nn/features/inception_graph.h"

#include <torch/types.h>

namespace pangu::nn::inception {
namespace {

using at::Tensor;

Tensor max_pool(const Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}); }

// TensorFlow's "same" average leaves the padding out of the mean.
Tensor average_pool(const Tensor& x) {
  return at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false,
                        /*count_include_pad=*/false);
}

struct Shape {
  int64_t channels, height = 1, width = 1;
  bool reduce = false;  // stride 2 without padding
};

// `conv(x, shape)` applies the next convolution. Each block calls it in the order of the
// convolutions' numbers.
template <typename Conv>
Tensor block_35(const Tensor& x, Conv& conv, int64_t pool_channels) {
  const Tensor a = conv(x, {64});
  Tensor b = conv(x, {48});
  b = conv(b, {64, 5, 5});
  Tensor c = conv(x, {64});
  c = conv(c, {96, 3, 3});
  c = conv(c, {96, 3, 3});
  return at::cat({a, b, c, conv(average_pool(x), {pool_channels})}, 1);
}

template <typename Conv>
Tensor reduce_35_to_17(const Tensor& x, Conv& conv) {
  const Tensor a = conv(x, {384, 3, 3, true});
  Tensor b = conv(x, {64});
  b = conv(b, {96, 3, 3});
  b = conv(b, {96, 3, 3, true});
  return at::cat({a, b, max_pool(x)}, 1);
}

template <typename Conv>
Tensor block_17(const Tensor& x, Conv& conv, int64_t inner) {
  const Tensor a = conv(x, {192});
  Tensor b = conv(x, {inner});
  b = conv(b, {inner, 1, 7});
  b = conv(b, {192, 7, 1});
  Tensor c = conv(x, {inner});
  c = conv(c, {inner, 7, 1});
  c = conv(c, {inner, 1, 7});
  c = conv(c, {inner, 7, 1});
  c = conv(c, {192, 1, 7});
  return at::cat({a, b, c, conv(average_pool(x), {192})}, 1);
}

template <typename Conv>
Tensor reduce_17_to_8(const Tensor& x, Conv& conv) {
  Tensor a = conv(x, {192});
  a = conv(a, {320, 3, 3, true});
  Tensor b = conv(x, {192});
  b = conv(b, {192, 1, 7});
  b = conv(b, {192, 7, 1});
  b = conv(b, {192, 3, 3, true});
  return at::cat({a, b, max_pool(x)}, 1);
}

template <typename Conv>
Tensor block_8(const Tensor& x, Conv& conv, bool max_pool_at_last = false) {
  const Tensor a = conv(x, {320});
  const Tensor b = conv(x, {384});
  const Tensor b_wide = conv(b, {384, 1, 3});
  const Tensor b_high = conv(b, {384, 3, 1});
  Tensor c = conv(x, {448});
  c = conv(c, {384, 3, 3});
  const Tensor c_wide = conv(c, {384, 1, 3});
  const Tensor c_high = conv(c, {384, 3, 1});
  const Tensor pooled =
      max_pool_at_last ? at::max_pool2d(x, {3, 3}, {1, 1}, {1, 1}) : average_pool(x);
  return at::cat({a, b_wide, b_high, c_wide, c_high, conv(pooled, {192})}, 1);
}

// Returns an undefined tensor once on_stage says to stop.
template <typename Conv>
Tensor walk(Tensor x, Conv conv, bool max_pool_at_last, const OnStage& on_stage) {
  struct Stage {
    const char* name;
    std::function<Tensor(const Tensor&)> apply;
  };
  const auto mixed_17 = [&](int64_t inner) {
    return [&conv, inner](const Tensor& y) { return block_17(y, conv, inner); };
  };
  const auto mixed_35 = [&](int64_t pool_channels) {
    return [&conv, pool_channels](const Tensor& y) { return block_35(y, conv, pool_channels); };
  };
  const Stage stages[] = {
      {"Conv2d_1a_3x3", [&](const Tensor& y) { return conv(y, {32, 3, 3, true}); }},
      {"Conv2d_2a_3x3", [&](const Tensor& y) { return conv.unpadded(y, {32, 3, 3}); }},
      {"Conv2d_2b_3x3", [&](const Tensor& y) { return conv(y, {64, 3, 3}); }},
      {"MaxPool_1", max_pool},
      {"Conv2d_3b_1x1", [&](const Tensor& y) { return conv(y, {80}); }},
      {"Conv2d_4a_3x3", [&](const Tensor& y) { return conv.unpadded(y, {192, 3, 3}); }},
      {"MaxPool_2", max_pool},
      {"Mixed_5b", mixed_35(32)},
      {"Mixed_5c", mixed_35(64)},
      {"Mixed_5d", mixed_35(64)},
      {"Mixed_6a", [&](const Tensor& y) { return reduce_35_to_17(y, conv); }},
      {"Mixed_6b", mixed_17(128)},
      {"Mixed_6c", mixed_17(160)},
      {"Mixed_6d", mixed_17(160)},
      {"Mixed_6e", mixed_17(192)},
      {"Mixed_7a", [&](const Tensor& y) { return reduce_17_to_8(y, conv); }},
      {"Mixed_7b", [&](const Tensor& y) { return block_8(y, conv); }},
      {"Mixed_7c", [&](const Tensor& y) { return block_8(y, conv, max_pool_at_last); }}};
  for (const Stage& stage : stages) {
    x = stage.apply(x);
    if (!on_stage(stage.name, x)) return {};
  }
  return x;
}

// Reads the next weights and passes on an empty batch of the right shape.
class Builder {
 public:
  Builder(const ReadConv& read, std::vector<FoldedConv>& convs) : read_(read), convs_(convs) {}

  Tensor operator()(const Tensor& x, const Shape& shape) { return add(x, shape, !shape.reduce); }
  Tensor unpadded(const Tensor& x, const Shape& shape) { return add(x, shape, false); }

 private:
  Tensor add(const Tensor& x, const Shape& shape, bool same_padding) {
    const int64_t out = shape.channels;
    auto [weight, bias] = read_(convs_.size(), {out, x.size(1), shape.height, shape.width});
    convs_.push_back({std::move(weight), std::move(bias), shape.reduce ? 2 : 1, same_padding});
    const FoldedConv& conv = convs_.back();
    const auto size = [&](int64_t dim, int64_t kernel) {
      return same_padding ? x.size(dim) : (x.size(dim) - kernel) / conv.stride + 1;
    };
    return at::empty({0, out, size(2, shape.height), size(3, shape.width)});
  }
  const ReadConv& read_;
  std::vector<FoldedConv>& convs_;
};

class Runner {
 public:
  explicit Runner(const std::vector<FoldedConv>& convs) : next_(convs.data()) {}

  Tensor operator()(const Tensor& x, const Shape&) {
    const FoldedConv& conv = *next_++;
    const int64_t high = conv.same_padding ? conv.weight.size(2) / 2 : 0;
    const int64_t wide = conv.same_padding ? conv.weight.size(3) / 2 : 0;
    const Tensor y =
        at::conv2d(x, conv.weight, conv.bias, {conv.stride, conv.stride}, {high, wide});
    return at::relu(y);
  }
  Tensor unpadded(const Tensor& x, const Shape& shape) { return (*this)(x, shape); }

 private:
  const FoldedConv* next_;
};

}  // namespace

Graph build(int64_t side, bool max_pool_at_last, const ReadConv& read, const OnStage& on_stage) {
  Graph graph{{}, max_pool_at_last};
  // An empty batch: shapes are worked out, and nothing is computed.
  walk(at::empty({0, 3, side, side}), Builder(read, graph.convs), max_pool_at_last, on_stage);
  return graph;
}

at::Tensor run(const Graph& graph, const at::Tensor& x, const OnStage& on_stage) {
  return walk(x, Runner(graph.convs), graph.max_pool_at_last, on_stage);
}

}  // namespace pangu::nn::inception
