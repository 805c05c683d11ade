#include "pipeline/families/unet_denoiser.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "nn/unet/controlnet.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"

namespace pangu::pipeline {
namespace {

nn::UNetExtras extras_of(const Conditions& c) {
  nn::UNetExtras extras;
  extras.context_mask = c.context_mask;
  extras.text_embeds = c.pooled;
  extras.time_ids = c.size_numbers;
  return extras;
}

at::Tensor time_on(const Placement& place, double t_index) {
  return at::full({1}, t_index, at::TensorOptions().device(place.device));
}

nn::PreparedConditions prepare_with(nn::UNet2DConditionModel& unet, const Placement& place,
                                    const Conditions& given) {
  const Conditions conditions = given.to(place.device, place.dtype);
  nn::UNetExtras extras = extras_of(conditions);
  extras.class_labels = unet.class_labels_of(conditions.context, conditions.context_mask);
  return unet.prepare(conditions.context, extras);
}

at::Tensor predict_with(nn::UNet2DConditionModel& unet, const Placement& place, const at::Tensor& x,
                        double t_index, const NetInputs& inputs, const Watch& watch) {
  const auto* ready = std::any_cast<nn::PreparedConditions>(&inputs.prepared);
  nn::UNetStepExtras extras;
  for (const at::Tensor& r : inputs.residuals.down)
    extras.down_residuals.push_back(as_input(r, place));
  if (inputs.residuals.mid.defined()) extras.mid_residual = as_input(inputs.residuals.mid, place);
  extras.trace = checking(watch);
  const at::Tensor& more = inputs.conditions.extra_channels;
  const at::Tensor sample = more.defined() ? at::cat({x, more}, 1) : x;
  return unet
      .forward(as_input(sample, place), time_on(place, t_index),
               ready ? *ready : prepare_with(unet, place, inputs.conditions), extras)
      .to(at::kFloat)
      .cpu();
}

}  // namespace

DenoiserSource unet_denoiser(const std::shared_ptr<const Component>& component,
                             const Placement& place, const std::shared_ptr<const LoraSet>& loras) {
  const nn::UNetConfig config = component->config.is_null()
                                    ? nn::unet_config_from_shapes(shapes_of(*component))
                                    : read_config(*component, nn::unet_config_from_json);
  DenoiserSource source;
  source.origin = component->origin;
  source.in_channels = config.in_channels;
  source.levels = config.levels();
  source.load = [config, component, place, loras](const Watch& watch) {
    auto unet = make_network<nn::UNet2DConditionModel>(config, *component, place,
                                                       tensors_of(*component), watch);
    loras->merge_into(*unet, "unet", watch);
    // An expert that makes room for another takes the pages along that it had mapped.
    nn::UNet2DConditionModel* bare = unet.get();
    const std::shared_ptr<nn::UNet2DConditionModel> kept(
        bare, [unet = std::move(unet), component](auto*) mutable {
          unet.reset();
          forget_pages(*component);
        });
    LoadedDenoiser loaded;
    loaded.prepare = [kept, place](const Conditions& conditions) -> std::any {
      return prepare_with(*kept, place, conditions);
    };
    loaded.predict = [kept, place](const at::Tensor& x, double t_index, const NetInputs& inputs,
                                   const Watch& watch) {
      return predict_with(*kept, place, x, t_index, inputs, watch);
    };
    return std::make_shared<const LoadedDenoiser>(std::move(loaded));
  };
  return source;
}

Control unet_control(const std::string& path, const std::vector<io::Family>& families,
                     const Placement& place) {
  io::Recognised what;
  const auto component =
      std::make_shared<Component>(open_component(path, io::Part::kControlNet, &what));
  if (std::find(families.begin(), families.end(), what.family) == families.end()) {
    throw bad_input("ControlNet '" + path + "'",
                    std::string("one for ") + name_of(families.front()), what.human_name);
  }
  const nn::ControlNetConfig config =
      component->config.is_null() ? nn::controlnet_config_from_shapes(shapes_of(*component))
                                  : read_config(*component, nn::ControlNetConfig::from_json);
  const auto network = std::make_shared<Lazy<nn::ControlNetModel>>([=](const Watch& watch) {
    return make_network<nn::ControlNetModel>(config, *component, place, tensors_of(*component),
                                             watch);
  });
  Control control;
  control.name = std::filesystem::path(path).stem().string();
  control.load = [network](const Watch& watch) { network->get(watch); };
  control.predict = [network, place](const at::Tensor& x, double t_index, const Conditions& given,
                                     const at::Tensor& hint, const Watch& watch) {
    const Conditions conditions = given.to(place.device, place.dtype);
    nn::UNetExtras extras = extras_of(conditions);
    extras.trace = checking(watch);
    const auto out =
        network->get(watch).forward(as_input(x, place), time_on(place, t_index), conditions.context,
                                    as_input(hint, place), extras, {});
    return Residuals{out.down, out.mid};
  };
  return control;
}

}  // namespace pangu::pipeline
