// Networks with packed weights, taken apart and put together again.
#include "nn/packed_tensors.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/nn.h>
#include <torch/types.h>

#include <string>

#include "nn/conv.h"
#include "nn/linear.h"

namespace pangu::nn {
namespace {

// Layers of every kind that is packed, and some that are not.
struct PackedSampleImpl : torch::nn::Module {
  Linear plain{32, 48}, gated{48, 64};
  Conv2d pairs = same_conv2d(32, 48, 3), halving = same_conv2d(48, 48, 3, 2);
  Conv2d enlarging = enlarging_conv2d(48), few = same_conv2d(3, 32, 3);
  torch::nn::GroupNorm norm{torch::nn::GroupNormOptions(4, 48)};

  PackedSampleImpl() {
    gated->set_gated();
    register_module("plain", plain);
    register_module("gated", gated);
    register_module("pairs", pairs);
    register_module("halving", halving);
    register_module("enlarging", enlarging);
    register_module("few", few);
    register_module("norm", norm);
    register_buffer("number", at::ones({2}));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = pairs->forward(few->forward(x), {}, {.activation = Activation::kSilu});
    y = halving->forward(y, {.group_norm = norm});
    y = enlarging->forward(y, {.doubles = true});
    y = gated->forward(y.permute({0, 2, 3, 1}), {}, {.activation = Activation::kGeglu});
    return plain->forward(y);
  }
};
TORCH_MODULE(PackedSample);

PackedSample packed_sample() {
  torch::manual_seed(3);
  PackedSample network;
  network->to(at::kBFloat16);
  pack_weights(*network);
  return network;
}

PackedSample empty_sample() {
  const SkipInitialisation skip;
  return PackedSample();
}

TEST_CASE("a network made of another's packed tensors computes the same bits") {
  const at::NoGradGuard no_grad;
  PackedSample network = packed_sample(), again = empty_sample();
  const TensorMap tensors = packed_tensors(*network);
  REQUIRE(assign_packed(*again, tensors, at::kBFloat16, Packing::kBf16));
  const at::Tensor x =
      at::randn({2, 3, 8, 10}).to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  CHECK(again->forward(x).equal(network->forward(x)));
  CHECK((again->pairs->packed() != nullptr) == (network->pairs->packed() != nullptr));
  if (again->plain->packed()) {
    // Nothing is copied.
    const auto numbers = again->plain->packed()->numbers();
    const auto& [order, first] = *numbers.begin();
    CHECK(first.is_alias_of(tensors.at("plain.weight:" + order)));
  }
  TensorMap loaded = packed_tensors(*again);
  CHECK(loaded.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    REQUIRE(loaded.contains(name));
    CHECK(loaded.at(name).equal(tensor));
  }
}

TEST_CASE("tensors that are not what a network would be packed to are not taken") {
  const at::NoGradGuard no_grad;
  PackedSample network = packed_sample();
  if (!network->plain->packed()) return;
  const TensorMap tensors = packed_tensors(*network);
  const auto takes = [&](const TensorMap& changed, at::ScalarType dtype = at::kBFloat16) {
    PackedSample other = empty_sample();
    return assign_packed(*other, changed, dtype, Packing::kBf16);
  };
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    TensorMap changed = tensors;
    changed.erase(name);
    CHECK_FALSE(takes(changed));
    changed[name] = at::zeros({3}, tensor.options());
    CHECK_FALSE(takes(changed));
  }
  TensorMap more = tensors;
  more["other"] = at::zeros({1});
  CHECK_FALSE(takes(more));
  CHECK_FALSE(takes(tensors, at::kFloat));
}

TEST_CASE("the mark of packing is the same for the same packing only") {
  CHECK(packing_mark(Packing::kBf16) == packing_mark(Packing::kBf16));
  CHECK(packing_mark(Packing::kBf16).size() == 16);
  if (has_packed_products()) CHECK(packing_mark(Packing::kBf16) != packing_mark(Packing::kRounds));
}

}  // namespace
}  // namespace pangu::nn
