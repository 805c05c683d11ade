// From a source of weights to a model that draws: the one place where configurations, networks,
// text sides and defaults of a family meet. Weights come in when first needed, each network once.
#include "pipeline/model.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "core/number.h"
#include "core/utf8.h"
#include "nn/autoencoder/pixel_space.h"
#include "nn/unet/controlnet.h"
#include "nn/unet/cost.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/families/autoencoders.h"
#include "pipeline/families/family.h"
#include "pipeline/families/model_files.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/families/text_sides.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestSide = 4096;

nn::UNetConfig unet_config_of(const Component& component) {
  if (!component.config.is_null()) return nn::unet_config_from_json(component.config);
  return nn::unet_config_from_shapes(shapes_of(component));
}

Conditions on_device(const Conditions& c, const Placement& place) {
  const auto moved = [&](const at::Tensor& t) {
    return t.defined() ? t.to(place.device, place.dtype) : t;
  };
  Conditions result{moved(c.context), c.context_mask, moved(c.pooled), c.time_ids};
  if (c.context_mask.defined()) result.context_mask = c.context_mask.to(place.device);
  if (c.time_ids.defined()) result.time_ids = c.time_ids.to(place.device);
  return result;
}

nn::UNetExtras extras_of(const Conditions& c) {
  nn::UNetExtras extras;
  extras.context_mask = c.context_mask;
  extras.text_embeds = c.pooled;
  extras.time_ids = c.time_ids;
  return extras;
}

at::Tensor predict_with(nn::UNet2DConditionModel& unet, const Placement& place, const at::Tensor& x,
                        double t_index, const NetInputs& inputs) {
  const Conditions conditions = on_device(inputs.conditions, place);
  nn::UNetExtras extras = extras_of(conditions);
  extras.class_labels = unet.class_labels_of(conditions.context, conditions.context_mask);
  for (const at::Tensor& r : inputs.residuals.down)
    extras.down_residuals.push_back(as_input(r, place));
  if (inputs.residuals.mid.defined()) extras.mid_residual = as_input(inputs.residuals.mid, place);
  const at::Tensor sample =
      inputs.extra_channels.defined() ? at::cat({x, inputs.extra_channels}, 1) : x;
  return unet
      .forward(as_input(sample, place),
               at::full({1}, t_index, at::TensorOptions().device(place.device)), conditions.context,
               extras)
      .to(at::kFloat)
      .cpu();
}

Autoencoder autoencoder_of(const Source& source, const Placement& place,
                           const LoadOptions& options) {
  const double scale = latent_scale_of(source.what.family);
  if (options.vae.empty()) {
    const nlohmann::json& config = source.need("vae").config;
    if (nn::PixelSpace::is_config(config)) return pixel_autoencoder(config);
    return kl_autoencoder(std::make_shared<Component>(source.need("vae")), scale, place,
                          options.vae_tile);
  }
  const auto [component, what] = open_autoencoder(options.vae);
  const auto shared = std::make_shared<Component>(component);
  return what.part == io::Part::kTinyVae ? tiny_autoencoder(shared, place, options.vae_tile)
                                         : kl_autoencoder(shared, scale, place, options.vae_tile);
}

// A UNet that serves a model, with the name that plans call it by.
struct ExpertSource {
  std::string name;
  std::shared_ptr<const Component> component;
  nn::UNetConfig config;
  std::shared_ptr<const LoraSet> loras;
  size_t text_side = 0;
};

ExpertSource expert_source(const Source& source, const char* component, const char* name,
                           std::shared_ptr<const LoraSet> loras, size_t text_side) {
  auto part = std::make_shared<Component>(source.need(component));
  const nn::UNetConfig config = unet_config_of(*part);
  return {name, std::move(part), config, std::move(loras), text_side};
}

void add_experts(Model& m, const std::vector<ExpertSource>& sources, const Placement& place,
                 size_t in_memory) {
  std::vector<ExpertPool::Maker> makers;
  for (const ExpertSource& e : sources) {
    makers.push_back([e, place] {
      auto unet = make_network<nn::UNet2DConditionModel>(e.config, *e.component, place,
                                                         tensors_of(*e.component));
      e.loras->merge_into(*unet, "unet");
      // An expert that makes room for another takes the pages along that it had mapped.
      nn::UNet2DConditionModel* bare = unet.get();
      return std::shared_ptr<nn::UNet2DConditionModel>(
          bare, [unet = std::move(unet), part = e.component](auto*) mutable {
            unet.reset();
            forget_pages(*part);
          });
    });
  }
  const auto pool = std::make_shared<ExpertPool>(in_memory, std::move(makers));
  for (size_t i = 0; i < sources.size(); ++i) {
    Expert expert;
    expert.name = sources[i].name;
    expert.text_side = sources[i].text_side;
    // With fewer in memory than there are, loading ahead would only throw another one out.
    const bool loads_ahead = in_memory == 0 || in_memory >= sources.size() || i == 0;
    expert.load = [pool, i, loads_ahead] {
      if (loads_ahead) pool->get(i);
    };
    expert.predict = [pool, i, place](const at::Tensor& x, double t_index,
                                      const NetInputs& inputs) {
      return predict_with(*pool->get(i), place, x, t_index, inputs);
    };
    m.experts.push_back(std::move(expert));
  }
}

