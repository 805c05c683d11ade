// One model in two sizes, known as "hires fix": the resolution gap (diffusion/stages.h) with the
// same model in both stages. Composition comes from the size that the model was trained at, detail
// from the larger one.
#pragma once
#include "core/watch.h"
#include "pipeline/coop/coop.h"

namespace pangu::pipeline {

// Width and height of the second stage: hires_scale times the request's, down to the multiples that
// the model draws.
std::pair<int, int> hires_size(const Request& request, const RequestRules& rules);

// request: resolved, hires_scale above 1. The first stage draws at the request's size until
// hires_strength of the steps are left; its guess is decoded, enlarged by the model's upscaler (by
// Lanczos without one), encoded, gets fresh noise of that level, and the second stage draws on. The
// model outlives the result. Error kBadInput with a mask, for a model that cannot encode, and for a
// size that it does not draw.
Cooperation hires_of(const Model& model, const Request& request, const Pictures& pictures,
                     const Watch& watch = {});

// The drawing of one model as stages, to describe it: hires_of with a hires_scale above 1, else one
// stage of one member. A mask is not in it. Errors are those of hires_of.
Cooperation cooperation_of(const Model& model, const Request& request, const Pictures& pictures);

}  // namespace pangu::pipeline
