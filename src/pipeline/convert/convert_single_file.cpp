// Names and shapes come from io/ldm/single_file.h; here the numbers are put together, one tensor at
// a time. What a single file cannot say is refused before a byte is written.
#include "pipeline/convert/convert_single_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/message.h"
#include "io/ldm/single_file.h"
#include "io/mapped_file.h"
#include "io/safetensors_writer.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/text/clip_text.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/convert/convert_parts.h"
#include "pipeline/families/scheduler_config.h"
#include "pipeline/families/spec.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImplementation = "https://github.com/Stability-AI/generative-models";
constexpr const char* kModelspecVersion = "1.0.0";
constexpr const char* kSingleFileHint = "a folder keeps it: name one as what to write";
constexpr double kSameAlphaBar = 1e-6;  // more than roundings, less than any other schedule

// Error unless a number of the configuration is what readers of a single file take it for.
void same_as_read(const std::string& component, const char* key, double taken, double said) {
  if (taken == said) return;
  throw bad_input("component " + component + ", key '" + key + "'",
                  number_text(taken) + ", which readers of a single file take it for",
                  number_text(said), kSingleFileHint);
}

void check_unet(const Component& component) {
  if (component.config.is_null()) return;
  const nn::UNetConfig said =
      read_config(component, [](const auto& json) { return nn::unet_config_from_json(json); });
  const nn::UNetConfig taken = nn::unet_config_from_shapes(shapes_of(component));
  const int64_t last = said.levels() - 1;
  for (int64_t level = 0; level <= last; ++level) {
    const bool attends =
        said.down_block_types[static_cast<size_t>(level)].starts_with("CrossAttn") ||
        (level == last && said.mid_block_type == "UNetMidBlock2DCrossAttn");
    if (!attends) continue;
    same_as_read("unet", "attention_head_dim",
                 static_cast<double>(nn::at_level(taken.attention_head_dim, level)),
                 static_cast<double>(nn::at_level(said.attention_head_dim, level)));
  }
  same_as_read("unet", "norm_num_groups", static_cast<double>(taken.norm_num_groups),
               static_cast<double>(said.norm_num_groups));
  same_as_read("unet", "norm_eps", taken.norm_eps, said.norm_eps);
  same_as_read("unet", "flip_sin_to_cos", taken.flip_sin_to_cos, said.flip_sin_to_cos);
  same_as_read("unet", "freq_shift", static_cast<double>(taken.freq_shift),
               static_cast<double>(said.freq_shift));
}

void check_autoencoder(const Source& source, const Component& component) {
  if (component.config.is_null()) {
    return same_as_read("vae", "scaling_factor", source.spec->latent_scale,
                        latent_scale_of(source));
  }
  const auto said = read_config(
      component, [](const auto& json) { return nn::AutoencoderKLConfig::from_json(json); });
  const auto taken = nn::autoencoder_config_from_shapes(shapes_of(component));
  same_as_read("vae", "scaling_factor", source.spec->latent_scale, said.scaling_factor);
  same_as_read("vae", "shift_factor", 0, said.shift_factor);
  same_as_read("vae", "latents_mean", 0, static_cast<double>(said.latents_mean.size()));
  same_as_read("vae", "norm_num_groups", taken.norm_num_groups, said.norm_num_groups);
}

void check_text_encoder(const ClipEncoderSpec& spec, const Component& component) {
  if (component.config.is_null()) return;
  const auto said =
      read_config(component, [](const auto& json) { return nn::ClipTextConfig::from_json(json); });
  nn::TensorShapes shapes;
  for (const auto& [name, shape] : shapes_of(component)) {
    const std::string ours = nn::clip_text_tensor_name(name);
    if (!ours.empty()) shapes[ours] = shape;
  }
  const auto activation = spec.is_open_clip ? nn::Activation::kGelu : nn::Activation::kQuickGelu;
  const auto taken = nn::clip_text_config_from_shapes(shapes, activation);
  same_as_read(spec.component, "num_attention_heads",
               static_cast<double>(taken.num_attention_heads),
               static_cast<double>(said.num_attention_heads));
  same_as_read(spec.component, "layer_norm_eps", taken.layer_norm_eps, said.layer_norm_eps);
  if (said.hidden_act == taken.hidden_act) return;
  throw bad_input(
      "component " + spec.component + ", key 'hidden_act'",
      std::string(nn::name_of(taken.hidden_act)) + ", which readers of a single file take it for",
      nn::name_of(said.hidden_act), kSingleFileHint);
}