Control control_of(const std::string& path, const Model& m, const Source& base,
                   const Placement& place) {
  io::Recognised what;
  const auto component =
      std::make_shared<Component>(open_component(path, io::Part::kControlNet, &what));
  if (what.family != base.what.family) {
    throw bad_input("ControlNet '" + path + "'",
                    std::string("one for ") + name_of(base.what.family), what.human_name);
  }
  const nn::ControlNetConfig config = component->config.is_null()
                                          ? nn::controlnet_config_from_shapes(shapes_of(*component))
                                          : nn::ControlNetConfig::from_json(component->config);
  const auto network = std::make_shared<Lazy<nn::ControlNetModel>>([=] {
    return make_network<nn::ControlNetModel>(config, *component, place, tensors_of(*component));
  });
  Control control;
  control.name = fs::path(path).stem().string();
  for (const Control& other : m.controls) {
    if (other.name == control.name) control.name += " " + std::to_string(m.controls.size() + 1);
  }
  control.load = [network] { network->get(); };
  control.predict = [network, place](const at::Tensor& x, double t_index, const Conditions& given,
                                     const at::Tensor& hint) {
    const Conditions conditions = on_device(given, place);
    const auto out = network->get().forward(
        as_input(x, place), at::full({1}, t_index, at::TensorOptions().device(place.device)),
        conditions.context, as_input(hint, place), extras_of(conditions), {});
    return Residuals{out.down, out.mid};
  };
  return control;
}

void add_costs(Model& m, const Source& source, const LoadOptions& options) {
  std::vector<nn::TensorShapes> rows = {shapes_of(source.need("unet"))};
  for (const std::string& net : options.controlnets) {
    rows.push_back(shapes_of(open_component(net, io::Part::kControlNet)));
  }
  const auto vae = std::make_shared<const nn::TensorShapes>(
      options.vae.empty() ? shapes_of(source.need("vae")) : nn::TensorShapes());
  m.row_gflop = [rows, f = m.downscale](int width, int height) {
    double sum = 0.0;
    for (const nn::TensorShapes& shapes : rows) {
      sum += nn::unet_gflop(shapes, height / f, width / f);
    }
    return sum;
  };
  m.decode_gflop = [vae](int width, int height) { return nn::decoder_gflop(*vae, height, width); };
  m.encode_gflop = [vae](int width, int height) { return nn::encoder_gflop(*vae, height, width); };
}

void read_index(Model& m, const Source& source) {
  const JsonFile index((fs::path(source.folder) / "model_index.json").string());
  Request& defaults = m.rules.defaults;
  const auto size =
      index.get<std::vector<int>>("default_size", {*defaults.width, *defaults.height});
  if (size.size() != 2) throw index.wrong("default_size", "[width, height]", "another list");
  defaults.width = size[0];
  defaults.height = size[1];
  defaults.steps = index.get("default_steps", *defaults.steps);
  defaults.guidance = index.get("default_guidance", *defaults.guidance);
  defaults.guidance_low = index.get("default_guidance_low", defaults.guidance_low.value_or(0.0));
  defaults.sampler = index.get<std::string>("default_sampler", *defaults.sampler);
  defaults.schedule = index.get<std::string>("default_schedule", *defaults.schedule);
  m.styles = index.get<std::map<std::string, std::map<std::string, std::string>>>("style_prompts",
                                                                                  m.styles);
}

// Where the structure generator hands over, as a time index.
double boundary_of(const Source& source) {
  if (source.folder.empty() || source.index.is_null()) return 500;
  return JsonFile((fs::path(source.folder) / "model_index.json").string())
      .get<double>("expert_boundary", 500);
}

void add_refiner(Model& m, std::vector<ExpertSource>& experts, const Source& base,
                 const Placement& place, const LoadOptions& options) {
  const auto refiner = std::make_shared<Source>(open_source(options.refiner));
  if (base.what.family != io::Family::kSdxl || refiner->what.family != io::Family::kSdxlRefiner) {
    throw bad_input("refiner", "SDXL's refiner for an SDXL base model",
                    refiner->what.human_name + " for " + base.what.human_name);
  }
  if (!(options.refiner_start > 0.0 && options.refiner_start < 1.0)) {
    throw bad_input("refiner start", "above 0 and below 1", std::to_string(options.refiner_start));
  }
  const auto loras = std::make_shared<LoraSet>();
  m.text_sides.push_back(clip_side({refiner, place, loras, {}, options.tokenizers}));
  experts.push_back(expert_source(*refiner, "unet", "refiner", loras, m.text_sides.size() - 1));
  const double steps = static_cast<double>(m.schedule.num_train_timesteps());
  m.boundaries = {m.schedule.sigma_of_t(std::round(steps - options.refiner_start * steps))};
}

}  // namespace

