#include "app/serve/job_drawing.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "app/commands.h"
#include "app/control_image.h"
#include "app/coop_setup.h"
#include "app/drawing.h"
#include "app/weight_hashes.h"
#include "core/error.h"
#include "image/image.h"
#include "pipeline/coop/coop.h"
#include "pipeline/doubts.h"
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

// Ids of pictures to their pixels.
class JobPictures {
 public:
  explicit JobPictures(const json& paths) : paths_(paths) {}

  image::Image read(const std::string& id) const {
    const auto found = paths_.find(id);
    if (found == paths_.end())
      throw bad_input("picture", "an id of POST /v1/pictures", "'" + id + "'");
    const std::string path = found->get<std::string>();
    try {
      return image::read_image(path);
    } catch (const Error& error) {  // which names the path
      std::string message = error.what();
      if (const size_t at = message.find(path); at != std::string::npos) {
        message.replace(at, path.size(), id);
      }
      throw Error(error.code(), message);
    }
  }

  pipeline::Pictures of(const pipeline::Request& request) const {
    pipeline::Pictures pictures;
    if (!request.init_image.empty()) pictures.init = read(request.init_image);
    if (!request.mask_image.empty()) pictures.mask = read(request.mask_image);
    if (!request.image_prompt.empty()) pictures.prompt = read(request.image_prompt);
    for (const pipeline::ControlUse& use : request.controls) {
      pictures.controls.push_back(read(use.image));
    }
    return pictures;
  }

 private:
  json paths_;
};

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
      if (is_due()) show(model, step.x0[0]);
    };
    return hooks;
  }

 private:
  // Whether the step that was just done is to be looked at. Looking takes its share of the time and
  // no more, unless somebody asked for a number of previews.
  bool is_due() {
    if (previews_ > 0) {
      return shown_ < previews_ && (step_ + 1) * (previews_ + 1) >= steps_ * (shown_ + 1);
    }
    if (preview_every_ == 0 || ++seen_ % preview_every_ != 0) return false;
    return looked_s_ <= kPreviewShare * seconds_of_job_since(*begun_) || looked_s_ == 0;
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
    auto colours = state_.colours.find(model.fingerprint);
    if (colours == state_.colours.end()) {  // once a model
      colours = state_.colours.emplace(model.fingerprint, fitted_colours(model.latents, {})).first;
    }
    const auto start = JobClock::now();
    const image::Image picture = coloured(colours->second, latents[0]);
    voice_.say({{"type", "preview"},
                {"step", step_ + 1},
                {"steps", steps_},
                {"width", picture.width},
                {"height", picture.height},
                {"content_type", "image/jpeg"}},
               text_of_bytes(image::encode_jpeg(picture, {.quality = 90})));
    looked_s_ += seconds_of_job_since(start);
    ++shown_;
  }

  WorkerState& state_;
  const JobVoice& voice_;
  int preview_every_, previews_;
  std::function<const pipeline::Model&(double sigma)> model_at_;
  std::optional<JobClock::time_point> begun_, told_;
  std::optional<double> sigma_;
  std::string expert_;
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
  pipeline::MemberSpec named = job.model;
  named.load = load_options_of(job.model, job.request.prompt, state.setup);
  const std::string path = state.names.path_of("model", named.model);
  const auto model = state.models.get(path, state.names.with_paths(named.load), watch);
  const double load_s = seconds_of_job_since(start);
  pipeline::Request asked = job.request;
  const pipeline::Pictures pictures = JobPictures(frame.at("pictures")).of(asked);
  if (pictures.init && !asked.width && !asked.height) {
    std::tie(asked.width, asked.height) = pipeline::size_near(*pictures.init, model->rules);
  }
  const pipeline::Request request =
      pipeline::resolved(asked, model->rules, frame.at("spec").value("fresh_seed", uint64_t{0}));
  pipeline::warn_of_doubts(named.load, watch);
  pipeline::warn_of_doubts(*model, request, {}, watch);
  voice.say({{"type", "resolved"}, {"request", pipeline::to_json(request)}}, "");
  voice.say({{"type", "stage"}, {"stage", "draw"}}, "");
  WeightHashes hashes(path);
  hashes.stop_when(voice.wants_stop);
  const pipeline::PictureKeeps keeps = keeps_by_name(state, named, hashes);
  JobTeller teller(state, voice, job, [&](double) -> const pipeline::Model& { return *model; });
  pipeline::DrawHooks hooks = teller.hooks(watch);
  hooks.on_picture = [&](int index, const image::Image& picture) {
    say_picture(voice, index, *request.seed + static_cast<uint64_t>(index),
                encoded(job, picture, pipeline::png_text(*model, request, index, keeps)));
  };
  const pipeline::Drawing drawing = pipeline::draw(*model, request, hooks, pictures);
  if (drawing.stopped) throw Stopped("stopped");
  return seconds_of_phases(load_s, drawing.timings);
}

json draw_of_recipe(WorkerState& state, const DrawJob& job, const json& frame,
                    const JobVoice& voice) {
  JobWatch heard(voice, state.names);
  const Watch watch = heard.watch();
  const auto start = JobClock::now();
  pipeline::Recipe recipe = *job.recipe;
  pipeline::MemberSpec none;
  pipeline::LoadOptions shared = load_options_of(none, recipe.request.prompt, state.setup);
  give_to_hub(recipe, "", shared);
  shared.loras.clear();
  const JobPictures pictures(frame.at("pictures"));
  pipeline::CoopSetup setup = coop_setup(recipe, shared, watch);
  setup.fresh_seed = frame.at("spec").value("fresh_seed", uint64_t{0});
  setup.open_model = [&](const std::string& name, const pipeline::LoadOptions& options) {
    return *state.models.get(state.names.path_of("model", name), state.names.with_paths(options),
                             watch);
  };
  setup.read_picture = [&](const std::string& id) { return pictures.read(id); };
  const pipeline::Cooperation coop = pipeline::assemble(recipe, setup);
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
  const pipeline::Drawing drawing = pipeline::draw(coop, hooks);
  if (drawing.stopped) throw Stopped("stopped");
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
