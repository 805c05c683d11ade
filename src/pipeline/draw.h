// Prompt -> pictures, the one way: plan, noise, guided and routed denoiser, sampler, decoder. Knows
// no file layout (model.h) and no flag.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/watch.h"
#include "diffusion/experts.h"
#include "diffusion/samplers/samplers.h"
#include "image/image.h"
#include "pipeline/canvas.h"
#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

struct DrawHooks {
  // Nothing is drawn with the model after this, and nobody else draws with it: networks are let go
  // of when they have done their part, so that those of later parts find room.
  bool last = false;
  // Stops whatever the drawing is at. It is told the steps of the sampler, over all batches, before
  // the first and after every one.
  Watch watch;
  // After every step, before the watch: the latents of the batch, one part a member (coop.h; the
  // members of the stage in their order, the hub first), and the guess that made them. Of this call
  // only: clone what is kept.
  std::function<void(const diffusion::StepInfo&)> on_latents;
  // Takes every picture as soon as it is done, counted from 0. Drawing::pictures then stays empty,
  // so that many pictures take no more memory than those of a batch.
  std::function<void(int index, image::Image picture)> on_picture;
};

// Seconds by phase, in order of first use: "load text encoder", "text encoder", "load structure",
// "structure", ..., "decode".
using Timings = std::vector<std::pair<std::string, double>>;

struct Drawing {
  // request.count of them, fewer if it was stopped; none if DrawHooks::on_picture took them.
  std::vector<image::Image> pictures;
  bool stopped = false;  // as DrawHooks::watch wanted
  Timings timings;
};

// request: resolved. Which expert serves which sigma, from where image-to-image begins; draws
// nothing.
diffusion::Plan plan_of(const Model& model, const Request& request);

// Pictures of one request that are drawn in the same forwards.
struct Batch {
  int first = 0, count = 1;
};

// Those that are drawn with picture `index` of a resolved request: a function of request and model
// alone, not of the machine, so that a picture's last bits can be had again anywhere.
Batch batch_of(const Model& model, const Request& request, int index);

// request: resolved (request.h), else Error kInternal; `pictures` are the pixels of its files.
// Picture i has the seed request.seed + i, and is that of a drawing of its own up to the rounding
// of larger batches: 0.001 of 255 on average in f32 and 0.05 in bf16 (docs/models.md).
Drawing draw(const Model& model, const Request& request, const DrawHooks& hooks = {},
             const Pictures& pictures = {});

// A picture of its own prompt.
struct Wish {
  std::string prompt;
  uint64_t seed = 0;
};

// A picture for every wish, in their order, `at_once` of them in one forward: many small pictures
// of different prompts cost less together. `shared` (resolved) says all the rest; its prompt, seed
// and count are not read. Picture i is `draw`'s of the same prompt and seed, up to the rounding of
// larger batches; its last bits may depend on its neighbours. Fewer pictures if it was stopped.
Drawing draw_each(const Model& model, const Request& shared, const std::vector<Wish>& wishes,
                  int at_once, const DrawHooks& hooks = {});

}  // namespace pangu::pipeline
