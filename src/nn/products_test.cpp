// Compares the products and the attention that networks call with their plain definitions: values
// and gradients, with every prologue and epilogue.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <functional>
#include <vector>

#include "nn/attention.h"
#include "nn/conv.h"
#include "nn/f32_linear.h"
#include "nn/linear.h"
#include "nn/upcast_products.h"

namespace pangu::nn {
namespace {

// The largest difference divided by the largest magnitude.
double apart(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor reference = want.to(at::kDouble);
  const double size = std::max(reference.abs().max().item<double>(), 1e-6);
  return ((got.to(at::kDouble) - reference).abs().max() / size).item<double>();
}

// f32 sums of some hundred terms in another order differ by a few roundings of 6e-8.
constexpr double kSumOrder = 1e-5;

// Returns the result and the gradients of every leaf.
std::vector<at::Tensor> run_of(const std::vector<at::Tensor>& leaves,
                               const std::function<at::Tensor()>& call) {
  const at::Tensor y = call();
  torch::manual_seed(2);
  const auto grads = torch::autograd::grad({y}, leaves, {at::randn(y.sizes()).to(y.dtype())});
  std::vector<at::Tensor> all = {y.detach()};
  all.insert(all.end(), grads.begin(), grads.end());
  return all;
}

void check_equal(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& wanted,
                 double bound = kSumOrder) {
  REQUIRE(found.size() == wanted.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i].sizes() == wanted[i].sizes());
    CHECK(apart(found[i], wanted[i]) < bound);
  }
}

at::Tensor leaf(at::IntArrayRef sizes) { return at::randn(sizes).requires_grad_(); }

constexpr Activation kAll[] = {Activation::kNone, Activation::kRelu,      Activation::kSilu,
                               Activation::kGelu, Activation::kQuickGelu, Activation::kGeglu};

// Restores libtorch's number of threads.
struct Threads {
  explicit Threads(int count) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  const int before = at::get_num_threads();
};

TEST_CASE("a linear product in f32 without gradients equals its definition by any threads") {
  torch::manual_seed(1);
  const at::NoGradGuard no_grad;
  for (const int64_t rows : {1, 9, 10, 77}) {
    const at::Tensor weight = at::randn({50, 33}), bias = at::randn({50});
    // Rows of a wider matrix, as a slice of a sequence has them.
    const at::Tensor x = at::randn({2, rows, 40}).narrow(-1, 3, 33);
    for (const at::Tensor& added : {bias, at::Tensor()}) {
      const at::Tensor found = linear(x, weight, added);
      CHECK(found.sizes() == at::IntArrayRef{2, rows, 50});
      CHECK(apart(found, plain_linear(x, weight, added)) < kSumOrder);
      if (!f32_linear_serves(x, weight, added)) continue;
      const Threads one(1);
      CHECK(at::equal(found, linear(x, weight, added)));
    }
  }
}

TEST_CASE("a linear product in f32 has gradients whatever serves it without them") {
  const at::Tensor x = at::randn({20, 6}), weight = leaf({4, 6});
  CHECK_FALSE(f32_linear_serves(x, weight, {}));
  CHECK(linear(x, weight, at::Tensor()).requires_grad());
}

TEST_CASE("a linear product equals its definition with every norm, activation and residual") {
  torch::manual_seed(1);
  const at::Tensor x = leaf({2, 7, 12}), weight = leaf({10, 12}), bias = leaf({10});
  torch::nn::LayerNorm norm(torch::nn::LayerNormOptions({12}));
  for (const Activation activation : kAll) {
    const int64_t out = activation == Activation::kGeglu ? 5 : 10;
    const Prologue before{.layer_norm = norm, .activation = Activation::kSilu};
    const Epilogue after{.activation = activation, .residual = leaf({2, 7, out})};
    const std::vector<at::Tensor> leaves = {x, weight, bias, norm->weight, after.residual};
    check_equal(run_of(leaves, [&] { return linear(x, weight, bias, before, after); }),
                run_of(leaves, [&] { return plain_linear(x, weight, bias, before, after); }));
  }
  check_equal(run_of({x, weight}, [&] { return linear(x, weight, at::Tensor()); }),
              run_of({x, weight}, [&] { return plain_linear(x, weight, at::Tensor()); }));
}

