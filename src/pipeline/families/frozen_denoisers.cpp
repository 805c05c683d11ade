// The denoisers of a model to train on (frozen_base.h): read from its files, with gradients.
#include <torch/nn.h>
#include <torch/types.h>

#include "nn/text/clip_text.h"
#include "nn/unet/controlnet.h"
#include "nn/unet/controlnet_copy.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/families/frozen_base.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/spec.h"
#include "pipeline/families/unet_extras.h"

namespace pangu::pipeline {
namespace {

// Of the names of changed layers; kohya's.
constexpr const char* kChangePrefix = "lora_unet_";
constexpr const char* kOneTextPrefix = "lora_te_";
constexpr const char *kFirstTextPrefix = "lora_te1_", *kSecondTextPrefix = "lora_te2_";
constexpr const char* kControlNetPart = "controlnet";
constexpr double kMostLevel = 255;  // of a control picture's byte

using Unet = std::shared_ptr<nn::UNet2DConditionModel>;

Placement placement_at(const FrozenPlace& place) {
  LoadOptions options;
  options.device = place.device;
  options.dtype = place.dtype;
  return placement_of(options);
}

const char* text_prefix_of(const FrozenBase& base, const std::string& component) {
  if (component != "text_encoder") return kSecondTextPrefix;
  return base.source->spec->encoders.size() == 1 ? kOneTextPrefix : kFirstTextPrefix;
}

// Without the last layer of single files that nothing reads and that folders do not have.
nn::LowRankOptions text_options(const FrozenBase& base, const std::string& component,
                                const torch::nn::Module& network, nn::LowRankOptions options) {
  for (const ClipEncoderSpec& encoder : base.source->spec->encoders) {
    const auto* text = network.as<nn::ClipTextModel>();
    if (encoder.component != component || !base.source->is_single_file() || !text) continue;
    if (encoder.layer == encoder.layer_of_single_file) continue;
    const int64_t last = text->config().num_hidden_layers - 1;
    options.left_out.push_back("text_model.encoder.layers." + std::to_string(last) + ".");
  }
  return options;
}

nn::UNetConfig unet_config_of(const Component& component) {
  return component.config.is_null() ? nn::unet_config_from_shapes(shapes_of(component))
                                    : read_config(component, nn::unet_config_from_json);
}

// The network of one expert; with `other`, one of the same expert, on its weights.
Unet unet_of(const FrozenBase& base, const TrainedExpert& expert, const FrozenPlace& place,
             const torch::nn::Module* other) {
  const Component& component = base.source->need(expert.component);
  const nn::UNetConfig config = unet_config_of(component);
  if (other) {
    const nn::SkipInitialisation skip;
    const auto unet = std::make_shared<nn::UNet2DConditionModel>(config);
    nn::load_by_assignment(*unet, nn::state_of(*other));
    return unet;
  }
  return make_network<nn::UNet2DConditionModel>(config, component, placement_at(place),
                                                tensors_of(component), {});
}

nn::UNetExtras extras_for(const nn::UNet2DConditionModel& unet, const Conditions& conditions,
                          bool recomputes) {
  nn::UNetExtras extras = unet_extras_of(conditions);
  extras.class_labels = unet.class_labels_of(conditions.context, conditions.context_mask);
  extras.recomputes = recomputes;
  return extras;
}

auto prediction_of(const Unet& unet, bool recomputes) {
  return [unet, recomputes](const at::Tensor& x, const at::Tensor& t_index,
                            const Conditions& conditions) {
    return unet->forward(with_extra_channels(x, conditions), t_index, conditions.context,
                         extras_for(*unet, conditions, recomputes));
  };
}

// The weights are views of the model's file where they need no conversion: an optimiser must not
// write there.
void own_weights(torch::nn::Module& network) {
  for (at::Tensor& parameter : network.parameters()) {
    parameter.set_data(parameter.detach().clone());
    parameter.set_requires_grad(true);
  }
}

}  // namespace

TrainableText trainable_text(const FrozenBase& base, const FrozenPlace& place) {
  return trainable_clip({.source = base.source,
                         .place = placement_at(place),
                         .loras = std::make_shared<const LoraSet>(),
                         .embeddings = {},
                         .tokenizers = base.options.tokenizers});
}

ChangedDenoiser changed_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                 const ChangePlan& plan, const FrozenPlace& place,
                                 const ChangedDenoiser* other) {
  const Unet unet = unet_of(base, expert, place, other ? other->network.get() : nullptr);
  ChangedDenoiser d;
  d.network = unet;
  d.changes = std::make_shared<nn::LowRankChanges>();
  for (at::Tensor& parameter : unet->parameters()) parameter.set_requires_grad(false);
  if (plan.denoiser) d.changes->add(*unet, *plan.denoiser, kChangePrefix, "unet");
  d.predict = prediction_of(unet, place.recomputes);
  if (!plan.text) return d;
  const TrainableText text = trainable_text(base, place);
  for (const auto& [component, network] : text.networks) {
    d.changes->add(*network, text_options(base, component, *network, *plan.text),
                   text_prefix_of(base, component), component);
  }
  d.text = text.side;
  d.predict = [predict = d.predict, encode = text.encode](
                  const at::Tensor& x, const at::Tensor& t_index, const Conditions& conditions) {
    if (!conditions.token_ids.defined()) return predict(x, t_index, conditions);
    const Conditions read = encode(conditions.token_ids);
    Conditions told = conditions;
    told.token_ids = at::Tensor();
    told.context = read.context.to(x.scalar_type());
    if (read.pooled.defined()) told.pooled = read.pooled.to(x.scalar_type());
    return predict(x, t_index, told);
  };
  return d;
}

TrainableDenoiser tuned_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                 const FrozenPlace& place, const TrainableDenoiser* other) {
  const Unet unet = unet_of(base, expert, place, other ? other->module.get() : nullptr);
  if (!other) own_weights(*unet);
  TrainableDenoiser d;
  d.module = unet;
  d.parts = {{expert.component, "", nn::to_json(unet->config())}};
  d.predict = prediction_of(unet, place.recomputes);
  return d;
}

ControlledDenoiser controlled_denoiser(const FrozenBase& base, const TrainedExpert& expert,
                                       const FrozenPlace& place, const ControlledDenoiser* other) {
  const Unet unet = unet_of(base, expert, place, other ? other->network.get() : nullptr);
  for (at::Tensor& parameter : unet->parameters()) parameter.set_requires_grad(false);
  nn::ControlNetConfig config;
  config.unet = unet->config();
  const auto control = std::make_shared<nn::ControlNetModel>(config);
  nn::begin_as_copy(*control, *unet);
  ControlledDenoiser d;
  d.network = unet;
  d.control.module = control;
  d.control.parts = {{kControlNetPart, "", config.to_json()}};
  d.control.predict = [unet, control, recomputes = place.recomputes](const at::Tensor& x,
                                                                     const at::Tensor& t_index,
                                                                     const Conditions& conditions) {
    nn::UNetExtras extras = extras_for(*unet, conditions, recomputes);
    const at::Tensor picture = conditions.extra_channels / kMostLevel;
    const nn::ControlResiduals residuals =
        control->forward(x, t_index, conditions.context, picture, extras, {});
    extras.down_residuals = residuals.down;
    extras.mid_residual = residuals.mid;
    return unet->forward(x, t_index, conditions.context, extras);
  };
  return d;
}

}  // namespace pangu::pipeline
