// --preview FILE: the picture as it is guessed to become, again and again while it is drawn.
#pragma once
#include <chrono>
#include <functional>
#include <string>

#include "app/latent_look.h"
#include "diffusion/samplers/samplers.h"
#include "image/image.h"
#include "pipeline/model.h"

namespace pangu::app {

// Shows the first picture of a batch: by a tiny autoencoder where one is there for its latents
// (latent_look.h, folders vae_approx of model_folders()), else by the model's own decoder. A
// decoder may take longer than a step, so that previews take a twentieth of the time at most.
class Preview {
 public:
  // `file`: .png, .jpg or .webp. `model_at`: whose latents come first at a noise level; it outlives
  // this. Error kBadInput if another picture than a preview is there, unless `overwrite`; kIo if
  // nothing can be written there.
  Preview(std::string file, bool overwrite,
          std::function<const pipeline::Model&(double sigma)> model_at);

  void show(const diffusion::StepInfo& step);
  void show(const image::Image& picture);

 private:
  std::string file_;
  image::FileFormat format_;
  std::function<const pipeline::Model&(double sigma)> model_at_;
  LatentLook look_;
  std::chrono::steady_clock::time_point next_;  // not before
};

}  // namespace pangu::app