TEST_CASE("a convolution equals its definition with strides, paddings, norm, shift and residual") {
  torch::manual_seed(1);
  const at::Tensor x = leaf({2, 8, 9, 7}), bias = leaf({6}), shift = leaf({2, 8});
  torch::nn::GroupNorm norm(torch::nn::GroupNormOptions(4, 8));
  for (const int64_t kernel : {1, 3}) {
    for (const ConvShape shape : {ConvShape{1, 0}, ConvShape{1, 1}, ConvShape{2, 1}}) {
      CAPTURE(kernel);
      CAPTURE(shape.stride);
      CAPTURE(shape.padding);
      const at::Tensor weight = leaf({6, 8, kernel, kernel});
      const Prologue larger{.doubles = true};
      check_equal(run_of({x, weight}, [&] { return conv2d(x, weight, bias, shape, larger); }),
                  run_of({x, weight}, [&] {
                    return plain_conv2d(at::upsample_nearest2d(x, {18, 14}), weight, bias, shape);
                  }));
      const at::Tensor plain = plain_conv2d(x, weight, bias, shape).detach();
      const Prologue before{.group_norm = norm, .activation = Activation::kSilu, .shift = shift};
      const Epilogue after{.activation = Activation::kRelu, .residual = leaf(plain.sizes())};
      const std::vector<at::Tensor> leaves = {x, weight, bias, shift, norm->weight, after.residual};
      check_equal(
          run_of(leaves, [&] { return conv2d(x, weight, bias, shape, before, after); }),
          run_of(leaves, [&] { return plain_conv2d(x, weight, bias, shape, before, after); }));
      check_equal(
          run_of({x, weight}, [&] { return conv2d(x, weight, at::Tensor(), shape); }),
          run_of({x, weight}, [&] { return plain_conv2d(x, weight, at::Tensor(), shape); }));
    }
  }
}

at::Tensor narrow(const at::Tensor& x) { return x.to(at::kBFloat16); }

// Holds a product of bf16 numbers and its gradients, with every set of leaves that training has, to
// the same in f32. Both round once, to 8 bits.
template <typename Product, typename Exact>
void check_upcast(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  const Product& product, const Exact& exact) {
  constexpr int kSets = 8;
  for (int set = 1; set < kSets; ++set) {
    CAPTURE(set);
    std::vector<at::Tensor> numbers = {narrow(x), narrow(weight), narrow(bias)}, leaves,
                            exact_leaves;
    std::vector<at::Tensor> widened;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const bool is_leaf = (set >> i & 1) != 0;
      numbers[i].set_requires_grad(is_leaf);
      widened.push_back(numbers[i].detach().to(at::kFloat).set_requires_grad(is_leaf));
      if (is_leaf) leaves.push_back(numbers[i]), exact_leaves.push_back(widened[i]);
    }
    const auto found = run_of(leaves, [&] { return product(numbers[0], numbers[1], numbers[2]); });
    for (const at::Tensor& one : found) CHECK((one.scalar_type() == at::kBFloat16));
    check_equal(found,
                run_of(exact_leaves, [&] { return exact(widened[0], widened[1], widened[2]); }),
                8e-3);
  }
}

TEST_CASE(
    "products of bf16 numbers by f32 equal their definitions, whichever factors are trained") {
  torch::manual_seed(1);
  check_upcast(at::randn({2, 7, 12}), at::randn({10, 12}), at::randn({10}), upcast_linear,
               [](auto& x, auto& w, auto& b) { return plain_linear(x, w, b); });
  for (const ConvShape& shape : {ConvShape{1, 1}, ConvShape{2, 1}, ConvShape{1, 0}}) {
    for (const bool is_last : {false, true}) {
      const at::Tensor x = at::randn({2, 8, 9, 7});
      check_upcast(
          is_last ? x.contiguous(at::MemoryFormat::ChannelsLast) : x, at::randn({6, 8, 3, 3}),
          at::randn({6}), [&](auto& a, auto& w, auto& b) { return upcast_conv2d(a, w, b, shape); },
          [&](auto& a, auto& w, auto& b) { return plain_conv2d(a, w, b, shape); });
    }
  }
  const at::Tensor x = narrow(at::randn({3, 12})), weight = narrow(at::randn({10, 12}));
  const at::Tensor found = upcast_linear(x, weight, at::Tensor());
  CHECK(apart(found, plain_linear(x.to(at::kFloat), weight.to(at::kFloat), at::Tensor())) < 4e-3);
}

