// What the files of a family leave unsaid: defaults, noise schedule, scale of the latents, sizes.
// Sources: the configurations that the families were released with (diffusers' folders of SD 1.5,
// 2.1, SDXL; PanGu-Draw 3's inference code).
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "diffusion/sigmas.h"
#include "pipeline/families/source.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// What a model of this family draws when nothing is said.
Request family_defaults(const Source& source);

// Of the scheduler's configuration, or of the family.
diffusion::Schedule schedule_of(const Source& source);
// final_sigma: DDIM's (the key set_alpha_to_one).
diffusion::SigmaOptions sigma_options_of(const Source& source);
diffusion::Parameterisation parameterisation_of(const Source& source);

// Latents that a denoiser sees = those of the autoencoder times this.
double latent_scale_of(io::Family family);

// SDXL's and its refiner's numbers for a picture of this size; PanGu-Draw 3's index of the size.
// negative: of the unconditional row, for which the refiner takes another aesthetic score. Empty
// for families without.
std::vector<float> size_numbers(io::Family family, int width, int height, bool negative);

// PanGu-Draw 3's sizes, width and height: eleven large ones in the order of their indices, then
// eleven small ones with the same indices.
const std::vector<std::pair<int, int>>& pangu_sizes();

// The words before a prompt that PanGu-Draw 3 was trained with, for style guidance.
std::map<std::string, std::map<std::string, std::string>> pangu_styles();

}  // namespace pangu::pipeline