Conditions Conditions::rows(const std::vector<int64_t>& numbers) const {
  const at::Tensor index = at::tensor(numbers, at::kLong);
  const auto picked = [&](const at::Tensor& t) {
    return t.defined() ? t.index_select(0, index.to(t.device())) : t;
  };
  return {picked(context), picked(context_mask), picked(pooled), picked(time_ids)};
}

Residuals& Residuals::add(const Residuals& other, double weight) {
  if (down.empty() && !mid.defined()) {
    for (const at::Tensor& r : other.down) down.push_back(r * weight);
    mid = other.mid * weight;
    return *this;
  }
  for (size_t i = 0; i < down.size(); ++i) down[i] = down[i] + other.down[i] * weight;
  mid = mid + other.mid * weight;
  return *this;
}

LoraUse lora_use_from(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || fs::exists(text)) return {text, 1.0, std::nullopt};
  return {text.substr(0, colon), number_of("LoRA, weight", text.substr(colon + 1)), std::nullopt};
}

std::string fastest_dtype(const std::string& device) {
  if (device != "cpu") return "bf16";
  return __builtin_cpu_supports("avx512bf16") ? "bf16" : "f32";
}

std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt) {
  std::string words = style;
  const auto named = model.styles.find(style);
  if (named != model.styles.end()) {
    const auto language = named->second.find(has_han(prompt) ? "zh" : "en");
    if (language != named->second.end()) words = language->second;
  }
  const std::string slot = "{prompt}";
  const size_t at = words.find(slot);
  if (at == std::string::npos) return words + ", " + prompt;
  return words.replace(at, slot.size(), prompt);
}

Model load_model(const std::string& path, const LoadOptions& options) {
  const Placement place = placement_of(options);
  const auto source = std::make_shared<Source>(open_source(path));
  const io::Family family = source->what.family;

  Model m;
  m.name = source->name;
  m.fingerprint = source->fingerprint;
  m.device = options.device;
  m.dtype = place.dtype == at::kFloat ? "f32" : "bf16";
  for (const auto& [name, part] : source->components) {
    for (const auto& [tensor, shape] : shapes_of(part)) {
      m.weight_bytes +=
          c10::multiply_integers(shape) * static_cast<int64_t>(at::elementSize(place.dtype));
    }
  }
  m.schedule = schedule_of(*source);
  m.sigma_options = sigma_options_of(*source);
  m.parameterisation = parameterisation_of(*source);
  m.rules.defaults = family_defaults(*source);
  m.rules.defaults.spacing = to_string(m.sigma_options.spacing);

  const Autoencoder vae = autoencoder_of(*source, place, options);
  m.latent_channels = vae.latent_channels;
  m.downscale = vae.downscale;
  m.space = vae.space;
  m.load_decoder = vae.load;
  m.decode = vae.decode;
  m.encode_pixels = vae.encode;
  add_costs(m, *source, options);

  const auto loras = std::make_shared<LoraSet>(options.loras, *source);
  const TextSetup text{source, place, loras, options.embeddings, options.tokenizers};
  m.reads_picture =
      family == io::Family::kImageVariations || (source->ours && source->has("image_encoder"));
  m.text_sides.push_back(m.reads_picture ? picture_side(text)
                         : source->ours  ? bert_side(source->text_folder)
                                         : clip_side(text));

  std::vector<ExpertSource> experts;
  const bool two = source->has("unet_texture");
  experts.push_back(expert_source(*source, "unet", two ? "structure" : "denoiser", loras, 0));
  if (two) {
    experts.push_back(expert_source(*source, "unet_texture", "texture", loras, 0));
    m.boundaries = {m.schedule.sigma_of_t(boundary_of(*source))};
  }
  m.extra_channels = static_cast<int>(experts.front().config.in_channels) - m.latent_channels;
  if (source->ours && m.extra_channels == m.downscale * m.downscale) {
    std::swap(m.control_channels, m.extra_channels);
  }
  if (m.extra_channels != 0 && m.extra_channels != m.latent_channels + 1) {
    throw bad_input("'" + experts.front().component->origin + "', input channels",
                    std::to_string(m.latent_channels) + " as the autoencoder's latents, or " +
                        std::to_string(2 * m.latent_channels + 1) + " for inpainting",
                    std::to_string(experts.front().config.in_channels));
  }
  m.rules.max_side_px = kLargestSide;
  m.rules.size_multiple = std::max(m.rules.size_multiple, m.downscale);
  if (source->ours) {
    // Its latents are few: at other sides the coarsest level would be cut off.
    m.rules.size_multiple = m.downscale << (experts.front().config.levels() - 1);
  }
  if (family == io::Family::kPanguDraw3) {
    m.styles = pangu_styles();
    m.lag_switch = m.truncates_pixels = true;
    m.rules.sizes = pangu_sizes();
  }
  if (!source->folder.empty() && !source->index.is_null()) read_index(m, *source);
  if (!options.refiner.empty()) add_refiner(m, experts, *source, place, options);
  add_experts(m, experts, place, options.experts_in_memory);
  for (const std::string& net : options.controlnets) {
    m.controls.push_back(control_of(net, m, *source, place));
  }
  return m;
}

}  // namespace pangu::pipeline
