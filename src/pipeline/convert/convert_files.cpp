// Keys and values: those of the folders that the families were released with (SD 1.5, 2.1, SDXL and
// its refiner, image variations).
#include "pipeline/convert/convert_files.h"

#include <filesystem>

#include "core/error.h"
#include "io/mapped_file.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/text/clip_text.h"
#include "nn/text/clip_vision.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/families/family.h"
#include "text/clip_files.h"

namespace pangu::pipeline {
namespace {

using io::Family;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kLatentPixels = 8;  // pixels a latent pixel, of all these families
constexpr int kClipPromptTokens = 77;
constexpr int kExpertBoundary = 500;  // PanGu-Draw 3's two halves of the noise schedule
constexpr const char* kDiffusersVersion = "0.42.1";  // whose keys these are
constexpr int kBos = 49406, kPadOfClip = 1;
constexpr const char* kEnd = "<|endoftext|>";
constexpr const char* kOpenClipPad = "!";  // id 0

json pair(const char* library, const char* name) { return json::array({library, name}); }
json nothing() { return json::array({nullptr, nullptr}); }

nn::ClipActivation activation_of(const Source& source, const std::string& component) {
  const bool open =
      component == "text_encoder_2" || source.what.family == Family::kStableDiffusion2;
  return open ? nn::ClipActivation::kGelu : nn::ClipActivation::kQuickGelu;
}

const char* scheduler_class_of(Family family) {
  switch (family) {
    case Family::kSdxl:
    case Family::kSdxlRefiner:
    case Family::kPanguDraw3:
      return "EulerDiscreteScheduler";
    default:
      return "DDIMScheduler";
  }
}

json added_token(const std::string& content) {
  return {{"content", content},
          {"lstrip", false},
          {"normalized", true},
          {"rstrip", false},
          {"single_word", false}};
}

void add_clip_tokenizer(std::map<std::string, std::string>& files, const std::string& folder,
                        const text::ClipFiles& vocabulary, const std::string& pad) {
  files[folder + "/vocab.json"] = vocabulary.vocab_json;
  files[folder + "/merges.txt"] = vocabulary.merges_txt;
  const json map = {{"bos_token", added_token("<|startoftext|>")},
                    {"eos_token", added_token(kEnd)},
                    {"unk_token", added_token(kEnd)},
                    {"pad_token", pad}};
  json config = {{"tokenizer_class", "CLIPTokenizer"},
                 {"model_max_length", kClipPromptTokens},
                 {"do_lower_case", true},
                 {"add_prefix_space", false},
                 {"errors", "replace"}};
  config["bos_token"] = "<|startoftext|>";
  config["eos_token"] = config["unk_token"] = kEnd;
  config["pad_token"] = pad;
  files[folder + "/special_tokens_map.json"] = map.dump(2) + "\n";
  files[folder + "/tokenizer_config.json"] = config.dump(2) + "\n";
}

}  // namespace

std::string pipeline_class_of(const Source& source) {
  const bool inpaint = source.what.inpaint;
  switch (source.what.family) {
    case Family::kStableDiffusion1:
    case Family::kStableDiffusion2:
      return inpaint ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline";
    case Family::kSdxl:
      return inpaint ? "StableDiffusionXLInpaintPipeline" : "StableDiffusionXLPipeline";
    case Family::kSdxlRefiner:
      return "StableDiffusionXLImg2ImgPipeline";
    case Family::kPanguDraw3:
      return "PanGuDrawPipeline";
    case Family::kImageVariations:
      return "StableDiffusionImageVariationPipeline";
    default:
      throw bad_input("model '" + source.name + "'", "a family that this program draws with",
                      source.what.human_name);
  }
}

json index_of(const Source& source) {
  const Family family = source.what.family;
  json index = {{"_class_name", pipeline_class_of(source)},
                {"_diffusers_version", kDiffusersVersion},
                {"unet", pair("diffusers", "UNet2DConditionModel")},
                {"vae", pair("diffusers", "AutoencoderKL")},
                {"scheduler", pair("diffusers", scheduler_class_of(family))}};
  const bool two = family == Family::kSdxl || family == Family::kPanguDraw3;
  if (family == Family::kImageVariations) {
    index["image_encoder"] = pair("transformers", "CLIPVisionModelWithProjection");
    index["feature_extractor"] = pair("transformers", "CLIPImageProcessor");
  } else if (family != Family::kSdxlRefiner) {
    index["text_encoder"] = pair("transformers", "CLIPTextModel");
    index["tokenizer"] =
        pair("transformers", family == Family::kPanguDraw3 ? "BertTokenizer" : "CLIPTokenizer");
  } else {
    index["text_encoder"] = index["tokenizer"] = nothing();
  }
  if (two || family == Family::kSdxlRefiner) {
    index["text_encoder_2"] = pair("transformers", "CLIPTextModelWithProjection");
    index["tokenizer_2"] = pair("transformers", "CLIPTokenizer");
  }
  if (family == Family::kSdxl || family == Family::kSdxlRefiner) {
    index["force_zeros_for_empty_prompt"] = family == Family::kSdxl;
    if (family == Family::kSdxlRefiner || source.what.inpaint) {
      index["requires_aesthetics_score"] = family == Family::kSdxlRefiner;
    }
  } else if (family == Family::kPanguDraw3) {
    index["_pangu_version"] = 1;
    index["expert_boundary"] = kExpertBoundary;
    if (source.has("unet_texture")) {
      index["unet_texture"] = pair("diffusers", "UNet2DConditionModel");
    }
  } else {
    index["safety_checker"] = nothing();
    if (family != Family::kImageVariations) index["feature_extractor"] = nothing();
    index["requires_safety_checker"] = false;
  }
  return index;
}

json config_of(const Source& source, const std::string& component, const nn::TensorShapes& shapes,
               const std::string& dtype) {
  const int side = *family_defaults(source).width;
  if (component == "unet" || component == "unet_texture") {
    nn::UNetConfig config = nn::unet_config_from_shapes(shapes);
    config.sample_size = side / kLatentPixels;
    // Its scores leave f16 otherwise.
    config.upcast_attention = source.what.family == Family::kStableDiffusion2 &&
                              parameterisation_of(source) == diffusion::Parameterisation::kV;
    return nn::to_json(config);
  }
  if (component == "vae") {
    nn::AutoencoderKLConfig config = nn::autoencoder_config_from_shapes(shapes);
    config.scaling_factor = latent_scale_of(source.what.family);
    json keys = config.to_json();
    keys.erase("shift_factor");
    keys["sample_size"] = side;
    return keys;
  }
  json keys;
  if (component == "image_encoder") {
    keys = nn::clip_vision_config_from_shapes(shapes, activation_of(source, component)).to_json();
  } else {
    keys = nn::clip_text_config_from_shapes(shapes, activation_of(source, component)).to_json();
    keys["bos_token_id"] = kBos;
    keys["pad_token_id"] = kPadOfClip;
  }
  keys["torch_dtype"] = dtype;
  return keys;
}

json scheduler_config_of(const Source& source) {
  const diffusion::ScheduleConfig schedule;
  const Family family = source.what.family;
  const bool zero_snr = source.training.zero_terminal_snr;
  json keys = {{"_class_name", scheduler_class_of(family)},
               {"beta_schedule", diffusion::to_string(schedule.beta_schedule)},
               {"beta_start", schedule.beta_start},
               {"beta_end", schedule.beta_end},
               {"num_train_timesteps", schedule.num_train_timesteps},
               {"prediction_type", diffusion::to_string(parameterisation_of(source))},
               {"steps_offset", 1}};
  if (zero_snr) keys["rescale_betas_zero_snr"] = true;
  // PanGu-Draw 3's spacing has no name there.
  if (family != Family::kPanguDraw3) keys["timestep_spacing"] = zero_snr ? "trailing" : "leading";
  if (keys["_class_name"] == "DDIMScheduler") keys["clip_sample"] = false;
  if (family != Family::kPanguDraw3) keys["set_alpha_to_one"] = false;
  return keys;
}

std::map<std::string, std::string> reading_files_of(const Source& source,
                                                    const std::string& tokenizers) {
  const Family family = source.what.family;
  std::map<std::string, std::string> files;
  if (family == Family::kImageVariations) {
    const json keys = {{"image_processor_type", "CLIPImageProcessor"},
                       {"do_resize", true},
                       {"do_center_crop", true},
                       {"do_normalize", true},
                       {"do_convert_rgb", true},
                       {"resample", 3},
                       {"size", {{"shortest_edge", 224}}},
                       {"crop_size", {{"height", 224}, {"width", 224}}},
                       {"image_mean", {0.48145466, 0.4578275, 0.40821073}},
                       {"image_std", {0.26862954, 0.26130258, 0.27577711}}};
    files["feature_extractor/preprocessor_config.json"] = keys.dump(2) + "\n";
    return files;
  }
  const fs::path own = tokenizers;
  const text::ClipFiles clip =
      text::clip_files_of((own / "clip/bpe_simple_vocab_16e6.txt.gz").string());
  if (source.has("text_encoder_2")) add_clip_tokenizer(files, "tokenizer_2", clip, kOpenClipPad);
  if (family == Family::kPanguDraw3) {
    files["tokenizer/vocab.txt"] = io::read_text_file((own / "zh/vocab.txt").string());
    const json config = {{"tokenizer_class", "BertTokenizer"},
                         {"do_lower_case", true},
                         {"model_max_length", kClipPromptTokens}};
    files["tokenizer/tokenizer_config.json"] = config.dump(2) + "\n";
  } else if (source.has("text_encoder")) {
    add_clip_tokenizer(files, "tokenizer", clip,
                       family == Family::kStableDiffusion2 ? kOpenClipPad : kEnd);
  }
  return files;
}

}  // namespace pangu::pipeline
