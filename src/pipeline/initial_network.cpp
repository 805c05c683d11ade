#include "pipeline/initial_network.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "nn/unet/unet.h"
#include "nn/weights.h"
#include "pipeline/network_folder.h"

namespace pangu::pipeline {

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

}  // namespace pangu::pipeline
