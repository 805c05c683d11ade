#include "app/study/network_costs.h"

#include <torch/nn.h>

#include <map>
#include <memory>
#include <string>

#include "io/json_file.h"
#include "nn/unet/cost.h"
#include "nn/unet/unet.h"

namespace pangu::app {
namespace {

class NetworkShapes {
 public:
  const nn::TensorShapes& of(const train::Stage& stage) {
    const std::string& file = stage.config.network_config;
    auto found = shapes_.find(file);
    if (found == shapes_.end()) {
      const nn::SkipInitialisation skip;
      const auto config = nn::unet_config_from_json(io::read_json_file(file, "network_config"));
      found = shapes_.emplace(file, nn::shapes_of(nn::UNet2DConditionModel(config))).first;
    }
    return found->second;
  }

 private:
  std::map<std::string, nn::TensorShapes> shapes_;
};

double element_count(const nn::TensorShapes& shapes) {
  double all = 0;
  for (const auto& [name, shape] : shapes) {
    double count = 1;
    for (const int64_t side : shape) count *= static_cast<double>(side);
    all += count;
  }
  return all;
}

}  // namespace

void add_network_costs(int64_t context_length, train::CostSources& sources_) {
  const auto shapes = std::make_shared<NetworkShapes>();
  sources_.forward_gflop = [=](const train::Stage& stage, int64_t side) {
    return nn::unet_gflop(shapes->of(stage), side, side, context_length);
  };
  sources_.training_gflop = [=](const train::Stage& stage, int64_t side) {
    return nn::unet_training_gflop(shapes->of(stage), side, side, context_length);
  };
  sources_.activations = [=](const train::Stage& stage, int64_t side) {
    return nn::unet_activations(shapes->of(stage), side, side, context_length)
        .most(stage.config.gradient_checkpointing);
  };
  sources_.parameters = [=](const train::Stage& stage) { return element_count(shapes->of(stage)); };
}

}  // namespace pangu::app
