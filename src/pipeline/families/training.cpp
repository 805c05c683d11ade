#include "pipeline/families/training.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <filesystem>

#include "core/error.h"
#include "io/file_hash.h"
#include "io/json_file.h"
#include "nn/text/clip_vision.h"
#include "nn/unet/unet.h"
#include "pipeline/families/autoencoders.h"
#include "pipeline/families/text_sides.h"
#include "pipeline/families/unet_extras.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kUnet = "unet";
constexpr const char* kImageEncoder = "image_encoder";

const nlohmann::json& network_config_for(const NetworkConfigs& configs, const char* component) {
  const auto found = configs.find(component);
  if (found == configs.end()) {
    throw bad_input("networks to train", std::string("a configuration of '") + component + "'",
                    "none");
  }
  return found->second;
}

std::shared_ptr<nn::UNet2DConditionModel> fresh_unet(const NetworkConfigs& configs) {
  auto unet = std::make_shared<nn::UNet2DConditionModel>(
      nn::unet_config_from_json(network_config_for(configs, kUnet)));
  nn::zero_init_output(*unet);
  nn::weights_to_channels_last(*unet);
  return unet;
}

TrainableDenoiser captioned_unet(const NetworkConfigs& configs) {
  const auto unet = fresh_unet(configs);
  TrainableDenoiser d;
  d.module = unet;
  d.parts = {{kUnet, "", nn::to_json(unet->config())}};
  d.predict = [unet](const at::Tensor& x, const at::Tensor& t_index, const Conditions& c) {
    nn::UNetExtras extras;
    extras.context_mask = c.context_mask;
    extras.class_labels = unet->class_labels_of(c.context, c.context_mask);
    return unet->forward(with_extra_channels(x, c), t_index, c.context, extras);
  };
  return d;
}

// A denoiser that reads a picture's embedding, and the encoder that makes it, as one module.
struct UnetAndEncoder : torch::nn::Module {
  UnetAndEncoder(std::shared_ptr<nn::UNet2DConditionModel> unet,
                 std::shared_ptr<nn::ClipVisionModel> encoder) {
    register_module(kUnet, std::move(unet));
    register_module(kImageEncoder, std::move(encoder));
  }
};

nn::ClipVisionConfig encoder_config(const NetworkConfigs& configs) {
  return nn::ClipVisionConfig::from_json(network_config_for(configs, kImageEncoder));
}

TrainableDenoiser pictured_unet(const NetworkConfigs& configs) {
  const auto unet = fresh_unet(configs);
  const auto encoder = std::make_shared<nn::ClipVisionModel>(encoder_config(configs));
  TrainableDenoiser d;
  d.module = std::make_shared<UnetAndEncoder>(unet, encoder);
  d.parts = {{kUnet, "unet.", nn::to_json(unet->config())},
             {kImageEncoder, "image_encoder.", encoder->config().to_json()}};
  d.predict = [unet, encoder](const at::Tensor& x, const at::Tensor& t_index, const Conditions& c) {
    at::Tensor embeds = encoder->forward(c.pictures).image_embeds;
    embeds = (embeds * c.context_mask.to(embeds.dtype())).unsqueeze(1);
    nn::UNetExtras extras;
    extras.class_labels = unet->class_labels_of(embeds, {});
    return unet->forward(with_extra_channels(x, c), t_index, embeds, extras);
  };
  return d;
}

CaptionReader bert_captions(const std::string& folder) {
  const std::string text = text_folder_of(folder);
  CaptionReader reader;
  reader.identity =
      io::sha256_of_files({text + "/text_encoder/model.safetensors",
                           text + "/text_encoder/config.json", text + "/tokenizer/tokenizer.json"});
  reader.read = bert_reader(text);
  return reader;
}

}  // namespace

std::string text_folder_of(const std::string& model) {
  const std::filesystem::path folder = model, index = folder / "model_index.json";
  if (!std::filesystem::exists(index)) return model;
  JsonReader reader = io::open_json_file(index.string());
  return (folder / reader.get("text_model", std::string("."))).lexically_normal().string();
}

TrainingSpec train_with_captions() {
  TrainingSpec spec;
  spec.denoiser = captioned_unet;
  spec.captions = bert_captions;
  spec.codec = open_latent_codec;
  return spec;
}

TrainingSpec train_with_pictures() {
  TrainingSpec spec;
  spec.denoiser = pictured_unet;
  spec.sight = [](const at::Tensor& picture, const NetworkConfigs& configs) {
    return nn::clip_pixels(picture, encoder_config(configs).image_size);
  };
  spec.codec = open_latent_codec;
  return spec;
}

}  // namespace pangu::pipeline
