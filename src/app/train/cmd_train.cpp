// `pangu-draw train`: reads the configuration or makes one, trains what it says, shows progress.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "app/commands.h"
#include "app/interrupt.h"
#include "app/threads.h"
#include "app/train/finetune.h"
#include "app/train/launch.h"
#include "app/train/training.h"
#include "app/train/training_state.h"
#include "core/error.h"
#include "core/message.h"
#include "core/progress.h"
#include "core/watch.h"
#include "dist/place.h"
#include "dist/world.h"
#include "pipeline/model.h"
#include "train/mixed_precision.h"

namespace pangu::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOutputFile = ".safetensors";
constexpr int kStoppedElsewhere = 130;  // exit code where another process got Ctrl-C

std::string quoted_list(const std::vector<std::string>& words) {
  return nlohmann::json(words).dump();
}

// The keys that flags stand for, as assignments over a file or over the defaults of fine-tuning.
std::vector<std::string> assignments_of(const TrainArgs& args) {
  std::vector<std::string> all;
  const auto set = [&](const char* key, const std::string& value) {
    all.push_back(std::string(key) + "=" + value);
  };
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  if (!args.finetune.empty()) set("pretrained_model_name_or_path", quoted(args.finetune));
  if (!args.data.empty()) set("train_data_dir", quoted_list(args.data));
  const bool is_file = args.out.ends_with(kOutputFile);
  if (args.lora && !args.out.empty() && !is_file) {
    throw bad_input("--out", "a .safetensors file for the LoRA", "'" + args.out + "'");
  }
  if (is_file) {
    // The file, and beside it a folder of its name for checkpoints, cache and metrics.
    set("model_output", quoted(args.out));
    set("output_dir", quoted(args.out.substr(0, args.out.size() - kOutputFile.size())));
  } else if (!args.out.empty()) {
    set("output_dir", quoted(args.out));
  }
  if (args.lora) set("network_module", quoted("lora"));
  if (args.rank) set("network_dim", std::to_string(*args.rank));
  if (args.steps) set("max_train_steps", std::to_string(*args.steps));
  if (!args.device.empty()) set("device", quoted(args.device));
  if (args.minutes) set("time_budget_minutes", number_text(*args.minutes));
  all.insert(all.end(), args.sets.begin(), args.sets.end());
  return all;
}

train::TrainConfig training_config_of(const TrainArgs& args) {
  if (!args.config.empty()) return train::TrainConfig::open(args.config, assignments_of(args));
  if (args.finetune.empty()) {
    throw bad_input(
        "train",
        "a TOML file, or --finetune MODEL --data FOLDER --out FOLDER (or FILE.safetensors), or "
        "--lora --model MODEL --data FOLDER --out FILE.safetensors, or --controlnet --model MODEL "
        "--data FOLDER --control canny --out FOLDER",
        "none");
  }
  if (args.data.empty()) throw bad_input("--data", "a folder of pictures and captions", "none");
  if (args.out.empty())
    throw bad_input("--out",
                    args.lora ? "a .safetensors file" : "a folder or .safetensors for the model",
                    "none");
  // Which settings are usual depends on what is asked for.
  train::TrainConfig start;
  start.enable_bucket = true;
  const std::vector<std::string> assignments = assignments_of(args);
  const train::TrainConfig asked = train::TrainConfig::with(start, assignments);
  return train::TrainConfig::with(usual_config(asked), assignments);
}

void note_slow_precision(const train::TrainConfig& config) {
  if (config.device != "cpu" || config.mixed_precision != "bf16") return;
  if (train::fastest_mixed_precision("cpu") == "bf16") return;
  std::fprintf(
      stderr,
      "note: this processor does not multiply bf16, so products are computed in f32, their "
      "factors widened each time. Hint: --set mixed_precision=no takes less time and more "
      "memory\n");
}

TrainingOutcome train_by_kind(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  if (config.task == "autoencoder") return train_autoencoder(run);
  if (!run.frozen) return train_denoiser(run);
  if (config.network_module == "lora") return train_lora(run);
  return config.network_module == "controlnet" ? train_controlnet(run) : train_weights(run);
}

