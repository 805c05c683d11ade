#include "pipeline/denoising.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>

#include "core/error.h"
#include "diffusion/consistency.h"
#include "diffusion/guidance.h"
#include "pipeline/feature_reuse.h"
#include "pipeline/upscaler.h"
#include "tensors/large_blocks.h"
#include "tensors/pictures.h"
#include "text/prompt.h"
#include "text/prompt_schedule.h"

namespace pangu::pipeline {
namespace {

// joined: ReadPrompts::joined_weights. The parts of a joined prompt add scale * w (e(part) - e(0)),
// as in composable diffusion (Liu et al. 2022). With the sum W of the weights that is guidance of
// scale * W towards the first part, and that of a style of scale * w towards each other part.
diffusion::Guidance guidance_of(const Request& request, const Expert& expert,
                                const std::vector<double>& joined) {
  diffusion::Guidance g;
  g.scale = expert.reads_guidance ? 1.0 : *request.guidance;
  for (const std::string& style : request.styles) {
    g.style_scales.push_back(style_use_from(style).scale.value_or(*request.style_scale));
  }
  for (size_t part = 1; part < joined.size(); ++part) {
    g.style_scales.push_back(g.scale * joined[part]);
  }
  if (!joined.empty()) g.scale *= std::accumulate(joined.begin(), joined.end(), 0.0);
  g.rescale = request.guidance_rescale;
  g.sigma_low = *request.guidance_low;
  g.sigma_high = request.guidance_high;
  return g;
}

// What a control picture adds, and at which noise levels.
struct TimedControl {
  double weight;
  diffusion::SigmaWindow window;

  double at(double sigma) const { return window.contains(sigma) ? weight : 0.0; }
};

std::vector<TimedControl> controls_of(const Request& request, const diffusion::Plan& plan) {
  std::vector<TimedControl> controls;
  for (const ControlUse& use : request.controls) {
    controls.push_back({use.weight, plan.window(use.from, use.to)});
  }
  return controls;
}

// One picture for all rows, or one for each image of a batch, whose rows repeat as guidance's do.
at::Tensor for_rows(const at::Tensor& pictures, int64_t row_count) {
  const int64_t images = pictures.size(0);
  return images == 1 ? pictures : pictures.repeat({row_count / images, 1, 1, 1});
}

// shallow_states: as in Control::predict.
Residuals control_residuals(const Job& job, const std::vector<TimedControl>& uses,
                            const at::Tensor& x_net, const diffusion::NetLevel& level,
                            const Conditions& conditions, int64_t shallow_states) {
  Residuals sum;
  for (size_t i = 0; i < job.model.denoising.controls.size(); ++i) {
    if (!uses[i].window.contains(level.sigma)) continue;
    const Control& control = job.model.denoising.controls[i];
    const at::Tensor hint = for_rows(job.canvas.hints[i], x_net.size(0));
    sum.add(job.timed(control.name,
                      [&] {
                        return control.predict(x_net, level.t_index, conditions, hint,
                                               shallow_states, job.timed.watch());
                      }),
            uses[i].weight);
  }
  return sum;
}

// What one expert is told of the rows that guidance asks for: made once in a drawing for each
// choice of rows and each state of the prompts, not once for every step. It refers to its
// arguments.
class RowInputs {
 public:
  RowInputs(const Job& job, const Expert& expert, const ReadPrompts& prompts, int64_t batch)
      : job_(job), expert_(expert), prompts_(prompts), batch_(batch) {}

  const NetInputs& of(const std::vector<int>& chosen, double sigma) {
    const size_t set = prompts_.set_at(sigma);
    const auto known = made_.find({set, chosen});
    if (known != made_.end()) return known->second;
    NetInputs inputs;
    inputs.conditions = prompts_.rows(set, expert_.text_side, chosen, batch_);
    if (expert_.reads_guidance) {
      const int64_t rows = static_cast<int64_t>(chosen.size()) * batch_;
      inputs.conditions.guidance = at::full({rows}, *job_.request.guidance, at::kFloat);
    }
    if (expert_.prepare) {
      inputs.prepared = job_.timed(
          expert_.name, [&] { return expert_.prepare(inputs.conditions, job_.timed.watch()); });
    }
    return made_.emplace(std::pair(set, chosen), std::move(inputs)).first->second;
  }

