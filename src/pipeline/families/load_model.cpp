// From a source of weights to a model that draws: the one place where configurations, networks,
// text sides and defaults of a family meet. Weights come in when first needed, each network once.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "io/json_file.h"
#include "nn/autoencoder/pixel_space.h"
#include "nn/unet/cost.h"
#include "pipeline/families/autoencoders.h"
#include "pipeline/families/expert_pool.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/scheduler_config.h"
#include "pipeline/families/source.h"
#include "pipeline/families/spec.h"
#include "pipeline/families/text_sides.h"
#include "pipeline/families/unet_denoiser.h"
#include "pipeline/model.h"
#include "pipeline/upscaler.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestSide = 4096;

// Small pictures of one request share their forwards: four at once of 256 x 256 pixels by
// models/mini take 0.58 of the processor time of singles in bf16 and 0.72 in f32, eight 0.53 and
// 0.67 (bench_batch, one thread). A picture of 512 x 512 by Stable Diffusion is beyond it.
constexpr int64_t kLatentPixelsAForward = 2048;

// What the steps of loading one model share.
struct Loading {
  const std::shared_ptr<const Source>& source;
  const LoadOptions& options;
  const Placement& place;
  const Watch& watch;  // of load_model's call
};

// A denoiser that serves a model, with the name that plans call it by.
struct ExpertSource {
  std::string name;
  DenoiserSource denoiser;
  size_t text_side = 0;
};

// The key by which diffusers marks autoencoders whose activations are too large for f16, as SDXL's:
// its pipelines then decode in f32.
bool forces_upcast(const Component& autoencoder) {
  const nlohmann::json& config = autoencoder.config;
  return config.is_object() && config.value("force_upcast", nlohmann::json()) == true;
}

Placement autoencoder_place(const Loading& l) {
  const bool own = l.options.vae.empty();
  const bool follows =
      own && l.source->spec->vae_follows_dtype && !forces_upcast(l.source->need("vae"));
  return vae_placement_of(l.options, follows);
}

LatentCodec codec_of(const Loading& l, const Placement& place) {
  const double scale = latent_scale_of(*l.source);
  if (l.options.vae.empty()) {
    const nlohmann::json& config = l.source->need("vae").config;
    if (nn::PixelSpace::is_config(config)) return pixel_autoencoder(config);
    return kl_autoencoder(std::make_shared<Component>(l.source->need("vae")), scale, place,
                          l.options.vae_tile);
  }
  const auto [component, what] = open_autoencoder(l.options.vae);
  const auto shared = std::make_shared<Component>(component);
  return what.part == io::Part::kTinyVae ? tiny_autoencoder(shared, place, l.options.vae_tile)
                                         : kl_autoencoder(shared, scale, place, l.options.vae_tile);
}

const char* dtype_name(at::ScalarType type) { return type == at::kFloat ? "f32" : "bf16"; }

Cost model_cost_of(const Loading& l, const Placement& vae_place, int downscale) {
  Cost cost;
  cost.device = l.options.device;
  cost.dtype = dtype_name(l.place.dtype);
  cost.vae_dtype = dtype_name(vae_place.dtype);
  cost.precision = l.options.precision;
  for (const auto& [name, part] : l.source->components) {
    const Placement& place = name == "vae" ? vae_place : l.place;
    for (const auto& [tensor, shape] : shapes_of(part)) {
      cost.weight_bytes +=
          c10::multiply_integers(shape) * static_cast<int64_t>(at::elementSize(place.dtype));
    }
  }
  std::vector<nn::TensorShapes> rows = {shapes_of(l.source->need("unet"))};
  for (const std::string& net : l.options.controlnets) {
    rows.push_back(shapes_of(open_component(net, io::Part::kControlNet)));
  }
  const auto vae = std::make_shared<const nn::TensorShapes>(
      l.options.vae.empty() ? shapes_of(l.source->need("vae")) : nn::TensorShapes());
  cost.row_gflop = [rows, downscale](int width, int height) {
    double sum = 0.0;
    for (const nn::TensorShapes& shapes : rows) {
      sum += nn::unet_gflop(shapes, height / downscale, width / downscale);
    }
    return sum;
  };
  cost.shallow_row_gflop = [rows, downscale](int width, int height, int depth) {
    double sum = 0.0;
    for (const nn::TensorShapes& shapes : rows) {
      sum += nn::unet_shallow_gflop(shapes, depth, height / downscale, width / downscale);
    }
    return sum;
  };
  cost.decode_gflop = [vae](int width, int height) {
    return nn::decoder_gflop(*vae, height, width);
  };
  cost.encode_gflop = [vae](int width, int height) {
    return nn::encoder_gflop(*vae, height, width);
  };
  return cost;
}

