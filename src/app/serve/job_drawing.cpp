#include "app/serve/job_drawing.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "app/commands.h"
#include "app/control_image.h"
#include "app/serve/opened_job.h"
#include "app/weight_hashes.h"
#include "core/error.h"
#include "image/image.h"
#include "pipeline/coop/coop.h"
#include "pipeline/draw.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

using nlohmann::json;
using JobClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLeastBetweenSteps{40};
constexpr double kPreviewShare = 0.05;  // of the time

double seconds_of_job_since(JobClock::time_point start) {
  return std::chrono::duration<double>(JobClock::now() - start).count();
}

std::string text_of_bytes(const image::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Tells of a drawing's steps, previews and pictures.
class JobTeller {
 public:
  // `model_at`: whose latents come first at a noise level.
  JobTeller(WorkerState& state, const JobVoice& voice, const DrawJob& job,
            std::function<const pipeline::Model&(double sigma)> model_at)
      : state_(state),
        voice_(voice),
        preview_every_(job.preview_every),
        previews_(job.previews),
        member_previews_(job.member_previews),
        model_at_(std::move(model_at)) {}

  pipeline::DrawHooks hooks(const Watch& watch) {
    pipeline::DrawHooks hooks;
    hooks.watch = watch;
    hooks.watch.on_progress = [this](const Progress& progress) { on_progress(progress); };
    hooks.on_latents = [this](const diffusion::StepInfo& step) {
      sigma_ = step.sigma;
      const pipeline::Model& model = model_at_(step.sigma);
      const size_t expert = diffusion::expert_of_sigma(model.denoising.boundaries, step.sigma);
      expert_ = model.denoising.experts[std::min(expert, model.denoising.experts.size() - 1)].name;
      if (is_due(model, step.x0[0])) show(model, step.x0[0]);
    };
    return hooks;
  }

  // What tells the members' own guesses beside each preview; empty unless the job asks for them.
  pipeline::OnGuess on_guess() {
    if (!member_previews_) return {};
    return [this](const pipeline::Member& member, double, const at::Tensor& x0) {
      guesses_[member.name] = {member.model, x0.slice(0, 0, 1).clone()};
    };
  }

 private:
  // Whether the step that was just done is to be looked at. Looking takes its share of the time and
  // no more, unless somebody asked for a number of previews.
  bool is_due(const pipeline::Model& model, const at::Tensor& latents) {
    if (previews_ > 0) {
      return shown_ < previews_ && (step_ + 1) * (previews_ + 1) >= steps_ * (shown_ + 1);
    }
    if (preview_every_ == 0 || ++seen_ % preview_every_ != 0) return false;
    state_.look.prepare(model, {});
    double next_s = state_.look.expected_seconds(model, latents);
    for (const auto& [member, guess] : guesses_) {
      next_s += state_.look.expected_seconds(*guess.model, guess.x0);
    }
    return looked_s_ + next_s <= kPreviewShare * seconds_of_job_since(*begun_) ||
           (looked_s_ == 0 && next_s == 0);
  }

  void on_progress(const Progress& progress) {
    if (std::string_view(progress.unit) != "steps") return;
    const auto now = JobClock::now();
    if (!begun_) begun_ = now;
    const bool is_last = progress.done == progress.total;
    step_ = progress.done;
    steps_ = progress.total;
    if (told_ && now - *told_ < kLeastBetweenSteps && !is_last) return;
    told_ = now;
    json step = {{"type", "step"}, {"step", progress.done}, {"steps", progress.total}};
    if (progress.done > 0 && sigma_) {
      step["sigma"] = *sigma_;
      step["expert"] = expert_;
      step["seconds_left"] = seconds_of_job_since(*begun_) / static_cast<double>(progress.done) *
                             static_cast<double>(progress.total - progress.done);
    }
    voice_.say(std::move(step), "");
  }

  // latents: [B,C,h,w]; the first picture of a batch.
  void show(const pipeline::Model& model, const at::Tensor& latents) {
    show_one(model, latents[0], "");
    for (const auto& [member, guess] : std::exchange(guesses_, {})) {
      show_one(*guess.model, guess.x0[0], member);
    }
    ++shown_;
  }

  // member: "": the picture itself.
  void show_one(const pipeline::Model& model, const at::Tensor& latents,
                const std::string& member) {
    state_.look.prepare(model, {});  // once for each latent space
    const auto start = JobClock::now();
    const image::Image picture = state_.look.picture_of(model, latents);
    json preview = {{"type", "preview"},        {"step", step_ + 1},
                    {"steps", steps_},          {"width", picture.width},
                    {"height", picture.height}, {"content_type", "image/jpeg"}};
    if (!member.empty()) preview["member"] = member;
    voice_.say(std::move(preview), text_of_bytes(image::encode_jpeg(picture, {.quality = 90})));
    looked_s_ += seconds_of_job_since(start);
  }

  // A member's last guess, [1,C,h,w] in its own space.
  struct Guess {
    std::shared_ptr<const pipeline::Model> model;
    at::Tensor x0;
  };

  WorkerState& state_;
  const JobVoice& voice_;
  int preview_every_, previews_;
  bool member_previews_;
  std::function<const pipeline::Model&(double sigma)> model_at_;
  std::optional<JobClock::time_point> begun_, told_;
  std::optional<double> sigma_;
  std::string expert_;
  std::map<std::string, Guess> guesses_;
  int64_t seen_ = 0, shown_ = 0, step_ = 0, steps_ = 0;
  double looked_s_ = 0;
};

// A watch that a job hears through; each warning is said once.
class JobWatch {
 public:
  JobWatch(const JobVoice& voice, const NetworkNames& names) : voice_(voice), names_(names) {}
  Watch watch() {
    return {.wants_stop = voice_.wants_stop, .on_warning = [this](const std::string& sentence) {
              {
                const std::lock_guard lock(mutex_);
                if (!told_.insert(sentence).second) return;
              }
              voice_.say({{"type", "warning"}, {"message", names_.without_folders(sentence)}}, "");
            }};
  }

 private:
  const JobVoice& voice_;
  const NetworkNames& names_;
  std::mutex mutex_;
  std::set<std::string> told_;
};

image::Bytes encoded(const DrawJob& job, const image::Image& picture,
                     const image::TextChunks& text) {
  if (!job.quality) return image::encode_image(picture, job.format, text);
  if (job.format == image::FileFormat::kJpeg) {
    return image::encode_jpeg(picture, {.quality = *job.quality});
  }
  return image::encode_webp(picture, {.quality = static_cast<float>(*job.quality)});
}

void say_picture(const JobVoice& voice, int index, uint64_t seed, const image::Bytes& bytes) {
  voice.say({{"type", "picture"}, {"index", index}, {"seed", seed}}, text_of_bytes(bytes));
}

// What pictures keep of a model: its names. Pictures have ids that are hashes already.
pipeline::PictureKeeps keeps_by_name(const WorkerState& state, const pipeline::MemberSpec& model,
                                     WeightHashes& hashes) {
  pipeline::PictureKeeps keeps;
  keeps.model = model;
  keeps.model_hash = [&hashes] { return hashes.model(); };
  keeps.lora_hash = [&](const std::string& name) {
    return hashes.lora(state.names.path_of("lora", name));
  };
  return keeps;
}

// Models come out of the worker's memory; a tiny autoencoder may lie in a model's folder. The watch
// outlives it.
JobOpener opener_of(WorkerState& state, const Watch& watch) {
  return {state.setup, state.names,
          [&](const std::string& path, const pipeline::LoadOptions& options) {
            state.look.add_folder(path);
            return state.models.get(path, options, watch);
          }};
}

json seconds_of_phases(double load_s, const pipeline::Timings& timings) {
  json seconds = {{"read model", load_s}};
  for (const auto& [phase, s] : timings) seconds[phase] = s;
  return seconds;
}

json draw_of_one_model(WorkerState& state, const DrawJob& job, const json& frame,
                       const JobVoice& voice) {
  JobWatch heard(voice, state.names);
  const Watch watch = heard.watch();
  const auto start = JobClock::now();
  const OpenedDraw opened = opened_draw(job, frame, opener_of(state, watch), watch);
  const double load_s = seconds_of_job_since(start);
  const pipeline::Model& model = *opened.model;
  const pipeline::Request& request = opened.request;
  voice.say({{"type", "resolved"}, {"request", pipeline::to_json(request)}}, "");
  voice.say({{"type", "stage"}, {"stage", "draw"}}, "");
  WeightHashes hashes(opened.path);
  hashes.stop_when(voice.wants_stop);
  const pipeline::PictureKeeps keeps = keeps_by_name(state, opened.named, hashes);
  JobTeller teller(state, voice, job, [&](double) -> const pipeline::Model& { return model; });
  pipeline::DrawHooks hooks = teller.hooks(watch);
  hooks.on_picture = [&](int index, const image::Image& picture) {
    say_picture(voice, index, *request.seed + static_cast<uint64_t>(index),
                encoded(job, picture, pipeline::png_text(model, request, index, keeps)));
  };
  const pipeline::Drawing drawing = pipeline::draw(model, request, hooks, opened.pictures);
  if (drawing.stopped) throw Stopped("stopped");
  learn_speed(state.speeds, speed_key(model), pipeline::dry_run(model, request, opened.pictures),
              drawing.timings);
  return seconds_of_phases(load_s, drawing.timings);
}

json draw_of_recipe(WorkerState& state, const DrawJob& job, const json& frame,
                    const JobVoice& voice) {
  JobWatch heard(voice, state.names);
  const Watch watch = heard.watch();
  const auto start = JobClock::now();
  const pipeline::Cooperation coop = opened_recipe(job, frame, opener_of(state, watch), watch);
  const double load_s = seconds_of_job_since(start);
  voice.say({{"type", "resolved"}, {"request", pipeline::to_json(coop.request)}}, "");
  voice.say({{"type", "stage"}, {"stage", "draw"}}, "");
  const auto hub = std::find_if(coop.recipe.members.begin(), coop.recipe.members.end(),
                                [](const pipeline::MemberSpec& member) { return member.hub; });
  WeightHashes hashes(state.names.path_of("model", hub->model));
  hashes.stop_when(voice.wants_stop);
  const pipeline::PictureKeeps keeps = keeps_by_name(state, *hub, hashes);
  // The stage's hub comes first in its latents.
  JobTeller teller(state, voice, job, [&](double sigma) -> const pipeline::Model& {
    for (const pipeline::CoopStage& stage : coop.stages) {
      if (sigma > stage.sigmas.back()) return *stage.members.front().model;
    }
    return *coop.hub;
  });
  pipeline::DrawHooks hooks = teller.hooks(watch);
  hooks.on_picture = [&](int index, const image::Image& picture) {
    say_picture(voice, index, *coop.request.seed + static_cast<uint64_t>(index),
                encoded(job, picture, pipeline::png_text(coop, index, keeps)));
  };
  const pipeline::Drawing drawing = pipeline::draw(coop, hooks, teller.on_guess());
  if (drawing.stopped) throw Stopped("stopped");
  learn_speed(state.speeds, speed_key(coop), pipeline::dry_run(coop), drawing.timings);
  return seconds_of_phases(load_s, drawing.timings);
}

json make_control_picture(const json& frame, const JobVoice& voice) {
  const json& spec = frame.at("spec");
  ControlArgs args = control_args_from(spec.at("options"));
  args.input = frame.at("pictures").at(spec.at("source").get<std::string>()).get<std::string>();
  voice.say({{"type", "stage"}, {"stage", "draw"}}, "");
  const auto start = JobClock::now();
  say_picture(voice, 0, 0, image::encode_png(control_image(args)));
  return {{"draw", seconds_of_job_since(start)}};
}

}  // namespace

json draw_job(WorkerState& state, const json& frame, const JobVoice& voice) {
  voice.say({{"type", "stage"}, {"stage", "load"}}, "");
  if (frame.at("kind") == "control") return make_control_picture(frame, voice);
  const DrawJob job = draw_job_from(frame.at("spec"), state.names, state.setup);
  return job.recipe ? draw_of_recipe(state, job, frame, voice)
                    : draw_of_one_model(state, job, frame, voice);
}

}  // namespace pangu::app
