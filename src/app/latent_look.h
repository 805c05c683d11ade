// A quick look at the latents of a drawing, while it is drawn: by a tiny autoencoder (TAESD) where
// one of the model's latents is there, otherwise by an affine map from a latent's channels to a
// colour, which is fitted to the model's own decoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/watch.h"
#include "image/image.h"
#include "pipeline/model.h"

namespace pangu::app {

// Of latents [1,C,h,w] how a decoder sees them. Used by one thread at a time.
class LatentLook {
 public:
  // Looks for tiny autoencoders there: files tae*.safetensors and tae*.pth under the names that
  // they are published by (taesd_decoder, taesdxl_decoder, ...), and folders tae* in diffusers'
  // layout. Those whose name ends in "_encoder" are passed over.
  void add_folder(const std::filesystem::path& folder);

  // Chooses how latents of the model's space are shown, if that was not done yet. It decodes one
  // latent of 16 x 16 pixels by the model's decoder. Of the tiny autoencoders with the model's
  // channels that one is taken whose picture is most like the decoder's, if it is alike at all: a
  // file for another model's latents gives quite another picture.
  void prepare(const pipeline::Model& model, const Watch& watch);

  // Seconds that picture_of will take, as prepare found it. Next to nothing for the map of colours.
  double expected_seconds(const pipeline::Model& model, const at::Tensor& latents) const;

  // latents: [C,h,w], as the denoiser sees them, of a model that was prepared. A tiny autoencoder's
  // picture is as large as what is drawn, up to 512 px a side; that of the map has a pixel for each
  // pixel of the latent.
  image::Image picture_of(const pipeline::Model& model, const at::Tensor& latents) const;

  // Whether a tiny autoencoder was chosen for the model's latents.
  bool has_tiny(const pipeline::Model& model) const;

 private:
  // How the latents of one space are shown.
  struct Way {
    at::Tensor colours;  // [C+1,3] f32, the last row is that of a latent of zeros; in [-1,1]
    std::optional<pipeline::LatentCodec> tiny;
    double seconds_a_pixel = 0.0;  // of a latent, by the tiny autoencoder
  };
  std::vector<pipeline::LatentCodec> tiny_autoencoders(const pipeline::Model& model) const;

  std::vector<std::filesystem::path> folders_;
  std::map<std::string, Way> ways_;  // by the name of the latent space
};

// The folders "vae_approx" in these, where other programs keep tiny autoencoders too.
std::vector<std::filesystem::path> tiny_autoencoder_folders(
    const std::vector<std::filesystem::path>& model_folders);

}  // namespace pangu::app