std::string save_text(const train::SaveReport& report) {
  constexpr double kMegabyte = 1e6;
  char text[200];
  std::snprintf(text, sizeof text, "%.1f MB a process", double(report.size_bytes) / kMegabyte);
  std::string all = std::string("checkpoints: ") + text;
  if (report.is_asynchronous) return all + ", written while training goes on (asynchronous)";
  if (report.is_last) return all + ", streamed, as nothing goes on beside the last one";
  std::snprintf(text, sizeof text, "%.1f", double(report.most_copy_bytes) / kMegabyte);
  return all + ", streamed before training goes on, as a copy may have " + text +
         " MB (async_save_memory_gib)";
}

// The processes that train together, as the environment says; null where this one is alone.
std::shared_ptr<dist::World> world_of(const train::TrainConfig& config, double join_timeout_s) {
  const dist::Place place = dist::place_from(dist::process_environment());
  if (place.size == 1) return nullptr;
  dist::WorldOptions options;
  options.device = config.device;
  options.join_s = join_timeout_s;
  return std::make_shared<dist::World>(place, options);
}

// Processes of one machine share its cores, and `replicas = 0` is one for each that a process may
// use (--threads, OMP_NUM_THREADS).
void share_cores(int local_processes, std::vector<TrainingRun>& runs) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int own = std::min(at::get_num_threads(), std::max(1, cores / local_processes));
  if (own < at::get_num_threads()) use_threads(own);
  for (TrainingRun& run : runs) {
    if (run.config.replicas == 0 && run.config.device == "cpu") run.config.replicas = own;
  }
}

// Trains one run after another with one bar, until somebody stops it.
class Training {
 public:
  // world: the processes that train together, or null.
  Training(const TrainArgs& args, std::vector<TrainingRun> runs, std::shared_ptr<dist::World> world)
      : args_(args),
        runs_(std::move(runs)),
        world_(std::move(world)),
        is_quiet_(args.quiet || (world_ && !world_->is_first())) {
    share_cores(world_ ? world_->local_size() : 1, runs_);
  }

  int go() {
    std::string stopped;
    for (size_t i = 0; i < runs_.size() && stopped.empty() && !stops_; ++i) {
      try {
        train_one(runs_[i], runs_.size() - i);
      } catch (const Stopped& stop) {
        stopped = stop.what();
      }
      stops_ = interrupt_.wanted();
      // Also waits for the files that the first process writes.
      if (world_) stops_ = world_->any(stops_);
    }
    bar_.reset();
    if (args_.dry_run) {
      std::cout << "all is fine, nothing was trained\n";
      return 0;
    }
    tell_how_to_draw();
    if (!stops_) return 0;
    if (!world_ || world_->is_first()) {
      std::fprintf(stderr, "%s; the same command goes on from here\n",
                   stopped.empty() ? "stopped" : stopped.c_str());
    }
    return interrupt_.wanted() ? interrupt_.exit_code() : kStoppedElsewhere;
  }

 private:
  void tell_how_to_draw() const {
    const train::TrainConfig& config = runs_.front().config;
    if (written_.empty() || config.task != "denoiser") return;
    const std::string& kind = config.network_module;
    const char* what = kind.empty() ? "model" : kind == "lora" ? "LoRA" : "ControlNet";
    std::cout << what << " written; pangu-draw draw \"...\" --model ";
    if (kind.empty()) {
      std::cout << written_.back() << "\n";
      return;
    }
    std::cout << config.pretrained_model;
    for (const std::string& file : written_) {
      std::cout << (kind == "lora" ? " --lora " : " --controlnet ") << file;
    }
    std::cout << (kind == "lora" ? "\n" : " --control-image PICTURE\n");
  }

  // The time that is left is shared by the runs that are left.
  void share_time(train::TrainConfig& config, size_t runs_left) const {
    if (config.time_budget_minutes <= 0) return;
    const double spent =
        std::chrono::duration<double, std::ratio<60>>(Clock::now() - started_).count();
    config.time_budget_minutes =
        std::max(0.01, (config.time_budget_minutes - spent) / double(runs_left));
  }

