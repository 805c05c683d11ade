#include "pipeline/draw.h"

#include <torch/types.h>

#include <algorithm>
#include <utility>

#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "pipeline/coop/hires.h"
#include "pipeline/denoising.h"
#include "pipeline/feature_reuse.h"
#include "tensors/large_blocks.h"

namespace pangu::pipeline {
namespace {

// Latents of one of several batches. The order of the noise draws is that of diffusers' pipelines:
// the encoder's sample, the noise itself, the masked picture's sample.
at::Tensor sample_batch(const Job& job, const ReadPrompts& prompts,
                        const std::vector<uint64_t>& seeds, const DrawHooks& hooks,
                        int batch_number, int batch_count) {
  const Model& model = job.model;
  const Canvas& canvas = job.canvas;
  const int64_t batch = static_cast<int64_t>(seeds.size());
  const std::vector<int64_t> shape = {model.latents.channels,
                                      *job.request.height / model.latents.downscale,
                                      *job.request.width / model.latents.downscale};
  const auto kind = diffusion::noise_kind_from(*job.request.noise);
  diffusion::ImageNoise noise(kind, seeds);
  // The generator that others share with the encoder's posterior; ours takes its mean.
  const bool draws = kind == diffusion::NoiseKind::kTorchCpu;
  const diffusion::SigmaList sigmas = job.plan.sigmas();
  // Image-to-image keeps a trace of its picture even at full strength; behind a mask nothing stays.
  const bool starts_from_noise =
      !canvas.init || (canvas.mask.defined() && *job.request.strength == 1.0);
  const bool blends = canvas.mask.defined() && model.denoising.extra_channels == 0;
  const double input_scale = model.denoising.schedule.input_scale(sigmas.front());

  at::Tensor z0;
  if (canvas.init && (blends || !starts_from_noise)) {
    z0 = sample_of(*canvas.init, batch, draws, noise);
  }
  const at::Tensor start = noise.next(shape);
  at::Tensor x = start / input_scale;  // unit variance in the network's own scale
  if (!starts_from_noise) x = z0 + start * sigmas.front();
  if (blends && starts_from_noise) {
    x = x * canvas.mask + (z0 + start * sigmas.front()) * (1 - canvas.mask);
  }
  at::Tensor extra;
  if (canvas.masked) {
    extra = at::cat({canvas.hard_mask.expand({batch, -1, -1, -1}),
                     sample_of(*canvas.masked, batch, draws, noise)},
                    1);
  }

  auto denoise = denoiser_of(job, prompts, batch, extra);
  if (blends) {
    denoise = keep_outside(denoise, z0, canvas.mask, starts_from_noise ? sigmas.front() : 0.0,
                           input_scale);
  }
  const int step_count = static_cast<int>(job.plan.steps.size());
  const auto tell = [&](int step) {
    hooks.watch.report(
        {.done = batch_number * step_count + step, .total = batch_count * step_count, .text = ""});
  };
  tell(0);
  const diffusion::Latents latents(x);
  const diffusion::Latents result =
      diffusion::find_sampler(*job.request.sampler)
          .sample(
              denoise, latents, sigmas, noise.steps(latents, {.first_step = job.plan.first_step}),
              [&](const diffusion::StepInfo& info) {
                if (hooks.on_latents) hooks.on_latents(info);
                tell(static_cast<int>(info.step) + 1);
                return true;
              },
              sampler_options(model, job.request));
  if (!blends || sigmas.back() == 0.0) return result.one();
  // What stays of the picture stays without the noise of the last level.
  const at::Tensor kept = z0 / model.denoising.schedule.input_scale(sigmas.back());
  return result.one() * canvas.mask + kept * (1 - canvas.mask);
}

void release_text_sides(const Model& model) {
  for (const TextSide& side : model.denoising.text_sides) {
    if (side.release) side.release();
  }
  tensors::let_go_of_kept_blocks();
}

void release_experts(const Job& job) {
  job.held.let_go();
  if (job.model.denoising.release) job.model.denoising.release();
  tensors::let_go_of_kept_blocks();
}

}  // namespace

diffusion::Plan plan_of(const Model& model, const Request& request) {
  const diffusion::Sampler& sampler = diffusion::find_sampler(*request.sampler);
  diffusion::SigmaOptions options = model.denoising.sigma_options;
  options.timestep_rule = sampler.timestep_rule;
  options.ends_of_timesteps =
      options.linear_interpolation && options.timestep_rule == diffusion::TimestepRule::kEuler;
  if (request.spacing) options.spacing = diffusion::spacing_from(*request.spacing);
  const auto end = std::exchange(options.final_sigma, diffusion::FinalSigma::kZero);
  auto sigmas =
      diffusion::make_sigmas(*request.schedule, model.denoising.schedule, *request.steps, options);
  const size_t whole = sigmas.size();
  if (!request.init_image.empty()) sigmas = diffusion::tail_of(sigmas, *request.strength);
  const size_t first_step = whole - sigmas.size();
  if (end == diffusion::FinalSigma::kSigmaMin && sampler.ends_as_configured &&
      diffusion::find_sigma_rule(*request.schedule).of_timesteps) {
    sigmas = diffusion::ending_at(std::move(sigmas), model.denoising.schedule.sigma_min());
  }
  auto plan = diffusion::make_plan(sigmas, model.denoising.schedule, model.denoising.boundaries,
                                   model.quirks.lag_switch);
  plan.first_step = first_step;
  mark_reuse(plan, request);
  return plan;
}

Batch batch_of(const Model& model, const Request& request, int index) {
  if (request.hires_scale > 1.0) return {index, 1};
  const int64_t h = *request.height / model.latents.downscale,
                w = *request.width / model.latents.downscale;
  const int64_t rows = 2 + static_cast<int64_t>(request.styles.size());  // of guidance
  const int64_t fit = model.denoising.latent_pixels_a_forward / std::max<int64_t>(1, rows * h * w);
  const int at_once = static_cast<int>(std::clamp<int64_t>(fit, 1, request.count));
  const int first = index / at_once * at_once;
  return {first, std::min(at_once, request.count - first)};
}

Drawing draw(const Model& model, const Request& request, const DrawHooks& hooks,
             const Pictures& pictures) {
  validate(request, model.rules);
  if (request.hires_scale > 1.0) {
    return draw(hires_of(model, request, pictures, hooks.watch), hooks);
  }
  const at::NoGradGuard no_grad;
  return drawn([&](Drawing& drawing) {
    Stopwatch timed(drawing.timings, hooks.watch);
    HeldExperts held;
    const TakePicture take = taker_of(hooks, drawing);
    const diffusion::Plan plan = plan_of(model, request);
    load_text_sides(model, timed);
    const Canvas canvas = timed("encode pictures",
                                [&] { return make_canvas(model, request, pictures, hooks.watch); });
    const Job job{model, request, plan, canvas, timed, held};
    const ReadPrompts prompts =
        read_prompts(job, {prompts_of(model, request)}, picture_prompt(model, pictures));
    if (hooks.last) release_text_sides(model);
    load_denoisers(model, plan, timed);

    const int at_once = batch_of(model, request, 0).count;
    const int batches = (request.count + at_once - 1) / at_once;
    for (int batch = 0; batch < batches; ++batch) {
      const Batch pictures_of_batch = batch_of(model, request, batch * at_once);
      std::vector<uint64_t> seeds;
      for (int i = 0; i < pictures_of_batch.count; ++i) {
        seeds.push_back(*request.seed + static_cast<uint64_t>(pictures_of_batch.first + i));
      }
      const at::Tensor latents = sample_batch(job, prompts, seeds, hooks, batch, batches);
      if (hooks.last && batch + 1 == batches) release_experts(job);
      decode_all(job, latents, take);
    }
  });
}

Drawing draw_each(const Model& model, const Request& shared, const std::vector<Wish>& wishes,
                  int at_once, const DrawHooks& hooks) {
  validate(shared, model.rules);
  const at::NoGradGuard no_grad;
  return drawn([&](Drawing& drawing) {
    Stopwatch timed(drawing.timings, hooks.watch);
    HeldExperts held;
    const TakePicture take = taker_of(hooks, drawing);
    const diffusion::Plan plan = plan_of(model, shared);
    load_text_sides(model, timed);
    load_denoisers(model, plan, timed);
    const Canvas canvas = make_canvas(model, shared, {}, hooks.watch);
    const Job job{model, shared, plan, canvas, timed, held};
    const int all = static_cast<int>(wishes.size());
    const int group = std::max(1, at_once), batches = (all + group - 1) / group;
    for (int batch = 0; batch < batches; ++batch) {
      const int first = batch * group, count = std::min(group, all - first);
      std::vector<uint64_t> seeds;
      std::vector<std::vector<std::string>> of_each;
      for (int i = first; i < first + count; ++i) {
        Request one = shared;
        one.prompt = wishes[i].prompt;
        validate(one, model.rules);
        of_each.push_back(prompts_of(model, one));
        seeds.push_back(wishes[i].seed);
      }
      const ReadPrompts prompts = read_prompts(job, of_each, {});
      decode_all(job, sample_batch(job, prompts, seeds, hooks, batch, batches), take);
    }
  });
}

}  // namespace pangu::pipeline
