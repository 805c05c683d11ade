#include "pipeline/families/family.h"

#include <algorithm>

#include "core/error.h"

namespace pangu::pipeline {
namespace {

template <class T>
T value_or(const nlohmann::json& object, const char* key, T fallback) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  try {
    return found->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw bad_input(std::string("configuration, key '") + key + "'", "another type",
                    found->dump().substr(0, 80));
  }
}

constexpr std::ptrdiff_t kPanguSizesAList = 11;
constexpr int kSmallSide = 512, kMiddleSide = 768, kLargeSide = 1024;
constexpr float kAesthetic = 6.0F, kNegativeAesthetic = 2.5F;  // the refiner's own defaults

bool predicts_v(const Source& source) {
  return parameterisation_of(source) == diffusion::Parameterisation::kV;
}

}  // namespace

Request family_defaults(const Source& source) {
  Request r;
  r.sampler = "dpmpp_2m";
  r.schedule = "karras";
  r.noise = "philox";
  r.steps = 25;
  r.guidance = 7.5;
  r.style_scale = 2.0;
  int side = kSmallSide;
  switch (source.what.family) {
    case io::Family::kStableDiffusion2:
      if (predicts_v(source)) side = kMiddleSide;
      break;
    case io::Family::kSdxl:
    case io::Family::kSdxlRefiner:
      side = kLargeSide;
      r.steps = 30;
      r.guidance = 5.0;
      break;
    case io::Family::kPanguDraw3:
      side = kLargeSide;
      r.steps = 40;
      r.guidance = 6.0;
      r.style_scale = 4.0;
      r.sampler = "euler";
      r.schedule = "normal";
      r.noise = "numpy";
      break;
    default:
      break;
  }
  r.width = r.height = side;
  return r;
}

diffusion::Schedule schedule_of(const Source& source) {
  const auto& json = source.scheduler;
  diffusion::ScheduleConfig c;
  c.beta_schedule = diffusion::beta_schedule_from(
      value_or<std::string>(json, "beta_schedule", to_string(c.beta_schedule)));
  c.num_train_timesteps = value_or(json, "num_train_timesteps", c.num_train_timesteps);
  c.beta_start = value_or(json, "beta_start", c.beta_start);
  c.beta_end = value_or(json, "beta_end", c.beta_end);
  c.rescale_betas_zero_snr =
      value_or(json, "rescale_betas_zero_snr", source.training.zero_terminal_snr);
  return diffusion::Schedule(c);
}

diffusion::SigmaOptions sigma_options_of(const Source& source) {
  diffusion::SigmaOptions options;
  const bool pangu = source.what.family == io::Family::kPanguDraw3;
  // A network trained to zero terminal SNR has to be started there.
  const char* usual = source.training.zero_terminal_snr ? "trailing" : "leading";
  options.spacing = diffusion::spacing_from(
      value_or<std::string>(source.scheduler, "timestep_spacing", pangu ? "legacy_ddpm" : usual));
  options.steps_offset = value_or<int64_t>(source.scheduler, "steps_offset", 1);
  // Single files as diffusers' own configurations of their families, folders as DDIM's default.
  const bool folder = !source.scheduler.is_null();
  if (!value_or(source.scheduler, "set_alpha_to_one", folder || pangu)) {
    options.final_sigma = diffusion::FinalSigma::kSigmaMin;
  }
  // As diffusers' schedulers; our own models keep k-diffusion's convention.
  options.linear_interpolation = !source.ours;
  if (source.what.family == io::Family::kSdxl) {
    options.align_your_steps = diffusion::AlignYourSteps::kSdxl;
  }
  return options;
}

diffusion::Parameterisation parameterisation_of(const Source& source) {
  const bool v = source.training.prediction == io::Prediction::kV;
  return diffusion::parameterisation_from(
      value_or<std::string>(source.scheduler, "prediction_type", v ? "v_prediction" : "epsilon"));
}

double latent_scale_of(io::Family family) {
  switch (family) {
    case io::Family::kSdxl:
    case io::Family::kSdxlRefiner:
    case io::Family::kPanguDraw3:
      return 0.13025;
    default:
      return 0.18215;
  }
}

std::vector<float> size_numbers(io::Family family, int width, int height, bool negative) {
  const auto w = static_cast<float>(width), h = static_cast<float>(height);
  switch (family) {
    case io::Family::kSdxl:
      return {h, w, 0, 0, h, w};  // original, crop, target
    case io::Family::kSdxlRefiner:
      return {h, w, 0, 0, negative ? kNegativeAesthetic : kAesthetic};
    case io::Family::kPanguDraw3: {
      const auto& sizes = pangu_sizes();
      const auto found = std::find(sizes.begin(), sizes.end(), std::pair(width, height));
      if (found == sizes.end()) {
        throw Error(ErrorCode::kInternal, "size_numbers: " + std::to_string(width) + "x" +
                                              std::to_string(height) +
                                              " has no index; RequestRules::sizes names those");
      }
      return {static_cast<float>((found - sizes.begin()) % kPanguSizesAList)};
    }
    default:
      return {};
  }
}

const std::vector<std::pair<int, int>>& pangu_sizes() {
  // The released list of large sizes lacks 1536x864, without which the indices behind it are off by
  // one from those of the small list.
  static const std::vector<std::pair<int, int>> sizes = {
      {512, 2048}, {512, 1920}, {768, 1536}, {864, 1536}, {960, 1280}, {1024, 1024},
      {1280, 960}, {1536, 864}, {1536, 768}, {1920, 512}, {2048, 512},  //
      {256, 1024}, {256, 960},  {320, 768},  {384, 640},  {448, 576},  {512, 512},
      {576, 448},  {640, 384},  {768, 320},  {960, 256},  {1024, 256}};
  return sizes;
}

std::map<std::string, std::map<std::string, std::string>> pangu_styles() {
  const auto both = [](const char* words) {
    return std::map<std::string, std::string>{{"en", words}, {"zh", words}};
  };
  return {{"aesthetic", both("義 {prompt}")},
          {"cartoon", both("饅 {prompt}")},
          {"photography", both("霙 {prompt}")}};
}

}  // namespace pangu::pipeline
