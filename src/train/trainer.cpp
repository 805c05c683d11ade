#include "train/trainer.h"

#include <ATen/Parallel.h>
#include <torch/nn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "train/accounting.h"
#include "train/checkpoint.h"
#include "train/fingerprint.h"
#include "train/metrics_page.h"
#include "train/replicas.h"

namespace pangu::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Lines of metrics.jsonl that an interrupted run wrote after its last checkpoint are dropped.
void cut_metrics(const std::string& path, int64_t step) {
  std::ifstream in(path);
  if (!in) return;
  std::string kept, line;
  while (std::getline(in, line)) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    if (!entry.is_discarded() && entry.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  in.close();
  io::write_file_atomic(path, kept);
}

void append_metrics(const std::string& path, const StepReport& r) {
  const nlohmann::json entry = {{"step", r.step},
                                {"loss", r.loss},
                                {"learning_rate", r.learning_rate},
                                {"grad_norm", r.grad_norm},
                                {"samples_per_second", r.samples_per_second},
                                {"gflop_per_second", r.gflop_per_second},
                                {"optimizer_share", r.optimizer_share},
                                {"seconds", r.seconds},
                                {"skipped", r.skipped}};
  std::ofstream(path, std::ios::app) << entry.dump() << "\n";
}

void write_page(const TrainConfig& config, const std::string& metrics_path) {
  if (!std::filesystem::exists(metrics_path)) return;
  io::write_file_atomic(config.output_dir + "/metrics.html",
                        metrics_page(config.output_dir, io::read_text_file(metrics_path)));
}

int64_t core_count() { return std::max<int64_t>(1, std::thread::hardware_concurrency()); }

std::string checkpoint_path(const TrainConfig& config) {
  return config.output_dir + "/checkpoint.safetensors";
}

// The modules in the precision and on the device of the training.
const std::vector<std::shared_ptr<torch::nn::Module>>& prepared(
    const TrainConfig& config, const std::vector<std::shared_ptr<torch::nn::Module>>& modules) {
  const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  for (const auto& module : modules) {
    module->to(at::Device(config.device), dtype);
    module->train();
  }
  return modules;
}

OptimizerOptions optimizer_options(const TrainConfig& config) {
  OptimizerOptions options;
  options.kind = optimizer_kind_from(config.optimizer);
  options.beta1 = config.adam_beta1;
  options.beta2 = config.adam_beta2;
  options.weight_decay = config.adam_weight_decay;
  options.max_grad_norm = config.max_grad_norm;
  options.use_ema = config.use_ema;
  options.threads = at::get_num_threads();
  return options;
}

// One run: from its checkpoint, if there is one, to its last step or the end of its time.
class Run {
 public:
  Run(const TrainConfig& config, const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
      const LossFunction& loss, const RunInputs& inputs, const TrainHooks& hooks)
      : config_(config),
        loss_(loss),
        hooks_(hooks),
        fingerprint_(fingerprint_of(config, inputs, static_cast<int64_t>(modules.size()))),
        checkpoint_path_(checkpoint_path(config)),
        metrics_path_(config.output_dir + "/metrics.jsonl"),
        replicas_(prepared(config, modules),
                  std::max(1, static_cast<int>(core_count() / int64_t(modules.size())))),
        optimizer_(replicas_.parameters(), optimizer_options(config)) {
    report_.max_steps = config.max_train_steps;
  }

  void resume() {
    if (const auto checkpoint = load_checkpoint(checkpoint_path_)) {
      optimizer_.load_state(checkpoint->tensors);
      step_ = checkpoint->step;
      seconds_before_ = checkpoint->train_seconds;
      cpu_seconds_before_ = checkpoint->cpu_seconds;
    }
  }

  TrainResult go() {
    if (step_ == 0) std::filesystem::remove(metrics_path_);
    cut_metrics(metrics_path_, step_);
    io::remove_stale_temporaries(checkpoint_path_);  // of runs that were killed while they saved
    start_ = last_save_ = last_log_ = Clock::now();
    cpu_start_ = process_cpu_seconds();
    first_step_ = logged_step_ = step_;
    for (bool last = false; step_ < config_.max_train_steps && !last;) {
      for (int64_t a = 0; a < config_.gradient_accumulation_steps; ++a) add_gradients(a);
      take_step();
      const bool out_of_time =
          (budget() > 0 && seconds_since(start_) >= budget()) || (hooks_.stop && hooks_.stop());
      last = out_of_time || step_ == config_.max_train_steps;
      if (last || step_ % config_.log_every_n_steps == 0) log();
      if (last || save_is_due()) save();
      const int64_t every = config_.sample_every_n_steps;
      const bool sample = every > 0 && (last || step_ % every == 0);
      if (sample || last) write_page(config_, metrics_path_);
      if (sample && hooks_.on_sample) hooks_.on_sample(step_, optimizer_.averaged());
      if (sample) last_log_ = Clock::now();
    }
    return {.step = step_,
            .finished = step_ >= config_.max_train_steps,
            .seconds = spent_seconds(),
            .cpu_seconds = spent_cpu_seconds(),
            .gflop_a_batch = flop_a_batch_ * 1e-9,
            .weights = optimizer_.averaged()};
  }

 private:
  double spent_seconds() const { return seconds_before_ + seconds_since(start_); }
  double spent_cpu_seconds() const {
    return cpu_seconds_before_ + process_cpu_seconds() - cpu_start_;
  }
  double budget() const { return config_.time_budget_minutes * 60; }
  double samples_a_step() const {
    return double(config_.train_batch_size * config_.gradient_accumulation_steps);
  }

  // Of micro-batch number `part` of this step.
  void add_gradients(int64_t part) {
    const int64_t batch = step_ * config_.gradient_accumulation_steps + part;
    const double scale = 1.0 / samples_a_step();
    // The first step of a run warms kernels up, the second is counted.
    if (flop_a_batch_ == 0 && step_ > first_step_) {
      double sum = 0;
      flop_a_batch_ = replicas_.count_flop(loss_, batch, config_.train_batch_size, scale, &sum);
      loss_sum_ += sum;
    } else {
      loss_sum_ += replicas_.run(loss_, batch, config_.train_batch_size, scale);
    }
    const auto summing = Clock::now();
    optimizer_.add_gradients(replicas_.gradients());
    optimizer_seconds_ += seconds_since(summing);
    replicas_.clear_gradients();
  }

  void take_step() {
    int64_t scheduled = step_;
    if (hooks_.progress && step_ >= config_.lr_warmup_steps) {
      const double share = std::clamp(hooks_.progress(), 0.0, 1.0);
      scheduled = std::max(step_, static_cast<int64_t>(share * double(config_.max_train_steps)));
    }
    report_.learning_rate = learning_rate_at(config_.lr_scheduler, config_.learning_rate, scheduled,
                                             config_.lr_warmup_steps, config_.max_train_steps);
    const double ema_decay = std::min(config_.ema_decay, double(1 + step_) / double(10 + step_));
    const auto stepping = Clock::now();
    report_.grad_norm = optimizer_.step(report_.learning_rate, ema_decay, step_ + 1);
    optimizer_seconds_ += seconds_since(stepping);
    if (!std::isfinite(report_.grad_norm)) ++report_.skipped;
    ++step_;
  }

  void log() {
    const double interval = seconds_since(last_log_), spent = seconds_since(start_);
    const double steps = double(step_ - logged_step_), samples = steps * samples_a_step();
    const double batches = steps * double(config_.gradient_accumulation_steps);
    report_.step = step_;
    report_.loss = loss_sum_ / samples;
    report_.samples_per_second = samples / interval;
    report_.gflop_per_second = flop_a_batch_ * batches / interval * 1e-9;
    report_.optimizer_share = optimizer_seconds_ / interval;
    report_.seconds = seconds_before_ + spent;
    report_.seconds_left = double(config_.max_train_steps - step_) * interval / steps;
    if (budget() > 0) report_.seconds_left = std::min(report_.seconds_left, budget() - spent);
    append_metrics(metrics_path_, report_);
    if (hooks_.on_log) hooks_.on_log(report_);
    loss_sum_ = optimizer_seconds_ = 0;
    logged_step_ = step_;
    last_log_ = Clock::now();
  }

  bool save_is_due() const {
    const int64_t by_number = config_.save_every_n_steps;
    return seconds_since(last_save_) >= config_.save_every_minutes * 60 ||
           (by_number > 0 && step_ % by_number == 0);
  }

  void save() {
    save_checkpoint(checkpoint_path_, {step_, spent_seconds(), spent_cpu_seconds(), fingerprint_,
                                       optimizer_.state()});
    last_save_ = Clock::now();
  }

  const TrainConfig& config_;
  const LossFunction& loss_;
  const TrainHooks& hooks_;
  std::string fingerprint_, checkpoint_path_, metrics_path_;
  Replicas replicas_;
  Optimizer optimizer_;
  int64_t step_ = 0, first_step_ = 0, logged_step_ = 0;
  double seconds_before_ = 0, cpu_seconds_before_ = 0, cpu_start_ = 0;
  Clock::time_point start_, last_save_, last_log_;
  // Since the last report.
  double loss_sum_ = 0, optimizer_seconds_ = 0;
  double flop_a_batch_ = 0;  // 0: not counted yet
  StepReport report_;
};

}  // namespace

