// Draws a cooperation: each stage has one denoiser of all its members, and the stages run one after
// another.
#include <torch/types.h>

#include <algorithm>
#include <list>
#include <optional>

#include "core/error.h"
#include "diffusion/samplers/samplers.h"
#include "pipeline/canvas.h"
#include "pipeline/coop/coop.h"
#include "pipeline/denoising.h"
#include "pipeline/feature_reuse.h"

namespace pangu::pipeline {
namespace {

using Shapes = std::vector<std::vector<int64_t>>;

Shapes shapes_of(const CoopStage& stage) {
  Shapes shapes;
  for (const Member& m : stage.members) {
    shapes.push_back(
        {m.end.channels, m.end.height / m.end.downscale, m.end.width / m.end.downscale});
  }
  return shapes;
}

// What a member's denoiser refers to while it draws.
struct Prepared {
  diffusion::Plan plan;
  Canvas canvas;
  ReadPrompts prompts;
  std::optional<Job> job;
};

using PreparedStage = std::list<Prepared>;  // a list, because elements must not move

// A member's pictures, replaced by those that a wish brings.
Pictures pictures_of(const Member& member, const CoopWish& wish) {
  Pictures pictures = member.pictures;
  const auto found = wish.pictures.find(member.name);
  if (found == wish.pictures.end()) return pictures;
  if (!found->second.controls.empty()) {
    if (found->second.controls.size() != pictures.controls.size()) {
      throw bad_input("member '" + member.name + "', control pictures",
                      std::to_string(pictures.controls.size()),
                      std::to_string(found->second.controls.size()));
    }
    pictures.controls = found->second.controls;
  }
  if (found->second.prompt) pictures.prompt = found->second.prompt;
  return pictures;
}

// Joins the conditions of single pictures into those of one batch: row r of picture p becomes row r
// * count + p.
ReadPrompts joined(const std::vector<ReadPrompts>& each) {
  const auto count = static_cast<int64_t>(each.size());
  if (count == 1) return each.front();
  ReadPrompts all;
  all.prompt_count = count;
  // Who reads a picture reads one for the whole drawing.
  all.phases = each.front().phases;
  all.sets.emplace_back();
  for (size_t side = 0; side < each.front().sets.front().size(); ++side) {
    std::vector<Conditions> parts;
    for (const ReadPrompts& one : each) parts.push_back(one.sets.front()[side]);
    all.sets.front().push_back(diffusion::interleaved(parts));
  }
  return all;
}

// Joins the control pictures of single canvases, one row for each picture; everything else is taken
// from the first.
Canvas joined(std::vector<Canvas> each) {
  Canvas all = each.front();
  if (each.size() == 1) return all;
  const auto rows = [&](const auto& tensor_of) {
    std::vector<at::Tensor> parts;
    for (const Canvas& one : each) parts.push_back(tensor_of(one));
    return at::cat(parts);
  };
  for (size_t i = 0; i < all.hints.size(); ++i) {
    all.hints[i] = rows([&](const Canvas& one) { return one.hints[i]; });
  }
  if (all.control.defined()) all.control = rows([](const Canvas& one) { return one.control; });
  return all;
}

// wishes: those of one batch; empty: a batch of the recipe itself.
void prepare(Prepared& p, const Cooperation& coop, const Member& member,
             const std::vector<CoopWish>& wishes, Stopwatch& timed, HeldExperts& held) {
  const Model& model = *member.model;
  p.plan = diffusion::make_plan(coop.sigmas, model.denoising.schedule, model.denoising.boundaries,
                                model.quirks.lag_switch);
  mark_reuse(p.plan, member.request);
  load_text_sides(model, timed);
  load_denoisers(model, p.plan, timed);
  std::vector<Pictures> pictures;
  for (const CoopWish& wish : wishes) pictures.push_back(pictures_of(member, wish));
  if (wishes.empty()) pictures.push_back(member.pictures);
  std::vector<Canvas> canvases;
  for (const Pictures& one : pictures) {
    canvases.push_back(timed(
        "encode pictures", [&] { return make_canvas(model, member.request, one, timed.watch()); }));
  }
  p.canvas = joined(std::move(canvases));
  p.job.emplace(Job{model, member.request, p.plan, p.canvas, timed, held});
  std::vector<std::vector<std::string>> of_each;
  for (const CoopWish& wish : wishes) {
    Request own = member.request;
    if (!member.own_prompt) own.prompt = wish.prompt;
    validate(own, model.rules);
    of_each.push_back(prompts_of(model, own));
  }
  if (wishes.empty()) of_each.push_back(prompts_of(model, member.request));
  if (!model.quirks.reads_picture) {
    p.prompts = read_prompts(*p.job, of_each, {});
    return;
  }
  std::vector<ReadPrompts> each;
  for (size_t i = 0; i < pictures.size(); ++i) {
    each.push_back(read_prompts(*p.job, {of_each[i]}, picture_prompt(model, pictures[i])));
  }
  p.prompts = joined(each);
}

diffusion::CoopOptions options_of(const Cooperation& coop, const CoopStage& stage) {
  diffusion::CoopOptions options;
  options.form = diffusion::coop_form_from(coop.recipe.form);
  options.bridge_every = coop.recipe.bridge_every;
  const auto level = [&](double share) {
    return coop.sigmas[diffusion::step_of_share(coop.sigmas, share)];
  };
  if (coop.recipe.bridge_from > 0.0) {
    options.bridge_sigma_high = diffusion::just_above(level(coop.recipe.bridge_from));
  }
  if (coop.recipe.bridge_to < 1.0) {
    options.bridge_sigma_low = diffusion::just_above(level(coop.recipe.bridge_to));
  }
  // A sampler with several calls a step calls at the last level also in the step to it, and a stage
  // that hands its noise on needs every member's latent there.
  const bool keeps_noise =
      coop.handoff == diffusion::Handoff::kKeepNoise && stage.sigmas.back() > 0.0;
  if (!keeps_noise && diffusion::find_sampler(*coop.request.sampler).calls_per_step == 1) {
    options.lowest_sigma =
        stage.sigmas.back() > 0.0 ? stage.sigmas.back() : stage.sigmas[stage.sigmas.size() - 2];
  }
  return options;
}

diffusion::Denoiser fused(const Cooperation& coop, const CoopStage& stage,
                          const PreparedStage& prepared, int64_t batch, Stopwatch& timed,
                          const OnGuess& on_guess) {
  std::vector<diffusion::CoopMember> members;
  auto p = prepared.begin();
  for (const Member& m : stage.members) {
    members.push_back({m.name, denoiser_of(*p->job, p->prompts, batch, {}), m.weight, m.mask});
    ++p;
  }
  if (members.size() == 1) return members.front().denoise;
  for (size_t k = 0; on_guess && k < members.size(); ++k) {
    members[k].denoise = [&on_guess, &member = stage.members[k], denoise = members[k].denoise](
                             const diffusion::Latents& x, double sigma) {
      const diffusion::Latents x0 = denoise(x, sigma);
      on_guess(member, sigma, x0.one());
      return x0;
    };
  }
  const diffusion::Bridge bridge = [&stage, &timed](size_t from, size_t to, const at::Tensor& x0) {
    const PickedBridge& picked = stage.bridges[from][to];
    if (picked.kind == BridgeKind::kIdentity) return picked.cross(x0);
    return timed("bridge " + stage.members[from].name + " to " + stage.members[to].name,
                 [&] { return picked.cross(x0); });
  };
  return diffusion::fuse(std::move(members), bridge, options_of(coop, stage));
}

// Returns the latents to start from in every member's space: noise, or the picture to start from
// plus noise.
diffusion::Latents start_of(const CoopStage& stage, const PreparedStage& prepared, int64_t batch,
                            bool draws, diffusion::ImageNoise& noise) {
  const double sigma = stage.sigmas.front();
  at::Tensor hub_z0;
  if (prepared.front().canvas.init) {
    hub_z0 = sample_of(*prepared.front().canvas.init, batch, draws, noise);
  }
  diffusion::Latents x = noise.next_tuple(shapes_of(stage));
  auto p = prepared.begin();
  for (size_t k = 0; k < x.size(); ++k, ++p) {
    if (!p->canvas.init) {
      x.parts[k] = x[k] / stage.members[k].model->denoising.schedule.input_scale(sigma);
    } else {
      x.parts[k] = (k == 0 ? hub_z0 : p->canvas.init->mean) + x[k] * sigma;
    }
  }
  return x;
}

using PreparedStages = std::list<PreparedStage>;

PreparedStages prepared(const Cooperation& coop, const std::vector<CoopWish>& wishes,
                        Stopwatch& timed, HeldExperts& held) {
  PreparedStages stages;
  for (const CoopStage& stage : coop.stages) {
    PreparedStage& ready = stages.emplace_back();
    for (const Member& m : stage.members)
      prepare(ready.emplace_back(), coop, m, wishes, timed, held);
  }
  return stages;
}

int steps_of(const Cooperation& coop) {
  size_t count = 0;
  for (const CoopStage& stage : coop.stages) count += stage.sigmas.size() - 1;
  return static_cast<int>(count);
}

// Draws one of several batches and gives its pictures to `take`.
void draw_batch(const Cooperation& coop, const PreparedStages& stages,
                const std::vector<uint64_t>& seeds, const DrawHooks& hooks, int batch_number,
                int batch_count, Stopwatch& timed, const TakePicture& take,
                const OnGuess& on_guess = {}) {
  const auto batch = static_cast<int64_t>(seeds.size());
  const auto kind = diffusion::noise_kind_from(*coop.request.noise);
  diffusion::ImageNoise noise(kind, seeds);
  diffusion::Latents x = start_of(coop.stages.front(), stages.front(), batch,
                                  kind == diffusion::NoiseKind::kTorchCpu, noise);
  std::vector<diffusion::Stage> run;
  size_t first_step = coop.first_step;
  auto ready = stages.begin();
  for (size_t s = 0; s < coop.stages.size(); ++s, ++ready) {
    const CoopStage& stage = coop.stages[s];
    diffusion::Latents like;
    for (auto shape : shapes_of(stage)) {
      shape.insert(shape.begin(), batch);
      like.parts.push_back(at::empty(shape, at::kFloat));
    }
    // The denoiser is made anew for every batch, because it remembers bridged guesses.
    const auto denoise = fused(coop, stage, *ready, batch, timed, on_guess);
    diffusion::Stage piece{denoise, stage.sigmas, noise.steps(like, {s, first_step}), {}, {}};
    first_step += stage.sigmas.size() - 1;
    piece.carry = [&stage](const diffusion::Latents& x0) {
      diffusion::Latents carried;
      for (const PickedBridge& bridge : stage.carries) {
        carried.parts.push_back(bridge.cross(x0[0]));
      }
      return carried;
    };
    if (s + 1 < coop.stages.size()) {
      piece.fresh_noise = [&noise, shapes = shapes_of(coop.stages[s + 1])](const auto&) {
        return noise.next_tuple(shapes);
      };
    }
    run.push_back(std::move(piece));
  }
  const int step_count = steps_of(coop);
  const auto report_step = [&](int step) {
    hooks.watch.report(
        {.done = batch_number * step_count + step, .total = batch_count * step_count, .text = ""});
  };
  report_step(0);
  x = diffusion::sample_stages(
      diffusion::find_sampler(*coop.request.sampler), run, std::move(x), coop.handoff,
      [&](const diffusion::StepInfo& info) {
        if (hooks.on_latents) hooks.on_latents(info);
        report_step(static_cast<int>(info.step) + 1);
        return true;
      },
      sampler_options(*coop.hub, coop.request));
  decode_all(*stages.back().front().job, x[0], take);
}

}  // namespace

Drawing draw(const Cooperation& coop, const DrawHooks& hooks, const OnGuess& on_guess) {
  const at::NoGradGuard no_grad;
  return drawn([&](Drawing& drawing) {
    Stopwatch timed(drawing.timings, hooks.watch);
    HeldExperts held;
    const TakePicture take = taker_of(hooks, drawing);
    const PreparedStages stages = prepared(coop, {}, timed, held);
    for (int i = 0; i < coop.request.count; ++i) {
      draw_batch(coop, stages, {*coop.request.seed + static_cast<uint64_t>(i)}, hooks, i,
                 coop.request.count, timed, take, on_guess);
    }
  });
}

Drawing draw_each(const Cooperation& coop, const std::vector<CoopWish>& wishes, int at_once,
                  const DrawHooks& hooks) {
  const at::NoGradGuard no_grad;
  return drawn([&](Drawing& drawing) {
    Stopwatch timed(drawing.timings, hooks.watch);
    HeldExperts held;
    const TakePicture take = taker_of(hooks, drawing);
    const size_t group = static_cast<size_t>(std::max(1, at_once));
    const size_t batches = (wishes.size() + group - 1) / group;
    for (size_t b = 0; b < batches; ++b) {
      const size_t first = b * group, end = std::min(first + group, wishes.size());
      const std::vector<CoopWish> batch(wishes.begin() + static_cast<ptrdiff_t>(first),
                                        wishes.begin() + static_cast<ptrdiff_t>(end));
      std::vector<uint64_t> seeds;
      for (const CoopWish& wish : batch) seeds.push_back(wish.seed);
      const PreparedStages stages = prepared(coop, batch, timed, held);
      draw_batch(coop, stages, seeds, hooks, static_cast<int>(b), static_cast<int>(batches), timed,
                 take);
    }
  });
}

}  // namespace pangu::pipeline