bool predicts_v(const NoiseTerms& noise) {
  return noise.parameterisation == diffusion::Parameterisation::kV;
}

bool has_zero_snr(const NoiseTerms& noise) {
  const std::vector<double>& bars = noise.schedule.alpha_bars();
  return !bars.empty() && bars.back() < kSameAlphaBar;
}

void check_noise(const Source& source) {
  const NoiseTerms noise = noise_terms_of(source);
  if (noise.parameterisation != diffusion::Parameterisation::kEps && !predicts_v(noise)) {
    throw bad_input("model '" + source.name + "'", "a network that predicts epsilon or v",
                    diffusion::to_string(noise.parameterisation), kSingleFileHint);
  }
  diffusion::ScheduleConfig taken;
  taken.rescale_betas_zero_snr = has_zero_snr(noise);
  const std::vector<double> usual = diffusion::Schedule(taken).alpha_bars();
  const std::vector<double>& own = noise.schedule.alpha_bars();
  const bool is_same = own.size() == usual.size() &&
                       std::equal(own.begin(), own.end(), usual.begin(), [](double a, double b) {
                         return std::abs(a - b) < kSameAlphaBar;
                       });
  if (is_same) return;
  throw bad_input("model '" + source.name + "'",
                  "the betas of Stable Diffusion, which readers of a single file assume", "others",
                  kSingleFileHint);
}

void check_one_denoiser(const Source& source) {
  const bool is_half = source.index.is_object() && source.index.contains("trained_timesteps");
  if (!source.has("unet_texture") && !is_half) return;
  throw bad_input("model '" + source.name + "'", "one denoiser for all timesteps",
                  is_half ? "one of a part of them" : "two experts", kSingleFileHint);
}

// The parts with all that single files have of them, in the names of diffusers and transformers.
std::vector<WrittenPart> parts_of_single_file(const Source& source, const ConvertOptions& options) {
  std::vector<WrittenPart> parts = written_parts_of(source, options);
  for (WrittenPart& part : parts) {
    if (!is_text_encoder(part.name)) continue;
    io::NamedTensors tensors;
    for (const auto& [given, tensor] : part.tensors) {
      const std::string ours = nn::clip_text_tensor_name(given);
      if (!ours.empty()) tensors[ours] = tensor;
    }
    const bool lacks_spare =
        !part.component->config.is_null() && has_spare_layer(source, part.name);
    if (const int64_t layers = text_layers_of(tensors); lacks_spare && layers > 0) {
      const std::string last = text_layer_prefix(layers - 1);
      io::NamedTensors spare;
      for (const auto& [name, tensor] : tensors) {
        if (name.starts_with(last)) {
          spare[text_layer_prefix(layers) + name.substr(last.size())] = tensor;
        }
      }
      tensors.merge(spare);
    }
    part.tensors = std::move(tensors);
  }
  return parts;
}

std::vector<io::SingleFileTensor> named_tensors_of(const Source& source,
                                                   const std::vector<WrittenPart>& parts) {
  std::map<std::string, io::NamedTensors> components;
  for (const WrittenPart& part : parts) components[part.name] = part.tensors;
  return io::single_file_tensors(source.spec->family, components);
}

// What is in the file beside the components' tensors.
nn::TensorMap extras_of(const Source& source, const std::vector<io::SingleFileTensor>& tensors) {
  nn::TensorMap extras;
  constexpr std::string_view kTable = "position_embedding.weight";
  for (const io::SingleFileTensor& tensor : tensors) {
    if (!tensor.name.ends_with(kTable) || tensor.shape.empty()) continue;
    const std::string ids =
        tensor.name.substr(0, tensor.name.size() - kTable.size()) + "position_ids";
    extras[ids] = at::arange(tensor.shape[0], at::kLong).unsqueeze(0);
  }
  const NoiseTerms noise = noise_terms_of(source);
  if (predicts_v(noise)) extras["v_pred"] = at::empty({0}, at::kFloat);
  if (has_zero_snr(noise)) extras["ztsnr"] = at::empty({0}, at::kFloat);
  return extras;
}

std::string architecture_of(const Source& source) {
  return modelspec_architecture_of(*source.spec, predicts_v(noise_terms_of(source)));
}