  void train_one(TrainingRun& run, size_t runs_left) {
    share_time(run.config, runs_left);
    run.resume = !args_.fresh;
    run.dry_run = args_.dry_run;
    run.quiet = is_quiet_;
    run.hooks.world = world_;
    run.wants_stop = [this] { return interrupt_.wanted(); };
    run.say = [this](const std::string& text) { say(text); };
    run.hooks.stop = [this] {
      if (interrupt_.wanted()) say("stopping, writing a checkpoint");
      return interrupt_.wanted();
    };
    run.hooks.on_log = [this](const train::StepReport& r) { show(r); };
    run.hooks.on_save = [this](const train::SaveReport& r) { tell_how_it_saves(r); };
    const TrainingOutcome outcome = train_by_kind(run);
    if (!outcome.model.empty()) written_.push_back(outcome.model);
    if (args_.dry_run || outcome.is_finished || interrupt_.wanted()) return;
    say("the time is up at step " + std::to_string(outcome.step) + " of " +
        std::to_string(run.config.max_train_steps) + "; the same command goes on from here");
  }

  // A line of its own, not one inside of the bar's.
  void say(const std::string& text) {
    bar_.reset();
    if (!is_quiet_) std::fprintf(stderr, "train: %s\n", text.c_str());
  }

  // Once, and again whenever it is another way. The last checkpoint of a run is always waited for.
  void tell_how_it_saves(const train::SaveReport& r) {
    const std::string way = save_text(r);
    if (std::exchange(told_save_, way) != way) say(way);
  }

  void show(const train::StepReport& r) {
    if (is_quiet_) return;
    if (!bar_) bar_.emplace("train");
    Progress progress = progress_of(r, "samples");
    char more[128];
    std::snprintf(more, sizeof more, " | lr %.1e | grad %.2f | %.0f GFLOP/s | optimiser %.0f %%",
                  r.learning_rate, r.grad_norm, r.gflop_per_second, 100 * r.optimizer_share);
    progress.text += more;
    (*bar_)(progress);
  }

  const TrainArgs& args_;
  std::vector<TrainingRun> runs_;
  std::shared_ptr<dist::World> world_;
  bool is_quiet_;
  bool stops_ = false;  // somebody stopped one of the processes
  // Ctrl-C ends the run with a checkpoint, or the filling of a cache with what is there.
  const Interrupt interrupt_;
  const Clock::time_point started_ = Clock::now();
  std::optional<ProgressBar> bar_;
  std::string told_save_;             // of the last checkpoint
  std::vector<std::string> written_;  // folders of models or ControlNets, or files of LoRAs
};

}  // namespace

int run_train(const TrainArgs& args) {
  const train::TrainConfig config = training_config_of(args);
  if (!args.export_state.empty()) {
    export_state(config, args.export_state, size_t(args.piece_megabytes) * 1'000'000);
    return 0;
  }
  if (!args.import_state.empty()) {
    import_state(config, args.import_state, args.fresh);
    return 0;
  }
  train::require_inputs(config);
  const bool is_dry = args.dry_run || !args.write_config.empty();
  std::vector<TrainingRun> runs = runs_of(config, is_dry);
  if (!args.write_config.empty()) {
    write_config(config, args.write_config);
    std::cout << "written; pangu-draw train " << args.write_config << "\n";
    return 0;
  }
  if (args.processes > 1 && !args.dry_run) {
    if (dist::place_from(dist::process_environment()).size > 1) {
      throw bad_input("--nproc", "no RANK in the environment, or no --nproc", "both",
                      "torchrun and srun start processes themselves");
    }
    return train_in_processes(args.processes, args.max_restarts);
  }
  const auto world = args.dry_run ? nullptr : world_of(config, args.join_timeout_s);
  if (!world || world->is_first()) note_slow_precision(config);
  return Training(args, std::move(runs), world).go();
}

}  // namespace pangu::app
