// The terms of the noise that a model was trained in: what scheduler_config.json says, and where it
// says nothing what the family's description does. It knows no network.
#pragma once
#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "diffusion/sigmas.h"
#include "pipeline/families/source.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

struct NoiseTerms {
  diffusion::Schedule schedule;
  // final_sigma is where DDIM ends (the key set_alpha_to_one); other samplers end at zero.
  diffusion::SigmaOptions sigma_options;
  diffusion::Parameterisation parameterisation = diffusion::Parameterisation::kEps;
};

// Every key of the file is applied, or known to be without effect here, or refused: error kBadInput
// names file and key. A scheduler class of other mathematics (EDM) is refused by its name. What a
// file says of samplers has no effect, because a request chooses its own.
NoiseTerms noise_terms_of(const Source& source);

// Latents that a denoiser sees are those of the autoencoder times this, where the autoencoder has
// no configuration of its own: the family's factor, or that of the configuration beside a single
// file.
double latent_scale_of(const Source& source);

// What a model draws when a request says nothing: the family's defaults at the side that fits what
// the network predicts.
Request defaults_of(const Source& source);

}  // namespace pangu::pipeline
