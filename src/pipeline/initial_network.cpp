#include "pipeline/initial_network.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"
#include "nn/weights.h"
#include "pipeline/network_folder.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kFirstLayer = "conv_in.weight";  // [O,I,3,3]

bool is_kept_type(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16 || type == at::kHalf;
}

}  // namespace

void write_initial_network(const std::string& folder, const nlohmann::json& config, uint64_t seed,
                           const std::map<std::string, at::Tensor>& given) {
  torch::manual_seed(seed);
  nn::UNet2DConditionModel unet(nn::unet_config_from_json(config));
  if (given.empty()) {
    nn::zero_init_output(unet);
  } else {
    nn::load_into(unet, given);
  }
  write_network_folder(folder, nn::to_json(unet.config()), nn::state_of(unet), at::kFloat);
}

void write_inpainting_network(const std::string& folder, const Component& component,
                              int latent_channels) {
  nn::TensorMap weights = tensors_of(component);
  const auto first = weights.find(kFirstLayer);
  if (first == weights.end() || first->second.dim() != 4 ||
      first->second.size(1) != latent_channels) {
    throw bad_input("'" + component.origin + "'",
                    std::string("a tensor ") + kFirstLayer + " of " +
                        std::to_string(latent_channels) + " input channels",
                    first == weights.end() ? "none" : "another shape");
  }
  nlohmann::json config = component.config.is_null()
                              ? nn::to_json(nn::unet_config_from_shapes(shapes_of(component)))
                              : component.config;
  config["in_channels"] = 2 * latent_channels + 1;
  const at::Tensor given = first->second;
  const at::ScalarType type = is_kept_type(given.scalar_type()) ? given.scalar_type() : at::kFloat;
  std::vector<int64_t> more = given.sizes().vec();
  more[1] = latent_channels + 1;
  const at::Tensor known = given.to(type);
  first->second = at::cat({known, at::zeros(more, known.options())}, 1);
  write_network_folder(folder, config, weights, type);
}

}  // namespace pangu::pipeline