 private:
  const Job& job_;
  const Expert& expert_;
  const ReadPrompts& prompts_;
  int64_t batch_;
  std::map<std::pair<size_t, std::vector<int>>, NetInputs> made_;
};

// What the features of one expert's network depend on at a noise level (feature_reuse.h).
Situation situation_at(double sigma, const ReadPrompts& prompts,
                       const std::vector<TimedControl>& controls) {
  Situation situation = {prompts.set_at(sigma)};
  for (const TimedControl& control : controls) situation.push_back(control.window.contains(sigma));
  return situation;
}

// Networks answer finite numbers (families/networks.h); what leaves their range is then the sum.
void check_latents(const at::Tensor& latents) {
  if (latents.isfinite().all().item<bool>()) return;
  throw bad_input("latents", "finite numbers", "a not-a-number or an infinity",
                  "guidance, a style's scale or a control's weight may be far too large");
}

// The guided denoiser of every expert for a batch of images.
std::vector<diffusion::Denoiser> experts_of(const Job& job, const ReadPrompts& prompts,
                                            int64_t batch, const at::Tensor& extra_channels) {
  const std::vector<TimedControl> controls = controls_of(job.request, job.plan);
  const FeatureReuse reuse = reuse_of(job.request, job.model.rules);
  std::vector<diffusion::Denoiser> experts;
  for (size_t e = 0; e < job.model.denoising.experts.size(); ++e) {
    const Expert& expert = job.model.denoising.experts[e];
    const auto rows = std::make_shared<RowInputs>(job, expert, prompts, batch);
    const auto kept =
        reuse.interval > 1 ? std::make_shared<KeptFeatures>(reuse, job.plan) : nullptr;
    experts.push_back(diffusion::guide(
        [&job, e, &expert, &prompts, rows, kept, extra_channels, controls](
            const at::Tensor& x, const diffusion::NetLevel& level, const std::vector<int>& chosen) {
          job.held.hold(job.model, e, job.timed);
          check_latents(x);
          const int64_t r = static_cast<int64_t>(chosen.size());
          const at::Tensor x_net = x.repeat({r, 1, 1, 1});
          NetInputs inputs = rows->of(chosen, level.sigma);
          at::Tensor& extra = inputs.conditions.extra_channels;
          if (extra_channels.defined()) extra = extra_channels.repeat({r, 1, 1, 1});
          if (job.canvas.control.defined()) {
            // All black where the control does not act.
            const at::Tensor control = job.canvas.control * controls.front().at(level.sigma);
            extra = for_rows(control, x_net.size(0)).expand({x_net.size(0), -1, -1, -1});
          }
          nn::DeepFeatures deep;
          Situation situation;
          if (kept) {
            situation = situation_at(level.sigma, prompts, controls);
            deep = kept->at(level.sigma, level.t_index, chosen, situation);
            inputs.deep = &deep;
          }
          const bool is_whole = !deep.state.defined();
          inputs.residuals = control_residuals(job, controls, x_net, level, inputs.conditions,
                                               is_whole ? 0 : deep.depth);
          at::Tensor prediction = job.timed(expert.name, [&] {
            return expert.predict(x_net, level.t_index, inputs, job.timed.watch());
          });
          if (kept && is_whole) {
            kept->keep(deep, level.sigma, level.t_index, chosen, situation);
          }
          return prediction;
        },
        job.model.denoising.parameterisation, job.model.denoising.schedule,
        guidance_of(job.request, expert, prompts.joined_weights)));
  }
  return experts;
}

bool reads_syntax(const Model& model) {
  const auto& sides = model.denoising.text_sides;
  return std::any_of(sides.begin(), sides.end(),
                     [](const TextSide& side) { return side.reads_syntax; });
}

// Parts the prompt of one picture at AND: its row, and those of its styles, keep the first part,
// the others get rows at the end. Returns the weights, or nothing if there is no AND.
std::vector<double> part_at_and(std::vector<std::string>& rows) {
  const auto parts = text::joined_prompts(rows[diffusion::kCondRow]);
  if (parts.size() == 1) return {};
  for (size_t row = diffusion::kCondRow; row < rows.size(); ++row) {
    rows[row] = text::joined_prompts(rows[row]).front().prompt;
  }
  std::vector<double> weights;
  for (const text::JoinedPrompt& part : parts) {
    if (!weights.empty()) rows.push_back(part.prompt);
    weights.push_back(part.weight);
  }
  return weights;
}

template <class Part>
void load_part(const std::string& name, const Part& part, Stopwatch& timed) {
  timed("load " + name, [&] { part.load(timed.watch()); });
}

// All prompts as they are down to a noise level.
struct PromptState {
  double sigma_low = 0.0;
  std::vector<std::string> prompts;
};

// From most noise to least; one where no prompt changes.
std::vector<PromptState> states_of(const Job& job, const std::vector<std::string>& written) {
  if (!reads_syntax(job.model)) return {{0.0, written}};
  const int steps = static_cast<int>(job.plan.steps.size());
  std::vector<std::vector<text::PromptPhase>> phases;
  std::set<int> ends;
  for (const std::string& prompt : written) {
    phases.push_back(text::prompt_phases(text::extract_networks(prompt).prompt, steps));
    for (const text::PromptPhase& phase : phases.back()) ends.insert(phase.end_step);
  }
  std::vector<PromptState> states;
  for (const int end : ends) {
    PromptState state;
    if (end < steps) state.sigma_low = job.plan.window(0.0, static_cast<double>(end) / steps).low;
    for (const auto& of_prompt : phases) {
      const auto now = std::find_if(of_prompt.begin(), of_prompt.end(),
                                    [&](const auto& phase) { return phase.end_step >= end; });
      state.prompts.push_back(now->prompt);
    }
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace

diffusion::SamplerOptions sampler_options(const Model& model, const Request& request) {
  diffusion::SamplerOptions options;
  options.eta = request.eta;
  options.s_noise = request.s_noise;
  options.order = request.sampler_order;
  options.variable = model.denoising.schedule.path_variable();
  return options;
}

void HeldExperts::hold(const Model& model, size_t expert, Stopwatch& timed) {
  const Expert& wanted = model.denoising.experts[expert];
  if (!wanted.hold) return;
  const auto own = held_.find(&model);
  if (own != held_.end() && own->second.expert == expert) return;
  if (own != held_.end()) held_.erase(own);
  const auto hold = timed("load " + wanted.name, [&] {
    auto at_once = wanted.hold(/*waits=*/false, timed.watch());
    if (at_once) return at_once;
    let_go();
    return wanted.hold(/*waits=*/true, timed.watch());
  });
  held_[&model] = {expert, hold};
}

std::vector<std::string> prompts_of(const Model& model, const Request& request) {
  std::vector<std::string> prompts = {request.negative, request.prompt};
  for (const std::string& style : request.styles) {
    prompts.push_back(styled_prompt(model, style_use_from(style).words, request.prompt));
  }
  return prompts;
}

ReadPrompts read_prompts(const Job& job, const std::vector<std::vector<std::string>>& of_each,
                         const at::Tensor& picture_prompt) {
  PromptRows rows;
  rows.width = *job.request.width;
  rows.height = *job.request.height;
  rows.clip_skip = job.request.clip_skip;
  rows.picture = picture_prompt;
  std::vector<std::string> written;
  for (size_t row = 0; row < of_each.front().size(); ++row) {
    for (const auto& own : of_each) written.push_back(own[row]);
  }
  ReadPrompts read;
  read.prompt_count = static_cast<int64_t>(of_each.size());
  if (of_each.size() == 1 && reads_syntax(job.model)) read.joined_weights = part_at_and(written);
  rows.negative.assign(written.size(), false);
  std::fill_n(rows.negative.begin(), of_each.size(), true);  // diffusion::kUncondRow
  const auto& sides = job.model.denoising.text_sides;
  if (job.timed.watch().on_warning) {
    for (const TextSide& side : sides) {
      if (side.review) side.review(written, job.timed.watch());
    }
  }
  std::map<std::vector<std::string>, size_t> known;
  for (const PromptState& state : states_of(job, written)) {
    const auto [found, is_new] = known.try_emplace(state.prompts, read.sets.size());
    read.phases.push_back({state.sigma_low, found->second});
    if (!is_new) continue;
    rows.prompts = state.prompts;
    read.sets.emplace_back();
    for (const TextSide& side : sides) {
      read.sets.back().push_back(
          job.timed("text encoder", [&] { return side.encode(rows, job.timed.watch()); }));
    }
  }
  return read;
}

diffusion::Denoiser denoiser_of(const Job& job, const ReadPrompts& prompts, int64_t batch,
                                const at::Tensor& extra_channels) {
  auto experts = experts_of(job, prompts, batch, extra_channels);
  // A consistency model's guess is bent at its boundary.
  if (diffusion::find_sampler(*job.request.sampler).consistency) {
    for (auto& expert : experts) {
      expert = diffusion::consistency(expert, job.model.denoising.schedule);
    }
  }
  return experts.size() == 1 ? experts.front()
                             : diffusion::route_by_sigma(experts, job.plan.boundaries);
}

at::Tensor sample_of(const Posterior& posterior, int64_t batch, bool draws,
                     diffusion::ImageNoise& noise) {
  const at::Tensor mean = posterior.mean.expand({batch, -1, -1, -1});
  if (!draws) return mean;
  return mean + posterior.std * noise.next(posterior.mean[0].sizes().vec());
}

void load_text_sides(const Model& model, Stopwatch& timed) {
  for (const TextSide& side : model.denoising.text_sides) load_part("text encoder", side, timed);
}

void load_denoisers(const Model& model, const diffusion::Plan& plan, Stopwatch& timed) {
  const Denoising& d = model.denoising;
  for (const Control& control : d.controls) load_part(control.name, control, timed);
  for (size_t e = 0; e < d.experts.size(); ++e) {
    if (plan.steps_of(e) > 0) load_part(d.experts[e].name, d.experts[e], timed);
  }
  // What was converted on the way.
  tensors::let_go_of_kept_blocks();
}

TakePicture taker_of(const DrawHooks& hooks, Drawing& drawing) {
  if (!hooks.on_picture) {
    return [&drawing](image::Image picture) { drawing.pictures.push_back(std::move(picture)); };
  }
  return [&hooks, index = 0](image::Image picture) mutable {
    hooks.on_picture(index++, std::move(picture));
  };
}

void decode_all(const Job& job, const at::Tensor& latents, const TakePicture& take) {
  check_latents(latents);
  job.held.let_go();
  const Watch& watch = job.timed.watch();
  job.timed("load decoder", [&] { job.model.latents.load(watch); });
  // Above sigma 0 a little noise is left, as much as makes unit variance again.
  const double scale = job.model.denoising.schedule.input_scale(job.plan.steps.back().sigma_next);
  for (int64_t i = 0; i < latents.size(0); ++i) {
    const at::Tensor pixels = job.timed("decode", [&] {
      return job.model.latents.decode(latents.slice(0, i, i + 1) * scale, watch);
    });
    image::Image picture = tensors::picture_of(pixels[0], job.model.quirks.truncates_pixels
                                                              ? tensors::Levels::kCut
                                                              : tensors::Levels::kRounded);
    if (job.canvas.mask.defined() && job.request.composite) {
      picture = composited(picture, job.canvas);
    }
    if (job.request.upscale > 1.0) {
      picture = job.timed("upscale", [&] {
        return enlarged(picture, job.request.upscale, job.model.upscaler, watch);
      });
    }
    take(std::move(picture));
  }
}

}  // namespace pangu::pipeline
