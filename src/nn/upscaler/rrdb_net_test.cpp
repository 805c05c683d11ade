#include "nn/upscaler/rrdb_net.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

constexpr RrdbConfig kSmall{.features = 4, .growth = 2, .blocks = 1};

}  // namespace

TEST_CASE("an upscaler of zero weights and one bias gives a plain picture of the larger size") {
  RrdbConfig config = kSmall;
  for (const auto& [doublings, folded] : {std::pair{2, 1}, {2, 2}, {2, 4}, {1, 1}, {0, 1}}) {
    config.doublings = doublings;
    config.folded = folded;
    RrdbNet net(config);
    for (auto& parameter : net.parameters()) parameter.detach().zero_();
    net.named_parameters()["conv_last.bias"].detach().fill_(0.25);
    const at::Tensor out = net.forward(at::rand({2, 3, 5, 7}));
    const int64_t factor = config.factor();
    CHECK(out.sizes() == at::IntArrayRef({2, 3, 5 * factor, 7 * factor}));
    CHECK(at::equal(out, at::full_like(out, 0.25)));
  }
}

TEST_CASE("an upscaler's configuration is read off its shapes") {
  for (const int64_t folded : {1, 2, 4}) {
    RrdbConfig config = kSmall;
    config.blocks = 3;
    config.folded = folded;
    CHECK(rrdb_config_from_shapes(shapes_of(RrdbNet(config))) == config);
  }
  CHECK(RrdbConfig().factor() == 4);
}

TEST_CASE("shapes of other networks are refused, and a drawing may stop between blocks") {
  const TensorShapes good = shapes_of(RrdbNet(kSmall));
  const auto refusal = [&](const std::string& name, const std::vector<int64_t>& shape) {
    TensorShapes shapes = good;
    shapes[name] = shape;
    if (shape.empty()) shapes.erase(name);
    return refusal_of([&] { rrdb_config_from_shapes(shapes); });
  };
  CHECK(contains(refusal("conv_first.weight", {}), "conv_first.weight"));
  CHECK(contains(refusal("conv_first.weight", {4, 1, 3, 3}), "RGB"));
  CHECK(contains(refusal("conv_last.weight", {4, 4, 3, 3}), "4 out"));
  CHECK(contains(refusal("body.0.rdb1.conv1.weight", {2}), "conv1.weight"));
  Watch watch;
  watch.wants_stop = [] { return true; };
  CHECK_THROWS_AS(RrdbNet(kSmall).forward(at::rand({1, 3, 4, 4}), watch), Stopped);
}
