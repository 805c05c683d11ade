#include "train/flat_layout.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <string>
#include <vector>

using namespace pangu::train;

namespace {

NamedTensors params_of(const std::vector<const char*>& names) {
  NamedTensors params;
  for (const char* name : names) params.emplace_back(name, at::zeros({8}));
  return params;
}

const std::vector<const char*> kBlocks = {
    "conv_in.weight",      "up.0.attentions.0.q",  "up.0.attentions.0.k",  "up.0.attentions.10.q",
    "up.0.resnets.0.conv", "up.0.resnets.10.conv", "up.0.resnets.11.conv", "up.0.upsamplers.0",
    "up.1.attentions.0.q", "up.1.resnets.0.conv",  "conv_out.weight",
};

}  // namespace

TEST_CASE("layers of a block take turns as the network uses them, all else keeps its place") {
  const NamedTensors params = params_of(kBlocks);
  std::vector<std::string> used;
  for (const size_t i : order_of_use(params)) used.push_back(params[i].first);
  CHECK(used == std::vector<std::string>{
                    "conv_in.weight", "up.0.resnets.0.conv", "up.0.attentions.0.q",
                    "up.0.attentions.0.k", "up.0.resnets.10.conv", "up.0.attentions.10.q",
                    "up.0.resnets.11.conv", "up.0.upsamplers.0", "up.1.resnets.0.conv",
                    "up.1.attentions.0.q", "conv_out.weight"});
  CHECK(order_of_use(params_of({"b", "a"})) == std::vector<size_t>{0, 1});
}

TEST_CASE("buckets are filled from the layer that is used last") {
  const NamedTensors params = params_of(kBlocks);
  const FlatLayout layout(params, 2, 1);
  REQUIRE(layout.buckets().size() == params.size());
  CHECK(layout.bucket_of(10) == 0);  // conv_out
  CHECK(layout.bucket_of(8) == 1);   // up.1's attention
  CHECK(layout.bucket_of(9) == 2);
  CHECK(layout.bucket_of(6) == 4);  // the last layer of up.0, which has no attention
  CHECK(layout.bucket_of(3) == 5);
  CHECK(layout.bucket_of(0) == 10);
}
