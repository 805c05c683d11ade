// A model that a training goes on from: its family's training, its experts, their weights, and all
// that it says itself of noise and sizes.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "pipeline/families/source.h"
#include "pipeline/trained_model.h"

namespace pangu::pipeline {

struct TrainingBase {
  std::shared_ptr<const Source> source;  // a folder
  const TrainingSpec* spec = nullptr;    // never none
  std::vector<TrainedExpert> experts;    // one or two
  diffusion::Schedule schedule;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
  int default_side_px = 0;     // of the square with its default size's area, a multiple of the next
  int size_multiple = 1;       // sides of pictures are multiples of it
  bool reads_control = false;  // it draws from a control picture by itself
};

// Opens headers and configurations. Error kBadInput for a path that is no model, or one of a family
// that cannot be trained here.
TrainingBase open_training_base(const std::string& path);

// Of one expert and the networks that learn along with it.
NetworkConfigs networks_of(const TrainingBase& base, const TrainedExpert& expert);
// By the names of TrainableDenoiser::module, of which `parts` is.
std::map<std::string, at::Tensor> weights_of(const TrainingBase& base, const TrainedExpert& expert,
                                             const std::vector<TrainablePart>& parts);

}  // namespace pangu::pipeline