// Where the structure generator hands over, as a time index.
double boundary_of(const Source& source) {
  if (source.folder.empty() || source.index.is_null()) return 500;
  return io::open_json_file((fs::path(source.folder) / "model_index.json").string())
      .get("expert_boundary", 500.0);
}

ExpertSource expert_source(const Source& source, const char* component, const char* name,
                           const Placement& place, const std::shared_ptr<const LoraSet>& loras,
                           size_t text_side) {
  const auto part = std::make_shared<Component>(source.need(component));
  const auto own = std::make_shared<const LoraSet>(loras->of_expert(name));
  return {name, source.spec->denoiser(part, place, own), text_side};
}

// The base model's own networks, and the text sides that they read: one for both of two experts,
// unless LoRAs change text encoders for one of them alone.
std::vector<ExpertSource> add_base(Model& m, const Loading& l) {
  const Source& source = *l.source;
  if (!l.options.embeddings.empty() && source.spec->encoders.empty()) {
    throw bad_input("textual inversion '" + l.options.embeddings.front() + "'",
                    "none, since '" + source.name + "' does not read prompts by CLIP");
  }
  const auto loras = std::make_shared<LoraSet>(l.options.loras, source);
  for (const std::string& notice : loras->notices()) l.watch.warn(notice);
  if (source.spec->encoders.empty() &&
      (!l.options.embeddings.empty() || !loras->embeddings().empty())) {
    throw bad_input("textual inversion", "a model with CLIP text encoders", source.what.human_name);
  }
  const bool two = source.has("unet_texture"), parts_text = two && loras->parts_text();
  const char* first = two ? "structure" : "denoiser";
  const auto side_with = [&](std::shared_ptr<const LoraSet> changes) {
    return source.spec->text_side(
        {l.source, l.place, std::move(changes), l.options.embeddings, l.options.tokenizers});
  };
  const auto side_of = [&](const char* expert) {
    return side_with(std::make_shared<const LoraSet>(loras->of_expert(expert)));
  };
  auto& sides = m.denoising.text_sides;
  sides.push_back(parts_text ? side_of(first) : side_with(loras));
  if (parts_text) sides.push_back(side_of("texture"));
  std::vector<ExpertSource> experts;
  experts.push_back(expert_source(source, "unet", first, l.place, loras, 0));
  if (two) {
    experts.push_back(
        expert_source(source, "unet_texture", "texture", l.place, loras, sides.size() - 1));
    m.denoising.boundaries = {m.denoising.schedule.sigma_of_t(boundary_of(source))};
  }
  return experts;
}

void add_refiner(Model& m, std::vector<ExpertSource>& experts, const Loading& l) {
  const LoadOptions& options = l.options;
  const auto refiner = std::make_shared<Source>(open_source(options.refiner));
  const io::Family wanted = l.source->spec->refiner;
  if (wanted == io::Family::kUnknown || refiner->what.family != wanted) {
    throw bad_input("refiner", "SDXL's refiner for an SDXL base model",
                    refiner->what.human_name + " for " + l.source->what.human_name);
  }
  if (!(options.refiner_start > 0.0 && options.refiner_start < 1.0)) {
    throw bad_input("refiner start", "above 0 and below 1", std::to_string(options.refiner_start));
  }
  const auto loras = std::make_shared<LoraSet>();
  auto& sides = m.denoising.text_sides;
  sides.push_back(refiner->spec->text_side({refiner, l.place, loras, {}, options.tokenizers}));
  experts.push_back(expert_source(*refiner, "unet", "refiner", l.place, loras, sides.size() - 1));
  const diffusion::Schedule& schedule = m.denoising.schedule;
  const double steps = static_cast<double>(schedule.num_train_timesteps());
  m.denoising.boundaries = {schedule.sigma_of_t(std::round(steps - options.refiner_start * steps))};
}

