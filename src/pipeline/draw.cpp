#include "pipeline/draw.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "core/error.h"
#include "diffusion/guidance.h"
#include "diffusion/image_noise.h"
#include "diffusion/samplers.h"
#include "io/mapped_file.h"

namespace pangu::pipeline {
namespace {

constexpr const char* kJsonKey = "pangu-draw";
constexpr const char* kParametersKey = "parameters";  // A1111's web UI

// Adds the time of a call to its phase.
class Stopwatch {
 public:
  explicit Stopwatch(Timings& timings) : timings_(timings) {}
  template <class Call>
  auto operator()(const std::string& phase, Call&& call) {
    const auto start = std::chrono::steady_clock::now();
    struct Stop {
      Timings& timings;
      const std::string& phase;
      std::chrono::steady_clock::time_point start;
      ~Stop() {
        const double s =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        for (auto& [name, seconds] : timings) {
          if (name == phase) {
            seconds += s;
            return;
          }
        }
        timings.emplace_back(phase, s);
      }
    } stop{timings_, phase, start};
    return call();
  }

 private:
  Timings& timings_;
};

// Row order of diffusion/guidance.h: negative, prompt, styles.
std::vector<std::string> prompts_of(const Model& model, const Request& request) {
  std::vector<std::string> prompts = {request.negative, request.prompt};
  for (const std::string& style : request.styles) {
    prompts.push_back(styled_prompt(model, style, request.prompt));
  }
  return prompts;
}

diffusion::Guidance guidance_of(const Request& request) {
  diffusion::Guidance g;
  g.scale = *request.guidance;
  g.style_scales.assign(request.styles.size(), request.style_scale);
  g.rescale = request.guidance_rescale;
  g.sigma_low = request.guidance_low;
  g.sigma_high = request.guidance_high;
  return g;
}

// The conditions of chosen rows (guidance.h), of one row for every image of the batch.
using RowConditions = std::function<Conditions(const std::vector<int>& rows)>;

// One prompt for all: each row is repeated for every image.
Conditions repeated_rows(const Conditions& all, const std::vector<int>& rows, int64_t batch) {
  std::vector<at::Tensor> context, mask;
  for (const int row : rows) {
    context.push_back(all.context[row].unsqueeze(0).expand({batch, -1, -1}));
    mask.push_back(all.context_mask[row].unsqueeze(0).expand({batch, -1}));
  }
  return {at::cat(context), at::cat(mask)};
}

// A prompt for each: row r of image i is all[r * batch + i].
Conditions own_rows(const Conditions& all, const std::vector<int>& rows, int64_t batch) {
  std::vector<at::Tensor> context, mask;
  for (const int row : rows) {
    context.push_back(all.context.narrow(0, row * batch, batch));
    mask.push_back(all.context_mask.narrow(0, row * batch, batch));
  }
  return {at::cat(context), at::cat(mask)};
}

image::Image to_picture(const at::Tensor& chw) {
  const at::Tensor bytes = ((chw.to(at::kFloat).clamp(-1, 1) + 1) * 127.5)
                               .round()
                               .to(at::kByte)
                               .permute({1, 2, 0})
                               .cpu()
                               .contiguous();
  image::Image picture{static_cast<int>(chw.size(2)), static_cast<int>(chw.size(1)), 3, {}};
  const auto* data = bytes.const_data_ptr<uint8_t>();
  picture.pixels.assign(data, data + bytes.numel());
  return picture;
}

// Latents of one batch, or nothing if on_step cancelled. Steps are counted from first_step.
std::optional<at::Tensor> sample_batch(const Model& model, const Request& request,
                                       const diffusion::Plan& plan,
                                       const std::vector<uint64_t>& seeds,
                                       const RowConditions& conditions, Stopwatch& timed,
                                       const std::function<bool(int step_of_batch)>& on_step) {
  std::vector<diffusion::Denoiser> experts;
  for (const Expert& expert : model.experts) {
    experts.push_back(diffusion::guide(
        [&](const at::Tensor& x_net, double t, const std::vector<int>& chosen) {
          return timed(expert.name, [&] {
            const int64_t r = static_cast<int64_t>(chosen.size());
            return expert.predict(x_net.repeat({r, 1, 1, 1}), t, conditions(chosen));
          });
        },
        model.parameterisation, model.schedule, guidance_of(request)));
  }
  const auto denoise =
      experts.size() == 1 ? experts.front() : diffusion::route_by_sigma(experts, plan.boundaries);
  const int64_t h = *request.height / model.downscale, w = *request.width / model.downscale;
  const diffusion::SigmaList sigmas = plan.sigmas();
  const diffusion::Latents x(diffusion::image_noise(seeds, {model.latent_channels, h, w}) *
                             sigmas.front());
  bool cancelled = !on_step(0);
  if (cancelled) return std::nullopt;
  const diffusion::Latents result = diffusion::find_sampler(*request.sampler)
                                        .sample(denoise, x, sigmas, diffusion::step_noise(seeds, x),
                                                [&](const diffusion::StepInfo& info) {
                                                  cancelled =
                                                      !on_step(static_cast<int>(info.step) + 1);
                                                  return !cancelled;
                                                });
  if (cancelled) return std::nullopt;
  return result.one();
}

void load_for(const Model& model, const diffusion::Plan& plan, Stopwatch& timed) {
  timed("load text encoder", [&] { model.load_text(); });
  for (size_t e = 0; e < model.experts.size(); ++e) {
    if (plan.steps_of(e) > 0) timed("load " + model.experts[e].name, model.experts[e].load);
  }
}

// One picture at a time, so that its last bits do not depend on its neighbours.
void decode_all(const Model& model, const at::Tensor& latents, Stopwatch& timed,
                std::vector<image::Image>& pictures_) {
  timed("load decoder", [&] { model.load_decoder(); });
  for (int64_t i = 0; i < latents.size(0); ++i) {
    const at::Tensor pixels =
        timed("decode", [&] { return model.decode(latents.slice(0, i, i + 1)); });
    pictures_.push_back(to_picture(pixels[0]));
  }
}

}  // namespace

diffusion::Plan plan_of(const Model& model, const Request& request) {
  const auto sigmas = diffusion::make_sigmas(*request.schedule, model.schedule, *request.steps,
                                             model.sigma_options);
  return diffusion::make_plan(sigmas, model.schedule, model.boundaries);
}

Drawing draw(const Model& model, const Request& request, const DrawHooks& hooks) {
  validate(request, model.rules);
  const at::NoGradGuard no_grad;
  Drawing drawing;
  Stopwatch timed(drawing.timings);
  const diffusion::Plan plan = plan_of(model, request);
  load_for(model, plan, timed);
  const Conditions conditions =
      timed("text encoder", [&] { return model.encode(prompts_of(model, request)); });

  const int64_t h = *request.height / model.downscale, w = *request.width / model.downscale;
  const int64_t rows = 2 + static_cast<int64_t>(request.styles.size());
  const int64_t at_once = std::clamp<int64_t>(
      model.latent_pixels_a_forward / std::max<int64_t>(1, rows * h * w), 1, request.count);
  const int step_count = *request.steps;
  const int batches = static_cast<int>((request.count + at_once - 1) / at_once);
  for (int batch = 0; batch < batches; ++batch) {
    const int64_t first = batch * at_once;
    const int64_t count = std::min<int64_t>(at_once, request.count - first);
    std::vector<uint64_t> seeds;
    for (int64_t i = 0; i < count; ++i) {
      seeds.push_back(*request.seed + static_cast<uint64_t>(first + i));
    }
    const auto latents = sample_batch(
        model, request, plan, seeds,
        [&](const std::vector<int>& chosen) { return repeated_rows(conditions, chosen, count); },
        timed,
        [&](int step) {
          return !hooks.on_step || hooks.on_step(batch * step_count + step, batches * step_count);
        });
    if (!latents) break;
    decode_all(model, *latents, timed, drawing.pictures);
  }
  return drawing;
}

Drawing draw_each(const Model& model, const Request& shared, const std::vector<Wish>& wishes,
                  int at_once, const DrawHooks& hooks) {
  validate(shared, model.rules);
  const at::NoGradGuard no_grad;
  Drawing drawing;
  Stopwatch timed(drawing.timings);
  const diffusion::Plan plan = plan_of(model, shared);
  load_for(model, plan, timed);
  const int step_count = *shared.steps, all = static_cast<int>(wishes.size());
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
    std::vector<std::string> prompts;
    for (size_t row = 0; row < of_each.front().size(); ++row) {
      for (const auto& own : of_each) prompts.push_back(own[row]);
    }
    const Conditions conditions = timed("text encoder", [&] { return model.encode(prompts); });
    const auto latents = sample_batch(
        model, shared, plan, seeds,
        [&](const std::vector<int>& chosen) { return own_rows(conditions, chosen, count); }, timed,
        [&](int step) {
          return !hooks.on_step || hooks.on_step(batch * step_count + step, batches * step_count);
        });
    if (!latents) break;
    decode_all(model, *latents, timed, drawing.pictures);
  }
  return drawing;
}