io::Metadata metadata_of(const Source& source, const std::string& out) {
  const Request defaults = defaults_of(source);
  return {{"format", "pt"},
          {"modelspec.sai_model_spec", kModelspecVersion},
          {"modelspec.architecture", architecture_of(source)},
          {"modelspec.implementation", kImplementation},
          {"modelspec.title", fs::path(out).stem().string()},
          {"modelspec.resolution",
           std::to_string(*defaults.width) + "x" + std::to_string(*defaults.height)},
          {"modelspec.prediction_type", predicts_v(noise_terms_of(source)) ? "v" : "epsilon"}};
}

at::Tensor assembled(const io::SingleFileTensor& tensor, const WrittenPart& part,
                     const WrittenType& type) {
  std::vector<at::Tensor> rows;
  for (const std::string& name : tensor.parts) {
    rows.push_back(written_tensor_of(part, name, type));
  }
  const at::Tensor whole = rows.size() == 1 ? rows.front() : at::cat(rows);
  return (tensor.is_transposed ? whole.t() : whole).contiguous().view(tensor.shape);
}

void check_place(const std::string& source, const fs::path& out, bool overwrite) {
  std::error_code ignored;
  if (fs::equivalent(source, out, ignored)) {
    throw bad_input("file to write", "another than the model itself", "'" + out.string() + "'");
  }
  if (!fs::exists(out)) return;
  if (!fs::is_regular_file(out)) {
    throw bad_input("file to write", "a name that no folder has", "'" + out.string() + "'");
  }
  if (!overwrite) {
    throw bad_input("file to write", "a new one", "'" + out.string() + "'", "--force replaces it");
  }
}

}  // namespace

void check_single_file(const Source& source) {
  need_parts(source);
  check_one_denoiser(source);
  // The family and all names.
  named_tensors_of(source, parts_of_single_file(source, {}));
  check_noise(source);
  check_unet(source.need("unet"));
  check_autoencoder(source, source.need("vae"));
  for (const ClipEncoderSpec& encoder : source.spec->encoders) {
    check_text_encoder(encoder, source.need(encoder.component));
  }
}

Converted convert_to_single_file(const Source& source, const std::string& path,
                                 const std::string& out, const ConvertOptions& options,
                                 const OnProgress& on_progress) {
  const WrittenType type = written_type_from(options.dtype);
  check_single_file(source);
  check_place(path, out, options.overwrite);
  std::map<std::string, WrittenPart> parts;
  Converted done{source.what.human_name, architecture_of(source), {}, 0};
  const std::vector<WrittenPart> all = parts_of_single_file(source, options);
  for (const WrittenPart& part : all) {
    parts[part.name] = part;
    done.components.push_back(part.name);
  }
  const std::vector<io::SingleFileTensor> tensors = named_tensors_of(source, all);
  const nn::TensorMap extras = extras_of(source, tensors);

  WritingMeter meter{on_progress};
  std::vector<io::TensorPlan> plan;
  std::map<std::string, const io::SingleFileTensor*> by_name;
  for (const io::SingleFileTensor& tensor : tensors) {
    by_name[tensor.name] = &tensor;
    plan.push_back({tensor.name,
                    written_dtype_of(parts.at(tensor.component), tensor.parts.front(), type),
                    tensor.shape});
  }
  for (const auto& [name, tensor] : extras) {
    plan.push_back({name, tensors::dtype_of(tensor.scalar_type(), name), tensor.sizes().vec()});
  }
  for (const io::TensorPlan& one : plan) meter.total += io::size_bytes_of(one);

  const fs::path parent = fs::path(out).parent_path();
  if (!parent.empty()) fs::create_directories(parent);
  io::SafetensorsWriter writer(out, plan, metadata_of(source, out));
  for (const std::string& name : writer.order()) {
    const auto extra = extras.find(name);
    const io::SingleFileTensor* made = extra == extras.end() ? by_name.at(name) : nullptr;
    const at::Tensor tensor =
        made ? assembled(*made, parts.at(made->component), type) : extra->second;
    const io::TensorView bytes = tensors::bytes_of(tensor, name);
    writer.add(name, {bytes.data, bytes.size_bytes});
    if (made) {
      for (const std::string& part : made->parts) {
        const io::TensorView& view = parts.at(made->component).tensors.at(part).view;
        io::forget_pages({view.data, view.size_bytes});
      }
    }
    meter.add(tensor.nbytes(), made ? made->component : "");
  }
  writer.commit();
  done.size_bytes = meter.total;
  return done;
}

}  // namespace pangu::pipeline
