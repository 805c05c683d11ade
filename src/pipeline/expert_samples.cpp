#include "pipeline/expert_samples.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"
#include "image/sheet.h"
#include "tensors/pictures.h"

namespace pangu::pipeline {
namespace {

constexpr double kLeastSigma = 0.03;  // where steps end; what is left of the noise cannot be seen

// From the top of the range to its bottom, equal steps of log(sigma); the last one lands on the
// clean guess.
std::vector<double> sigmas_of(double high, double low, int steps) {
  std::vector<double> sigmas;
  for (int i = 0; i < steps; ++i) {
    sigmas.push_back(high * std::pow(low / high, double(i) / std::max(1, steps - 1)));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

// From the top of the range in equal steps of t, the last of which lands on the clean guess.
std::vector<double> sigmas_by_t(const ExpertSamples& asked) {
  const double top = double(asked.max_timestep - 1), bottom = double(asked.min_timestep);
  std::vector<double> sigmas;
  for (int i = 0; i < asked.steps; ++i) {
    sigmas.push_back(asked.schedule.sigma_of_t(top - (top - bottom) * i / asked.steps));
  }
  sigmas.push_back(0.0);
  return sigmas;
}

}  // namespace

at::Tensor expert_samples(const ExpertSamples& asked) {
  const at::NoGradGuard no_grad;
  const diffusion::Schedule& schedule = asked.schedule;
  const double high = schedule.sigma_of_t(double(asked.max_timestep - 1));
  const double low = std::max(schedule.sigma_of_t(double(asked.min_timestep)), kLeastSigma);
  std::vector<uint64_t> seeds;
  for (int64_t i = 0; i < asked.latents.size(0); ++i) seeds.push_back(static_cast<uint64_t>(i));
  at::Tensor x = diffusion::image_noise(seeds, asked.latents.sizes().slice(1).vec()) * high;
  if (asked.max_timestep < schedule.num_train_timesteps()) x = x + asked.latents;
  std::vector<int64_t> told;
  for (int64_t i = 0; i < x.size(0); ++i) told.push_back(x.size(0) + i);
  const Conditions conditional = asked.conditions.rows(told);
  const auto denoise = diffusion::denoise_with(
      [&](const at::Tensor& x_net, double t) {
        if (asked.guidance == 1) {
          return asked.predict(x_net.contiguous(at::MemoryFormat::ChannelsLast), at::full({1}, t),
                               conditional);
        }
        const at::Tensor both = at::cat({x_net, x_net}).contiguous(at::MemoryFormat::ChannelsLast);
        const auto halves = asked.predict(both, at::full({1}, t), asked.conditions).chunk(2);
        return halves[0] + asked.guidance * (halves[1] - halves[0]);
      },
      asked.parameterisation, schedule);
  const std::vector<double> sigmas = asked.equal_steps_of_t
                                         ? sigmas_by_t(asked)
                                         : sigmas_of(high, std::min(low, high), asked.steps);
  return diffusion::sample_euler(denoise, diffusion::Latents(x), sigmas).one();
}

image::Image sheet_of(const at::Tensor& pictures, int columns, int cell_px) {
  std::vector<image::Image> cells;
  for (int64_t i = 0; i < pictures.size(0); ++i) cells.push_back(tensors::picture_of(pictures[i]));
  return image::contact_sheet(cells, {.columns = columns, .cell_px = cell_px});
}

}  // namespace pangu::pipeline