std::map<std::string, std::string> png_text(const Model& model, const Request& request, int index) {
  Request one = request;
  one.seed = *request.seed + static_cast<uint64_t>(index);
  one.count = 1;
  nlohmann::json json = {{"request", to_json(one)},
                         {"model", {{"name", model.name}, {"fingerprint", model.fingerprint}}}};
  std::ostringstream parameters;
  parameters << request.prompt << "\n";
  if (!request.negative.empty()) parameters << "Negative prompt: " << request.negative << "\n";
  parameters << "Steps: " << *request.steps << ", Sampler: " << *request.sampler
             << ", Schedule type: " << *request.schedule << ", CFG scale: " << *request.guidance
             << ", Seed: " << *one.seed << ", Size: " << *request.width << "x" << *request.height
             << ", Model: " << model.name;
  return {{kParametersKey, parameters.str()}, {kJsonKey, json.dump()}};
}

Request request_of_png(const std::string& path) {
  const io::MappedFile file(path);
  const auto bytes = file.bytes();
  const auto text =
      image::read_png_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  const auto found = text.find(kJsonKey);
  if (found == text.end()) {
    throw bad_input("'" + path + "'", "a PNG drawn by this program", "one without its request");
  }
  const auto json = nlohmann::json::parse(found->second, nullptr, false);
  if (!json.is_object() || !json.contains("request")) {
    throw bad_input("'" + path + "', text '" + kJsonKey + "'", "a request as JSON", "other text");
  }
  return request_from_json(json["request"]);
}

}  // namespace pangu::pipeline