void add_experts(Denoising& d, const std::vector<ExpertSource>& sources, size_t in_memory) {
  std::vector<ExpertPool::Maker> makers;
  for (const ExpertSource& e : sources) makers.push_back(e.denoiser.load);
  const auto pool = std::make_shared<ExpertPool>(in_memory, std::move(makers));
  d.release = [pool] { pool->release(); };
  for (size_t i = 0; i < sources.size(); ++i) {
    Expert expert;
    expert.name = sources[i].name;
    expert.text_side = sources[i].text_side;
    expert.reads_guidance = sources[i].denoiser.reads_guidance;
    if (in_memory == 0 || in_memory >= sources.size()) {
      expert.load = [pool, i](const Watch& watch) { pool->use(i, watch); };
    } else {
      expert.load = [](const Watch&) {};  // whoever holds it loads it
      expert.hold = [pool, i](bool waits, const Watch& watch) {
        return waits ? pool->hold(i, watch) : pool->hold_at_once(i, watch);
      };
    }
    expert.prepare = [pool, i](const Conditions& conditions, const Watch& watch) {
      return pool->use(i, watch)->prepare(conditions);
    };
    expert.predict = [pool, i](const at::Tensor& x, double t_index, const NetInputs& inputs,
                               const Watch& watch) {
      return pool->use(i, watch)->predict(x, t_index, inputs, watch);
    };
    d.experts.push_back(std::move(expert));
  }
}

void add_controls(Denoising& d, const Loading& l) {
  const auto denoiser = std::make_shared<Component>(l.source->need("unet"));
  for (const std::string& net : l.options.controlnets) {
    Control control = l.source->spec->control(net, l.source->spec->adapters, l.place, denoiser);
    for (const Control& other : d.controls) {
      if (other.name == control.name) control.name += " " + std::to_string(d.controls.size() + 1);
    }
    d.controls.push_back(std::move(control));
  }
}

// How deep networks are split where they reuse features, so that every one of them has a deep part.
void add_reuse_rules(Model& m, const std::vector<ExpertSource>& experts) {
  // A reused step costs at most this share of a whole one, where that is possible.
  constexpr double kShallowShare = 0.2;
  int64_t states = experts.front().denoiser.skip_states;
  for (const ExpertSource& e : experts) states = std::min(states, e.denoiser.skip_states);
  m.rules.most_reuse_depth = static_cast<int>(states) - 1;
  const int width = *m.rules.defaults.width, height = *m.rules.defaults.height;
  const double most = kShallowShare * m.cost.row_gflop(width, height);
  int& depth = m.rules.reuse_depth;
  while (depth < m.rules.most_reuse_depth &&
         m.cost.shallow_row_gflop(width, height, depth + 1) <= most) {
    ++depth;
  }
}

// What the input channels behind the latent's are for.
void read_channels(Denoising& d, const DenoiserSource& network, const LatentCodec& latents,
                   bool may_have_control) {
  d.extra_channels = static_cast<int>(network.in_channels) - latents.channels;
  if (may_have_control && d.extra_channels == latents.downscale * latents.downscale) {
    std::swap(d.control_channels, d.extra_channels);
  }
  if (d.extra_channels != 0 && d.extra_channels != latents.channels + 1) {
    throw bad_input("'" + network.origin + "', input channels",
                    std::to_string(latents.channels) + " as the autoencoder's latents, or " +
                        std::to_string(2 * latents.channels + 1) + " for inpainting",
                    std::to_string(network.in_channels));
  }
}