int64_t replica_count(const TrainConfig& config) {
  if (config.replicas > 0) return config.replicas;
  return config.device == "cpu" ? core_count() : 1;
}

int64_t steps_done(const TrainConfig& config) {
  return checkpoint_step(checkpoint_path(config)).value_or(0);
}

uint64_t bytes_on_disk(const TrainConfig& config, const torch::nn::Module& network) {
  uint64_t parameters = 0;
  for (const at::Tensor& one : network.parameters()) parameters += uint64_t(one.numel());
  // Master weights and two moments at most, and the average; the exported weights are bf16.
  const uint64_t copies = config.use_ema ? 4 : 3;
  return parameters * (2 * copies * sizeof(float) + sizeof(at::BFloat16));
}

void check_resumable(const TrainConfig& config, const RunInputs& inputs, int64_t replicas) {
  const std::string path = checkpoint_path(config);
  const auto before = fingerprint_in(path);
  if (!before) return;
  const std::string now = fingerprint_of(config, inputs, replicas);
  const std::string difference = difference_of(*before, now);
  if (difference.empty()) return;
  throw bad_input("checkpoint '" + path + "'", "the settings and inputs it was written with",
                  difference, way_on(*before, now));
}

TrainResult train(const TrainConfig& config,
                  const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
                  const LossFunction& loss, const RunInputs& inputs, const TrainHooks& hooks,
                  bool resume) {
  std::filesystem::create_directories(config.output_dir);
  if (resume) check_resumable(config, inputs, static_cast<int64_t>(modules.size()));
  Run run(config, modules, loss, inputs, hooks);
  if (resume) run.resume();
  return run.go();
}

}  // namespace pangu::train
