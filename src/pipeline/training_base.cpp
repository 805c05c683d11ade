#include "pipeline/training_base.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "pipeline/families/scheduler_config.h"
#include "pipeline/families/spec.h"
#include "pipeline/model.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kDenoiserPart = "unet";

const Component& part_of_base(const TrainingBase& base, const TrainedExpert& expert,
                              const std::string& part) {
  return base.source->need(part == kDenoiserPart ? expert.component : part);
}

}  // namespace

TrainingBase open_training_base(const std::string& path) {
  TrainingBase base;
  base.source = std::make_shared<const Source>(open_source(path));
  if (!base.source->spec->training || base.source->is_single_file()) {
    throw bad_input("model '" + path + "'",
                    "a model folder that this program has trained, such as models/mini",
                    base.source->what.human_name, "other families draw here, but are not trained");
  }
  base.spec = &*base.source->spec->training;
  const NoiseTerms noise = noise_terms_of(*base.source);
  base.schedule = noise.schedule;
  base.parameterisation = noise.parameterisation;
  base.experts = trained_experts(path, base.schedule.num_train_timesteps(), "model");
  const Model model = load_model(path);
  const Request& defaults = model.rules.defaults;
  base.size_multiple = model.rules.size_multiple;
  base.reads_control = model.denoising.control_channels > 0;
  const double side = std::sqrt(double(*defaults.width) * *defaults.height);
  base.default_side_px =
      base.size_multiple * std::max(1, static_cast<int>(std::lround(side / base.size_multiple)));
  return base;
}

NetworkConfigs networks_of(const TrainingBase& base, const TrainedExpert& expert) {
  NetworkConfigs networks;
  networks[kDenoiserPart] = base.source->need(expert.component).config;
  if (base.spec->sight) networks["image_encoder"] = base.source->need("image_encoder").config;
  return networks;
}

std::map<std::string, at::Tensor> weights_of(const TrainingBase& base, const TrainedExpert& expert,
                                             const std::vector<TrainablePart>& parts) {
  std::map<std::string, at::Tensor> weights;
  for (const TrainablePart& part : parts) {
    for (const auto& [name, tensor] : tensors_of(part_of_base(base, expert, part.component))) {
      weights[part.prefix + name] = tensor;
    }
  }
  return weights;
}

}  // namespace pangu::pipeline
