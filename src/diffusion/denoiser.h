// The one idea of the program: every network, guidance, routing or fusion is a function from a
// noisy latent and its noise level to a guess of the clean latent. A sampler sees nothing else.
#pragma once
#include <functional>

#include "diffusion/latents.h"

namespace pangu::diffusion {

// D(x, sigma) -> x0. x = x0 + sigma * eps with eps ~ N(0, 1) (variance-exploding scale, Karras et
// al. 2022), so that models of different schedules and parameterisations meet at equal sigma. sigma
// > 0 is a host double: choosing by noise level costs no device synchronisation. The result has x's
// shapes and dtypes. A call leaves no state behind that the next call could see.
using Denoiser = std::function<Latents(const Latents& x, double sigma)>;

}  // namespace pangu::diffusion
