// Keys and values are those of the folders that were released for the families (SD 1.5, 2.1, SDXL
// and its refiner, image variations).
#include "pipeline/convert/convert_files.h"

#include <filesystem>

#include "core/error.h"
#include "io/mapped_file.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/text/clip_text.h"
#include "nn/text/clip_vision.h"
#include "nn/unet/unet_from_shapes.h"
#include "pipeline/families/scheduler_config.h"
#include "pipeline/families/spec.h"
#include "text/clip_files.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kLatentPixels = 8;  // pixels a latent pixel, in all these families
constexpr int kClipPromptTokens = 77;
constexpr const char* kDiffusersVersion = "0.42.1";  // the version that writes these keys
constexpr int kBos = 49406, kPadOfClip = 1;
constexpr const char* kEnd = "<|endoftext|>";
constexpr const char* kOpenClipPad = "!";  // id 0

json pair(const char* library, const char* name) { return json::array({library, name}); }

const ClipEncoderSpec* encoder_of(const Source& source, const std::string& component) {
  for (const ClipEncoderSpec& encoder : source.spec->encoders) {
    if (encoder.component == component) return &encoder;
  }
  return nullptr;
}

nn::Activation activation_of(const Source& source, const std::string& component) {
  const ClipEncoderSpec* encoder = encoder_of(source, component);
  return encoder && encoder->is_open_clip ? nn::Activation::kGelu : nn::Activation::kQuickGelu;
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
  const FolderSpec& folder = source.spec->folder;
  const std::string& name = source.what.inpaint ? folder.inpaint_pipeline : folder.pipeline;
  if (name.empty()) {
    throw bad_input("model '" + source.name + "'", "a family that this program draws with",
                    source.what.human_name);
  }
  return name;
}

json index_of(const Source& source) {
  const FamilySpec& spec = *source.spec;
  json index = {{"_class_name", pipeline_class_of(source)},
                {"_diffusers_version", kDiffusersVersion},
                {"unet", pair("diffusers", "UNet2DConditionModel")},
                {"vae", pair("diffusers", "AutoencoderKL")},
                {"scheduler", pair("diffusers", spec.folder.scheduler.c_str())}};
  if (source.has("unet_texture")) index["unet_texture"] = index["unet"];
  if (spec.quirks.reads_picture) {
    index["image_encoder"] = pair("transformers", "CLIPVisionModelWithProjection");
  }
  for (const ClipEncoderSpec& encoder : spec.encoders) {
    // diffusers' pipelines take the pooled vector from the encoder of this name.
    const bool projects = encoder.component == "text_encoder_2";
    index[encoder.component] =
        pair("transformers", projects ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    index[encoder.tokenizer] =
        pair("transformers", encoder.is_word_piece ? "BertTokenizer" : "CLIPTokenizer");
  }
  if (spec.folder.index_keys.is_object()) index.update(spec.folder.index_keys);
  if (source.what.inpaint && spec.folder.inpaint_index_keys.is_object()) {
    index.update(spec.folder.inpaint_index_keys);
  }
  return index;
}

json config_of(const Source& source, const std::string& component, const nn::TensorShapes& shapes,
               const std::string& dtype) {
  const int side = *defaults_of(source).width;
  if (component == "unet" || component == "unet_texture") {
    nn::UNetConfig config = nn::unet_config_from_shapes(shapes);
    config.sample_size = side / kLatentPixels;
    // Without it the scores of this model exceed the range of f16.
    config.upcast_attention =
        source.spec->folder.upcasts_v_attention &&
        noise_terms_of(source).parameterisation == diffusion::Parameterisation::kV;
    return nn::to_json(config);
  }
  if (component == "vae") {
    nn::AutoencoderKLConfig config = nn::autoencoder_config_from_shapes(shapes);
    config.scaling_factor = latent_scale_of(source);
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
  const NoiseSpec& noise = source.spec->noise;
  const bool zero_snr = source.training.zero_terminal_snr;
  json keys = {{"_class_name", source.spec->folder.scheduler},
               {"beta_schedule", diffusion::to_string(schedule.beta_schedule)},
               {"beta_start", source.training.beta_start.value_or(schedule.beta_start)},
               {"beta_end", source.training.beta_end.value_or(schedule.beta_end)},
               {"num_train_timesteps",
                source.training.train_timesteps.value_or(schedule.num_train_timesteps)},
               {"prediction_type", diffusion::to_string(noise_terms_of(source).parameterisation)},
               {"steps_offset", 1}};
  if (zero_snr) keys["rescale_betas_zero_snr"] = true;
  if (keys["_class_name"] == "DDIMScheduler") keys["clip_sample"] = false;
  // The other spacing that our families use, PanGu-Draw 3's, has no name in diffusers.
  if (noise.spacing == diffusion::Spacing::kLeading) {
    keys["timestep_spacing"] = zero_snr ? "trailing" : "leading";
    keys["set_alpha_to_one"] = noise.ddim_ends_at_zero;
  }
  return keys;
}

std::map<std::string, std::string> reading_files_of(const Source& source,
                                                    const std::string& tokenizers) {
  std::map<std::string, std::string> files;
  if (source.spec->quirks.reads_picture) {
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
  for (const ClipEncoderSpec& encoder : source.spec->encoders) {
    if (!source.has(encoder.component)) continue;
    if (!encoder.is_word_piece) {
      add_clip_tokenizer(files, encoder.tokenizer, clip,
                         encoder.is_open_clip ? kOpenClipPad : kEnd);
      continue;
    }
    files[encoder.tokenizer + "/vocab.txt"] =
        io::read_text_file((own / encoder.vocabulary / "vocab.txt").string());
    const json config = {{"tokenizer_class", "BertTokenizer"},
                         {"do_lower_case", true},
                         {"model_max_length", kClipPromptTokens}};
    files[encoder.tokenizer + "/tokenizer_config.json"] = config.dump(2) + "\n";
  }
  return files;
}

}  // namespace pangu::pipeline
