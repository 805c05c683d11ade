// Coop-Diffusion, the resolution gap (PanGu-Draw, arXiv 2312.16486, section 4, algorithm 1,
// sub-module 2): a model at low resolution draws down to a noise level T_low, its guess is carried
// to a higher resolution, gets fresh noise of that level, and the next model draws on. Any number
// of such stages, each with any denoiser: also one of several fused members (coop.h). It knows no
// pixels: carrying (decode, upsample, encode) is a callable.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/schedule.h"

namespace pangu::diffusion {

// What is handed from one stage to the next.
enum class Handoff {
  // "fresh": the guess of x0 is carried and gets fresh noise: z = carry(z'_0) + sigma n. The
  // paper's.
  kFreshNoise,
  // "keep": it keeps the noise that it had, z = carry(z'_0) + (z' - z'_0); for stages of equal
  // shapes. With `carry` the identity, two stages of one model are one drawing.
  kKeepNoise,
  // "naive": the noisy latent itself is carried. The noise is no longer independent from pixel to
  // pixel, which the next model was never trained for; to show what that costs.
  kNaive,
};
Handoff handoff_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(Handoff handoff);

struct Stage {
  Denoiser denoise;
  // From the first level of the stage to its last; the next stage's first is this one's last.
  SigmaList sigmas;
  NoiseSource noise;  // of stochastic samplers, in this stage's shapes
  // To the next stage's shapes; unused in the last stage.
  std::function<Latents(const Latents& x0)> carry;
  // Standard normals in the next stage's shapes, independent of any other noise of the drawing.
  std::function<Latents(const Latents& like)> fresh_noise;
};

// x: at stages.front().sigmas.front(). on_step is told the steps of all stages as one sequence. A
// multistep sampler begins anew in every stage. kBadInput: no stages, or levels that do not meet.
// If on_step says stop, the latents of the step just done.
Latents sample_stages(const Sampler& sampler, const std::vector<Stage>& stages, Latents x,
                      Handoff handoff, const OnStep& on_step = {},
                      const SamplerOptions& options = {});

// `sigmas` cut at the levels `ends` (falling, inside of it; kBadInput otherwise): n + 1 lists, each
// beginning where the one before ended. A level that is in the list is cut there, another becomes
// a step's end of its own.
std::vector<SigmaList> cut_at(const SigmaList& sigmas, const std::vector<double>& ends);

// The first step at which at least this share (0 to 1) of the steps of `sigmas` is done, but for
// the share's own rounding: 0.55 of 20 steps is step 11. sigmas[it] is the level that it begins at.
size_t step_of_share(const SigmaList& sigmas, double share);

// "t=500", "sigma=1.6", "snr=0.4" (ab / (1 - ab) = 1 / sigma^2) or "step=0.4" (share of the steps
// of `sigmas` that are done by then) -> sigma. kBadInput for anything else, or a level that the
// schedule does not have.
double sigma_from(const std::string& text, const Schedule& schedule, const SigmaList& sigmas);

}  // namespace pangu::diffusion
