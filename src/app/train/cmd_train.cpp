// `pangu-draw train`: reads the configuration or makes one, trains what it says, shows progress.
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands.h"
#include "app/interrupt.h"
#include "app/train/finetune.h"
#include "app/train/training.h"
#include "app/train/training_state.h"
#include "core/error.h"
#include "core/message.h"
#include "core/progress.h"
#include "core/watch.h"
#include "pipeline/model.h"

namespace pangu::app {
namespace {

using Clock = std::chrono::steady_clock;

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
  if (!args.out.empty()) set("output_dir", quoted(args.out));
  if (args.steps) set("max_train_steps", std::to_string(*args.steps));
  if (!args.device.empty()) set("device", quoted(args.device));
  if (args.minutes) set("time_budget_minutes", number_text(*args.minutes));
  all.insert(all.end(), args.sets.begin(), args.sets.end());
  return all;
}

train::TrainConfig training_config_of(const TrainArgs& args) {
  if (!args.config.empty()) return train::TrainConfig::open(args.config, assignments_of(args));
  if (args.finetune.empty()) {
    throw bad_input("train", "a TOML file, or --finetune MODEL --data FOLDER --out FOLDER", "none");
  }
  if (args.data.empty()) throw bad_input("--data", "a folder of pictures and captions", "none");
  if (args.out.empty()) throw bad_input("--out", "a folder for the model", "none");
  return train::TrainConfig::with(finetuning_config(args.finetune, args.device),
                                  assignments_of(args));
}

void note_slow_precision(const train::TrainConfig& config) {
  if (config.device != "cpu" || config.mixed_precision != "bf16") return;
  if (pipeline::fastest_dtype("cpu") == "bf16") return;
  std::fprintf(stderr,
               "note: this processor does not multiply bf16, which is emulated slowly. Hint: --set "
               "mixed_precision=no trains in f32\n");
}

// Trains one run after another with one bar, until somebody stops it.
class Training {
 public:
  Training(const TrainArgs& args, std::vector<TrainingRun> runs)
      : args_(args), runs_(std::move(runs)) {}

  int go() {
    std::string stopped;
    for (size_t i = 0; i < runs_.size() && stopped.empty() && !interrupt_.wanted(); ++i) {
      try {
        train_one(runs_[i], runs_.size() - i);
      } catch (const Stopped& stop) {
        stopped = stop.what();
      }
    }
    bar_.reset();
    if (args_.dry_run) {
      std::cout << "all is fine, nothing was trained\n";
      return 0;
    }
    if (!model_.empty() && runs_.front().config.task == "denoiser") {
      std::cout << "model written; pangu-draw draw \"...\" --model " << model_ << "\n";
    }
    if (!interrupt_.wanted()) return 0;
    std::fprintf(stderr, "%s; the same command goes on from here\n",
                 stopped.empty() ? "stopped" : stopped.c_str());
    return interrupt_.exit_code();
  }

 private:
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
    run.quiet = args_.quiet;
    run.wants_stop = [this] { return interrupt_.wanted(); };
    run.say = [this](const std::string& text) { say(text); };
    run.hooks.stop = [this] {
      if (interrupt_.wanted()) say("stopping, writing a checkpoint");
      return interrupt_.wanted();
    };
    run.hooks.on_log = [this](const train::StepReport& r) { show(r); };
    const TrainingOutcome outcome =
        run.config.task == "autoencoder" ? train_autoencoder(run) : train_denoiser(run);
    if (!outcome.model.empty()) model_ = outcome.model;
    if (args_.dry_run || outcome.is_finished || interrupt_.wanted()) return;
    say("the time is up at step " + std::to_string(outcome.step) + " of " +
        std::to_string(run.config.max_train_steps) + "; the same command goes on from here");
  }

  // A line of its own, not one inside of the bar's.
  void say(const std::string& text) {
    bar_.reset();
    if (!args_.quiet) std::fprintf(stderr, "train: %s\n", text.c_str());
  }

  void show(const train::StepReport& r) {
    if (args_.quiet) return;
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
  // Ctrl-C ends the run with a checkpoint, or the filling of a cache with what is there.
  const Interrupt interrupt_;
  const Clock::time_point started_ = Clock::now();
  std::optional<ProgressBar> bar_;
  std::string model_;  // the folder that was written last
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
  std::vector<TrainingRun> runs = runs_of(config);
  if (!args.write_config.empty()) {
    write_config(config, args.write_config);
    std::cout << "written; pangu-draw train " << args.write_config << "\n";
    return 0;
  }
  note_slow_precision(config);
  return Training(args, std::move(runs)).go();
}

}  // namespace pangu::app
