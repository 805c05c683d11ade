// Coop-Diffusion, the resolution gap (PanGu-Draw, arXiv 2312.16486, section 4, algorithm 1,
// sub-module 2): a model at low resolution draws down to a noise level T_low, its guess is carried
// to a higher resolution, gets fresh noise of that level, and the next model draws on. There may be
// any number of such stages, each with any denoiser, also one that fuses several members (coop.h).
// Nothing here knows pixels: carrying (decode, upsample, encode) is a callable.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/schedule.h"

namespace pangu::diffusion {

// Which latent is handed from one stage to the next.
enum class Handoff {
  // "fresh", as in the paper: the guess of x0 is carried and gets fresh noise, z = carry(z'_0) +
  // sigma n.
  kFreshNoise,
  // "keep": the guess is carried and keeps the noise that it had, z = carry(z'_0) + (z' - z'_0).
  // This is for stages of equal shapes: if `carry` is the identity, two stages of one model are one
  // drawing.
  kKeepNoise,
  // "naive": the noisy latent itself is carried. The noise is no longer independent from pixel to
  // pixel, which the next model was never trained for; this form shows what that costs.
  kNaive,
};
Handoff handoff_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(Handoff handoff);

struct Stage {
  Denoiser denoise;
  // The levels of the stage; its last level is the first one of the next stage.
  SigmaList sigmas;
  NoiseSource noise;  // for stochastic samplers, in this stage's shapes
  // Brings a guess to the next stage's shapes; unused in the last stage.
  std::function<Latents(const Latents& x0)> carry;
  // Returns standard normals in the shapes of `like`, which are the next stage's, independent of
  // any other noise of the drawing.
  std::function<Latents(const Latents& like)> fresh_noise;
};

// x: noisy latents at stages.front().sigmas.front(). on_step counts the steps of all stages as one
// sequence. A multistep sampler begins anew in every stage. Every handover but "naive" calls the
// stage's denoiser once more. Returns the last stage's latents, or, if on_step returned false,
// those after the step just done, in the shapes of its stage. Throws kBadInput for no stages, or
// for levels that do not meet.
Latents sample_stages(const Sampler& sampler, const std::vector<Stage>& stages, Latents x,
                      Handoff handoff, const OnStep& on_step = {},
                      const SamplerOptions& options = {});

// Cuts `sigmas` at the n levels `ends`, which must fall and lie inside of the list (kBadInput
// otherwise). Returns n + 1 lists, each of which begins where the one before ended. An end that is
// no level of the list becomes one.
std::vector<SigmaList> cut_at(const SigmaList& sigmas, const std::vector<double>& ends);

// The first step before which at least this share (0 to 1) of the steps of `sigmas` is done. The
// rounding of the share itself is allowed for: 0.55 of 20 steps is step 11. sigmas[result] is the
// level at which that step begins.
size_t step_of_share(const SigmaList& sigmas, double share);

// Reads a noise level: "t=500" (a time of the schedule), "sigma=1.6", "snr=0.4" (ab / (1 - ab) = 1
// / sigma^2), or "step=0.4" (the level of `sigmas` after this share of its steps, rounded to the
// nearest step). Returns its sigma. Throws kBadInput for anything else, a t outside of the
// schedule, or a sigma or SNR that is not positive and finite.
double sigma_from(const std::string& text, const Schedule& schedule, const SigmaList& sigmas);

}  // namespace pangu::diffusion
