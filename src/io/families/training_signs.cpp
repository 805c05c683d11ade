// Whether a network predicts eps or v: from what trainers write into metadata, from marker tensors,
// and for Stable Diffusion 2.x from weights. These are only signs; a configuration, where there is
// one, decides.
#include <cmath>
#include <filesystem>
#include <optional>

#include "io/families/families.h"
#include "io/families/family_table.h"
#include "io/ldm/ldm_config.h"
#include "io/tensor_names.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

// The threshold for the spread of the norm's bias before the last self-attention, as in ComfyUI
// (comfy/supported_models.py). The 768 px v-prediction models are above it, the 512 px models
// below.
constexpr double kWideNormBias = 0.09;

// Tensors by which finetunes say what their sigma means.
constexpr std::pair<const char*, const char*> kForeignMarkers[] = {
    {"edm_mean", "noise of EDM, as Playground 2.5"},
    {"edm_std", "noise of EDM, as Playground 2.5"},
    {"edm_vpred.sigma_max", "noise of EDM with v, as CosXL"},
    {"edm_vpred.sigma_min", "noise of EDM with v, as CosXL"}};

// The name of the norm of the finest level's last attention, in LDM's or diffusers' naming.
std::optional<std::string> last_norm_of(const TensorViews& tensors) {
  const std::string tail = "transformer_blocks.0.norm1.bias";
  for (const char* prefix : {"model.diffusion_model.", ""}) {
    const std::string outputs = std::string(prefix) + "output_blocks.";
    for (int i = count_below(tensors, outputs) - 1; i >= 0; --i) {
      const std::string name = outputs + std::to_string(i) + ".1." + tail;
      if (tensors.count(name)) return name;
    }
  }
  const int levels = count_below(tensors, "up_blocks.");
  if (levels == 0) return std::nullopt;
  const std::string attentions = "up_blocks." + std::to_string(levels - 1) + ".attentions.";
  const std::string name =
      attentions + std::to_string(count_below(tensors, attentions) - 1) + "." + tail;
  return tensors.count(name) ? std::optional(name) : std::nullopt;
}

double deviation_of(const TensorView& view, const std::string& name) {
  const int64_t count = element_count(view.shape);
  if (count == 0) return 0;
  const size_t size = size_of(view.dtype);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const TensorView one{view.dtype, {}, view.data + static_cast<size_t>(i) * size, size};
    const double value = scalar_of(one, name);
    sum += value;
    squares += value * value;
  }
  const double mean = sum / static_cast<double>(count);
  return std::sqrt(std::max(squares / static_cast<double>(count) - mean * mean, 0.0));
}

}  // namespace

Training training_of(const TensorViews& tensors, const Metadata& metadata, const Recognised& what) {
  Training training;
  for (const auto& [marker, kind] : kForeignMarkers) {
    if (tensors.count(marker)) training.unsupported = std::string(marker) + ": " + kind;
  }
  training.zero_terminal_snr = tensors.count("ztsnr") > 0;
  const auto key = metadata.find("modelspec.predict_key");
  const auto key_v2 = metadata.find("modelspec.prediction_type");
  for (const auto& item : {key, key_v2}) {
    if (item == metadata.end()) continue;
    const bool v = item->second == "v" || item->second == "v_prediction";
    if (!v && item->second != "epsilon") continue;
    training.prediction = v ? Prediction::kV : Prediction::kEps;
    training.is_said = true;
    training.because = "metadata " + item->first + " = " + item->second;
    return training;
  }
  if (tensors.count("v_pred")) {
    training.prediction = Prediction::kV;
    training.is_said = true;
    training.because = "marker tensor v_pred";
    return training;
  }
  if (what.family == Family::kUnknown) return training;
  training.prediction = Prediction::kEps;
  training.because = "family";
  if (!row_of(what.family)->predicts_eps_or_v || what.inpaint) return training;
  const auto name = last_norm_of(tensors);
  if (!name) {
    training.prediction = Prediction::kUnknown;
    training.because = "";
    return training;
  }
  const bool wide = deviation_of(tensors.at(*name), *name) > kWideNormBias;
  training.prediction = wide ? Prediction::kV : Prediction::kEps;
  training.because = "spread of " + *name;
  return training;
}

Training training_of_file(const WeightsFile& file, const std::string& path,
                          const Recognised& what) {
  Training training = training_of(file.tensors(), file.metadata(), what);
  const std::string beside = std::filesystem::path(path).replace_extension(".yaml").string();
  if (!std::filesystem::is_regular_file(path) || !std::filesystem::is_regular_file(beside)) {
    return training;
  }
  const LdmConfig config = open_ldm_config(beside);
  if (config.prediction != Prediction::kUnknown) {
    training.prediction = config.prediction;
    training.is_said = true;
    training.because = "'" + beside + "'";
  }
  training.beta_start = config.linear_start;
  training.beta_end = config.linear_end;
  training.train_timesteps = config.timesteps;
  training.latent_scale = config.scale_factor;
  return training;
}

}  // namespace pangu::io
