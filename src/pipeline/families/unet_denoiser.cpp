#include "pipeline/families/unet_denoiser.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "nn/unet/controlnet.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/families/int8_weights.h"
#include "pipeline/families/packed_files.h"
#include "pipeline/families/unet_extras.h"

namespace pangu::pipeline {
namespace {

at::Tensor time_on(const Placement& place, double t_index) {
  return at::full({1}, t_index, at::TensorOptions().device(place.device));
}

nn::PreparedConditions prepare_with(nn::UNet2DConditionModel& unet, const Placement& place,
                                    const Conditions& given) {
  const Conditions conditions = given.to(place.device, place.dtype);
  nn::UNetExtras extras = unet_extras_of(conditions);
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
  extras.deep = inputs.deep;
  const at::Tensor& more = inputs.conditions.extra_channels;
  const at::Tensor sample = more.defined() ? at::cat({x, more}, 1) : x;
  return unet
      .forward(as_input(sample, place), time_on(place, t_index),
               ready ? *ready : prepare_with(unet, place, inputs.conditions), extras)
      .to(at::kFloat)
      .cpu();
}

// Of a ControlNet that was saved as the difference to the denoiser that it was made of, as
// A1111's extraction script does: the sum of both, wherever both have a tensor.
nn::TensorMap control_tensors(const Component& control, bool is_difference, const Component& base) {
  nn::TensorMap tensors = tensors_of(control);
  if (!is_difference) return tensors;
  const nn::TensorMap own = tensors_of(base);
  for (auto& [name, tensor] : tensors) {
    const auto found = own.find(name);
    if (found == own.end()) continue;
    if (tensor.sizes() != found->second.sizes()) {
      throw bad_input("ControlNet '" + control.origin + "'",
                      "the difference to '" + base.origin + "'",
                      "another shape of tensor '" + name + "'");
    }
    tensor = tensor.to(at::kFloat) + found->second.to(at::kFloat);
  }
  return tensors;
}

// The file where the packed weights of a denoiser may be: of those that are packed as they come, in
// bf16.
std::string packed_file_of(const Component& component, const Placement& place,
                           const LoraSet& loras) {
  const bool is_plain = loras.empty() && !place.int8 && !place.measured && place.device.is_cpu() &&
                        place.dtype == at::kBFloat16;
  return is_plain ? packed_file_of(place.packed_weights, component, place.dtype) : "";
}

// Reads a network's weights, merges LoRAs in and packs them, with int8 where the placement says so.
void load_denoiser(nn::UNet2DConditionModel& unet, const Component& component,
                   const Placement& place, const LoraSet& loras, const Watch& watch) {
  nn::PackOptions packing{.watch = watch, .copied = page_forgetter(component)};
  nn::Int8Plan plan;
  if (place.int8) plan = int8_plan_of(component, unet, !loras.empty(), watch);
  if (place.measured) plan = nn::default_int8_plan(unet);
  if (!plan.empty()) packing.int8 = &plan;
  if (place.measured) {
    const std::lock_guard lock(place.measured->mutex);
    packing.errors = &place.measured->parts[int8_file_of(component)];
  }
  // What a LoRA changes has to be there in its plain form.
  const bool at_once = loras.empty();
  load_component(unet, component, place, tensors_of(component), watch,
                 at_once ? &packing : nullptr);
  if (at_once) return;
  loras.merge_into(unet, "unet", watch);
  nn::pack_weights(unet, packing);
}

// One number for each of a ControlNet's outputs: not finite if the output is not.
at::Tensor sums_of(const Residuals& residuals) {
  std::vector<at::Tensor> sums;
  if (residuals.mid.defined()) sums.push_back(residuals.mid.sum());
  for (const at::Tensor& r : residuals.down) sums.push_back(r.sum());
  return at::stack(sums);
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
  source.skip_states = config.skip_states();
  source.side = config.sample_size;
  source.reads_guidance = config.time_cond_proj_dim.has_value();
  source.load = [config, component, place, loras](const Watch& watch) {
    auto unet = empty_network<nn::UNet2DConditionModel>(config);
    const std::string packed = packed_file_of(*component, place, *loras);
    std::shared_ptr<const PackedFileWriter> writer;
    if (!read_packed_file(*unet, packed, place.dtype)) {
      unet = empty_network<nn::UNet2DConditionModel>(config);
      load_denoiser(*unet, *component, place, *loras, watch);
      writer = std::make_shared<PackedFileWriter>(unet, packed);
    }
    // An expert that makes room for another takes the pages along that it had mapped.
    nn::UNet2DConditionModel* bare = unet.get();
    const std::shared_ptr<nn::UNet2DConditionModel> kept(
        bare, [unet = std::move(unet), writer = std::move(writer), component](auto*) mutable {
          writer.reset();
          unet.reset();
          forget_pages(*component);
        });
    LoadedDenoiser loaded;
    loaded.prepare = [kept, place](const Conditions& conditions) -> std::any {
      return prepare_with(*kept, place, conditions);
    };
    loaded.predict = [kept, place, component](const at::Tensor& x, double t_index,
                                              const NetInputs& inputs, const Watch& watch) {
      const at::Tensor out = predict_with(*kept, place, x, t_index, inputs, watch);
      check_finite(out, *component, kept.get());
      return out;
    };
    return std::make_shared<const LoadedDenoiser>(std::move(loaded));
  };
  return source;
}

Control unet_control(const std::string& path, const std::vector<io::Family>& families,
                     const Placement& place, const std::shared_ptr<const Component>& base) {
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
    return make_packed_network<nn::ControlNetModel>(
        config, *component, place, control_tensors(*component, what.is_difference, *base), watch);
  });
  Control control;
  control.name = std::filesystem::path(path).stem().string();
  control.load = [network](const Watch& watch) { network->get(watch); };
  control.predict = [network, place, component](const at::Tensor& x, double t_index,
                                                const Conditions& given, const at::Tensor& hint,
                                                int64_t shallow_states, const Watch& watch) {
    const Conditions conditions = given.to(place.device, place.dtype);
    nn::UNetExtras extras = unet_extras_of(conditions);
    extras.trace = checking(watch);
    const auto out =
        network->get(watch).forward(as_input(x, place), time_on(place, t_index), conditions.context,
                                    as_input(hint, place), extras, {.depth = shallow_states});
    Residuals residuals{out.down, out.mid};
    check_finite(sums_of(residuals), *component, &network->get(watch));
    return residuals;
  };
  return control;
}

}  // namespace pangu::pipeline