TEST_CASE("attention equals its definition with heads, hidden keys and a causal order") {
  torch::manual_seed(1);
  const at::Tensor q = leaf({2, 9, 24}), k = leaf({2, 9, 24}), v = leaf({2, 9, 24});
  const at::Tensor bias = at::zeros({2, 1, 1, 9});
  bias.narrow(3, 5, 4).fill_(-10000.0);
  for (const int64_t heads : {1, 4}) {
    for (const bool causal : {false, true}) {
      for (const bool hides : {false, true}) {
        CAPTURE(heads);
        CAPTURE(causal);
        CAPTURE(hides);
        AttentionOptions options;
        options.heads = heads;
        options.causal = causal;
        if (hides) options.bias = bias;
        check_equal(run_of({q, k, v}, [&] { return attention(q, k, v, options); }),
                    run_of({q, k, v}, [&] { return plain_attention(q, k, v, options); }));
      }
    }
  }
}

TEST_CASE("attention in bf16, written out, fused and in f32, is near to the definition in f32") {
  torch::manual_seed(1);
  const at::Tensor q = at::randn({2, 40, 32}), k = at::randn({2, 11, 32}),
                   v = at::randn({2, 11, 32});
  AttentionOptions options;
  options.heads = 4;
  const at::Tensor exact = plain_attention(narrow(q).to(at::kFloat), narrow(k).to(at::kFloat),
                                           narrow(v).to(at::kFloat), options);
  for (const bool writes_out : {false, true}) {
    for (const bool upcast : {false, true}) {
      options.writes_out_few = writes_out;
      options.upcast = upcast;
      const at::Tensor found = attention(narrow(q), narrow(k), narrow(v), options);
      CHECK((found.scalar_type() == at::kBFloat16));
      CHECK(apart(found, exact) < 1.2e-2);  // three roundings to 8 bits
    }
  }
}

TEST_CASE("attention's gradient in bf16 is near to that of the definition in f32") {
  torch::manual_seed(1);
  for (const int64_t keys : {19, 130}) {
    for (const bool hides : {false, true}) {
      // Slices of a wider matrix, as a product of queries, keys and values at once has them.
      const at::Tensor all = at::randn({2, 130, 3, 32}).to(at::kBFloat16);
      const auto part = [&](int64_t i, int64_t rows) {
        return all.select(2, i).narrow(1, 0, rows).detach().set_requires_grad(true);
      };
      const std::vector<at::Tensor> narrow_ones = {part(0, 130), part(1, keys), part(2, keys)};
      std::vector<at::Tensor> wide;
      for (const at::Tensor& x : narrow_ones) {
        wide.push_back(x.detach().to(at::kFloat).set_requires_grad(true));
      }
      AttentionOptions options;
      options.heads = 4;
      if (hides) {
        options.bias = at::zeros({2, 1, 1, keys});
        options.bias.narrow(3, 5, 4).fill_(-10000.0);
      }
      const auto found = run_of(narrow_ones, [&] {
        return attention(narrow_ones[0], narrow_ones[1], narrow_ones[2], options);
      });
      for (const at::Tensor& one : found) CHECK((one.scalar_type() == at::kBFloat16));
      check_equal(found,
                  run_of(wide, [&] { return plain_attention(wide[0], wide[1], wide[2], options); }),
                  2e-2);  // relative to the greatest gradient, of numbers that are rounded twice
    }
  }
}

TEST_CASE("fresh weights are those that torch's own modules would draw") {
  torch::manual_seed(4);
  const torch::nn::Linear linear_of_torch(5, 3);
  const torch::nn::Conv2d conv_of_torch(torch::nn::Conv2dOptions(5, 3, 3));
  torch::manual_seed(4);
  const Linear linear_of_ours(5, 3);
  const Conv2d conv_of_ours(5, 3, 3);
  CHECK(at::equal(linear_of_ours->weight, linear_of_torch->weight));
  CHECK(at::equal(linear_of_ours->bias, linear_of_torch->bias));
  CHECK(at::equal(conv_of_ours->weight, conv_of_torch->weight));
  CHECK(at::equal(conv_of_ours->bias, conv_of_torch->bias));
}

}  // namespace
}  // namespace pangu::nn