// What model_index.json says of our own keys.
void read_index(Model& m, const Source& source) {
  JsonReader index = io::open_json_file((fs::path(source.folder) / "model_index.json").string());
  Request& defaults = m.rules.defaults;
  const auto size =
      index.get<std::vector<int>>("default_size", {*defaults.width, *defaults.height});
  if (size.size() != 2) throw index.error("default_size", "[width, height]", "another list");
  defaults.width = size[0];
  defaults.height = size[1];
  defaults.steps = index.get("default_steps", *defaults.steps);
  defaults.guidance = index.get("default_guidance", *defaults.guidance);
  defaults.guidance_low = index.get("default_guidance_low", defaults.guidance_low.value_or(0.0));
  defaults.sampler = index.get("default_sampler", *defaults.sampler);
  defaults.schedule = index.get("default_schedule", *defaults.schedule);
  m.styles = index.get("style_prompts", m.styles);
}

// A picture of the side that the network says it was trained at, where it says one that can be
// drawn.
void read_side(RequestRules& rules, const DenoiserSource& network, int downscale) {
  if (!network.side || *network.side < 1 || *network.side > kLargestSide / downscale) return;
  const int side = static_cast<int>(*network.side) * downscale;
  if (side % rules.size_multiple == 0) rules.defaults.width = rules.defaults.height = side;
}

// What may be asked of the model, and what it does when nothing is.
void add_rules(Model& m, const Source& source, const DenoiserSource& network) {
  m.rules.defaults = defaults_of(source);
  m.rules.defaults.spacing = to_string(m.denoising.sigma_options.spacing);
  m.rules.max_side_px = kLargestSide;
  m.rules.size_multiple = std::max(m.rules.size_multiple, m.latents.downscale);
  if (source.spec->whole_coarsest_level) {
    m.rules.size_multiple = m.latents.downscale << (network.levels - 1);
  }
  m.styles = source.spec->styles;
  m.rules.sizes = source.spec->sizes;
  if (m.rules.sizes.empty()) read_side(m.rules, network, m.latents.downscale);
  m.rules.takes_clip_skip = !source.spec->encoders.empty();
  if (m.rules.takes_clip_skip) {
    m.rules.own_clip_skip = own_clip_skip(source.spec->encoders.front());
  }
  if (!source.folder.empty() && !source.index.is_null()) read_index(m, source);
}

}  // namespace

Model load_model(const std::string& path, const LoadOptions& options, const Watch& watch) {
  const Placement place = placement_of(options);
  const auto source = std::make_shared<const Source>(open_source(path, options));
  need_parts(*source, !options.vae.empty());
  const Loading loading{source, options, place, watch};

  Model m;
  m.name = source->name;
  m.fingerprint = source->fingerprint;
  m.quirks = source->spec->quirks;
  const NoiseTerms noise = noise_terms_of(*source);
  m.denoising.latent_pixels_a_forward = kLatentPixelsAForward;
  m.denoising.schedule = noise.schedule;
  m.denoising.sigma_options = noise.sigma_options;
  m.denoising.parameterisation = noise.parameterisation;
  const Placement vae_place = autoencoder_place(loading);
  m.latents = codec_of(loading, vae_place);
  m.cost = model_cost_of(loading, vae_place, m.latents.downscale);

  std::vector<ExpertSource> experts = add_base(m, loading);
  const DenoiserSource& network = experts.front().denoiser;
  read_channels(m.denoising, network, m.latents, source->spec->draws_from_control_channels);
  add_rules(m, *source, network);
  if (!options.refiner.empty()) add_refiner(m, experts, loading);
  add_reuse_rules(m, experts);
  add_experts(m.denoising, experts, options.experts_in_memory);
  add_controls(m.denoising, loading);
  check_controls(m);
  if (!options.upscaler.empty()) m.upscaler = open_upscaler(options.upscaler, options);
  return m;
}

}  // namespace pangu::pipeline
