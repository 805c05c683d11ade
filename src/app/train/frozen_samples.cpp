#include "app/train/frozen_samples.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "image/image.h"
#include "io/atomic_file.h"
#include "pipeline/draw.h"
#include "pipeline/expert_samples.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

constexpr int kSampleColumns = 4;

// The expert of a model that a run trains, by its place among them.
size_t place_among_experts(const TrainingRun& run) {
  const bool is_second =
      run.frozen->experts.size() > 1 && run.expert.component != run.frozen->experts[0].component;
  return is_second ? 1 : 0;
}

// The side of a square: what is trained at, or the size that the model knows next to it.
int sample_side(const train::TrainConfig& config, const pipeline::RequestRules& rules) {
  const int side = static_cast<int>(config.resolution);
  if (rules.sizes.empty()) return side / rules.size_multiple * rules.size_multiple;
  int nearest = 0;
  for (const auto& [width, height] : rules.sizes) {
    if (width != height) continue;
    if (nearest == 0 || std::abs(width - side) < std::abs(nearest - side)) nearest = width;
  }
  return nearest;
}

// An inpainting model draws from text alone where the whole picture is masked.
pipeline::Pictures mask_everything(pipeline::Request& request_) {
  const int width = *request_.width, height = *request_.height;
  request_.init_image = request_.mask_image = "all";  // are there: the pictures below
  request_.strength = 1.0;
  pipeline::Pictures pictures;
  pictures.init = image::filled(width, height, {127, 127, 127});
  pictures.mask = image::filled(width, height, {});
  return pictures;
}

// Nothing of its own is in memory.
pipeline::Expert trained_expert(const train::TrainConfig& config, pipeline::Expert expert,
                                const train::DenoiserCall& call) {
  const at::Device device(config.device);
  const auto type = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  expert.load = [](const Watch&) {};
  expert.hold = {};
  expert.prepare = {};
  expert.predict = [call, device, type](const at::Tensor& x, double t_index,
                                        const pipeline::NetInputs& inputs, const Watch&) {
    const at::NoGradGuard no_grad;
    const at::Tensor input = x.to(device, type).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor t = at::full({1}, t_index, at::TensorOptions().device(device));
    return call(input, t, inputs.conditions.to(device, type)).to(at::kFloat).cpu();
  };
  return expert;
}

}  // namespace

void write_frozen_samples(const TrainingRun& run, int64_t step, const train::DenoiserCall& call,
                          const pipeline::TextSide& text) {
  const train::TrainConfig& config = run.config;
  if (config.sample_prompts.empty()) return;
  pipeline::Model model = pipeline::reopened(*run.frozen).model;
  pipeline::Expert& expert = model.denoising.experts[place_among_experts(run)];
  expert = trained_expert(config, expert, call);
  auto& sides = model.denoising.text_sides;
  if (text.encode && model.denoising.experts.size() == 1) {
    sides.front() = text;
  } else if (text.encode) {  // the other expert reads prompts as before
    expert.text_side = sides.size();
    sides.push_back(text);
  }
  // Networks that are used through callables cannot give their deep features.
  model.rules.most_reuse_depth = 0;
  const int side = sample_side(config, model.rules);
  std::vector<at::Tensor> drawn;
  for (size_t i = 0; i < config.sample_prompts.size(); ++i) {
    pipeline::Request request;
    request.prompt = config.sample_prompts[i];
    request.width = side;
    request.height = side;
    pipeline::Pictures pictures;
    if (model.denoising.extra_channels > 0) pictures = mask_everything(request);
    const pipeline::Request asked = pipeline::resolved(
        request, model.rules, static_cast<uint64_t>(config.seed) + static_cast<uint64_t>(i));
    for (const image::Image& picture : pipeline::draw(model, asked, {}, pictures).pictures) {
      drawn.push_back(tensors::pixels_of(picture, -1.0, 1.0));
    }
  }
  const int columns = std::min<int>(kSampleColumns, static_cast<int>(drawn.size()));
  const auto png = image::encode_png(pipeline::sheet_of(at::cat(drawn), columns, side));
  const std::string folder = config.output_dir + "/samples";
  std::filesystem::create_directories(folder);
  io::write_file_atomic(folder + "/step" + std::to_string(step) + ".png",
                        std::as_bytes(std::span(png)));
}

}  // namespace pangu::app
