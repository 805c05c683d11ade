// The noise schedule of a model: what scheduler_config.json says, and where it says nothing what
// the family's description does. It knows no network.
#pragma once
#include "diffusion/parameterisation.h"
#include "diffusion/schedule.h"
#include "diffusion/sigmas.h"
#include "pipeline/families/source.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

diffusion::Schedule schedule_of(const Source& source);
// final_sigma is where DDIM ends (the key set_alpha_to_one); other samplers end at zero.
diffusion::SigmaOptions sigma_options_of(const Source& source);
diffusion::Parameterisation parameterisation_of(const Source& source);

// What a model draws when a request says nothing: the family's defaults at the side that fits what
// the network predicts.
Request defaults_of(const Source& source);

}  // namespace pangu::pipeline
