// Networks that a training goes on from, as folders that are opened again.
#include "pipeline/initial_network.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

const nlohmann::json kTinyUnet = {
    {"_class_name", "UNet2DConditionModel"},
    {"in_channels", 4},
    {"out_channels", 4},
    {"block_out_channels", {8, 16}},
    {"down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D"}},
    {"up_block_types", {"CrossAttnUpBlock2D", "UpBlock2D"}},
    {"layers_per_block", 1},
    {"attention_head_dim", 8},
    {"norm_num_groups", 4},
    {"cross_attention_dim", 16},
};

TEST_CASE("a network gets channels for masks that say nothing, and keeps all else and its type") {
  const TestFolder folder;
  write_initial_network(folder.file("plain"), kTinyUnet, 3);
  const Component plain = open_weights(folder.file("plain"));
  write_inpainting_network(folder.file("wide"), plain, 4);
  const Component wide = open_weights(folder.file("wide"));
  CHECK(wide.config.at("in_channels") == 9);
  CHECK(wide.config.at("block_out_channels") == kTinyUnet.at("block_out_channels"));
  const nn::TensorMap before = tensors_of(plain), after = tensors_of(wide);
  REQUIRE(before.size() == after.size());
  for (const auto& [name, tensor] : before) {
    const at::Tensor& now = after.at(name);
    CHECK((now.scalar_type() == tensor.scalar_type()));
    if (name != "conv_in.weight") {
      CHECK(at::equal(now, tensor));
      continue;
    }
    CHECK(now.sizes() == at::IntArrayRef({8, 9, 3, 3}));
    CHECK(at::equal(now.slice(1, 0, 4), tensor));
    CHECK(now.slice(1, 4).abs().max().item<double>() == 0.0);
  }
}

TEST_CASE("a network that reads other latents, or masks already, is refused") {
  const TestFolder folder;
  write_initial_network(folder.file("plain"), kTinyUnet, 3);
  const Component plain = open_weights(folder.file("plain"));
  const auto refusal = [&](const Component& component, int channels) {
    return refusal_of([&] { write_inpainting_network(folder.file("b"), component, channels); });
  };
  CHECK(contains(refusal(plain, 16), "16 input channels"));
  write_inpainting_network(folder.file("wide"), plain, 4);
  CHECK(contains(refusal(open_weights(folder.file("wide")), 4), "another shape"));
  CHECK(contains(refusal(Component{}, 4), "found none"));
}

}  // namespace
}  // namespace pangu::pipeline
