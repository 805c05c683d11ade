#include "train/trainer.h"

#include <ATen/Parallel.h>
#include <torch/nn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/folder_lock.h"
#include "io/mapped_file.h"
#include "train/accounting.h"
#include "train/checkpoint.h"
#include "train/checkpoint_writer.h"
#include "train/data_parallel.h"
#include "train/fingerprint.h"
#include "train/fused_backward.h"
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
  nlohmann::json entry = {{"step", r.step},
                          {"loss", r.loss},
                          {"learning_rate", r.learning_rate},
                          {"grad_norm", r.grad_norm},
                          {"samples_per_second", r.samples_per_second},
                          {"gflop_per_second", r.gflop_per_second},
                          {"optimizer_share", r.optimizer_share},
                          {"data_wait_share", r.data_wait_share},
                          {"seconds", r.seconds},
                          {"skipped", r.skipped},
                          {"bytes_sent_a_step", r.bytes_sent_a_step}};
  for (const auto& [name, mean] : r.gauges) entry[name] = mean;
  std::ofstream(path, std::ios::app) << entry.dump() << "\n";
}

void write_page(const TrainConfig& config, const std::string& metrics_path) {
  if (!std::filesystem::exists(metrics_path)) return;
  io::write_file_atomic(config.output_dir + "/metrics.html",
                        metrics_page(config.output_dir, io::read_text_file(metrics_path)));
}

int64_t core_count() { return std::max<int64_t>(1, std::thread::hardware_concurrency()); }

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
  if (config.offload_ema) options.ema_folder = config.output_dir;
  options.threads = at::get_num_threads();
  return options;
}

// Threads within an operator of each replica, of those that this process may use (--threads) and of
// the cores that it has to itself.
int threads_of_replica(int64_t replicas, const dist::World& world) {
  const int64_t own = std::min<int64_t>(at::get_num_threads(), core_count() / world.local_size());
  return std::max(1, static_cast<int>(own / replicas));
}

// No other training writes there as long as that lives.
std::unique_ptr<io::FolderLock> locked_output(const TrainConfig& config) {
  constexpr std::chrono::seconds kPatience{3};  // with a training that was just killed
  auto lock = io::FolderLock::taken(config.output_dir, kPatience);
  if (lock) return lock;
  throw bad_input("output_dir '" + config.output_dir + "'", "a folder of its own",
                  "that of a training that is going on", "wait for it or end it, or name another");
}

bool is_shared(const TrainHooks& hooks) { return hooks.world && !hooks.world->is_alone(); }

// One run: from its checkpoint, if there is one, to its last step or the end of its time.
class Run {
 public:
  Run(const TrainConfig& config, const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
      const LossFunction& loss, const RunInputs& inputs, const TrainHooks& hooks)
      : config_(config),
        loss_(loss),
        hooks_(hooks),
        world_(hooks.world ? hooks.world : std::make_shared<dist::World>()),
        fingerprint_(fingerprint_of(config, inputs,
                                    is_shared(hooks) ? 0 : static_cast<int64_t>(modules.size()))),
        metrics_path_(config.output_dir + "/metrics.jsonl"),
        replicas_(prepared(config, modules),
                  threads_of_replica(static_cast<int64_t>(modules.size()), *world_)),
        checkpoints_(*world_, config.output_dir, config.async_save_memory_gib) {
    report_.max_steps = config.max_train_steps;
    OptimizerOptions options = optimizer_options(config);
    options.rate_factor = hooks.rate_factor;
    if (world_->is_alone()) {
      optimizer_.emplace(replicas_.parameters(), options);
      if (config.fused_backward_pass) fused_.emplace(*optimizer_, replicas_.parameters());
      return;
    }
    shared_.emplace(*world_, replicas_.parameters(), replicas_.leaves(),
                    DataParallelOptions{.zero_stage = static_cast<int>(config.zero_stage),
                                        .optimizer = options.kind});
    if (shared_->is_divided()) {
      options.sum_over_processes = [this](double part) { return world_->sums({part})[0]; };
    }
    optimizer_.emplace(shared_->stepped(), options, shared_->is_decayed());
    optimizer_->use_gradients(shared_->gradients());
  }

  void resume() {
    const auto path = checkpoint_in(config_.output_dir);
    const auto checkpoint = path ? load_checkpoint(*path) : std::nullopt;
    const CheckpointNote note = checkpoint ? CheckpointNote(*checkpoint) : CheckpointNote{};
    const std::vector<double> which = {double(note.step), double(note.id)};
    if (world_->any(which != world_->of_first(which))) {
      throw bad_input("output_dir '" + config_.output_dir + "'",
                      "the same checkpoint for all processes", "different ones",
                      "all machines must see one folder");
    }
    if (!checkpoint) return;
    const LazyTensors known = optimizer_->state();
    for (const auto& [name, tensor] : checkpoint->tensors) {
      if (known.contains(name)) continue;
      throw bad_input("checkpoint '" + *path + "'", "tensors of this training", "'" + name + "'",
                      "it was written for another model; start with an empty output_dir");
    }
    optimizer_->load_state(shared_ ? shared_->own_part(checkpoint->tensors)
                                   : whole_of(checkpoint->tensors));
    if (shared_) shared_->exchange_params();
    step_ = checkpoint->step;
    seconds_before_ = checkpoint->train_seconds;
    cpu_seconds_before_ = checkpoint->cpu_seconds;
  }

  TrainResult go() {
    if (world_->is_first()) {
      if (step_ == 0) std::filesystem::remove(metrics_path_);
      cut_metrics(metrics_path_, step_);
      tidy_checkpoints(config_.output_dir);
    }
    start_ = last_save_ = last_log_ = Clock::now();
    cpu_start_ = process_cpu_seconds();
    first_step_ = logged_step_ = step_;
    logged_bytes_ = world_->bytes_sent();
    if (shared_) progress_ = world_->of_first({share_of_schedule()})[0];
    for (bool last = false; step_ < config_.max_train_steps && !last;) {
      if (fused_) {
        take_fused_step();
      } else {
        for (int64_t a = 0; a < config_.gradient_accumulation_steps; ++a) add_gradients(a);
        take_step();
      }
      const Votes votes = voted();
      last = votes.stops || step_ == config_.max_train_steps;
      if (last || step_ % config_.log_every_n_steps == 0) log();
      if (votes.is_written) checkpoints_.finish();
      if (last || votes.saves) save(last);
      const int64_t every = config_.sample_every_n_steps;
      const bool sample = every > 0 && (last || step_ % every == 0);
      if ((sample || last) && world_->is_first()) write_page(config_, metrics_path_);
      if (sample && (hooks_.on_sample || shared_)) {
        const std::map<std::string, at::Tensor> weights = averaged();
        if (hooks_.on_sample && world_->is_first()) hooks_.on_sample(step_, weights);
      }
      if (sample) last_log_ = Clock::now();
    }
    return {.step = step_,
            .finished = step_ >= config_.max_train_steps,
            .seconds = spent_seconds(),
            .cpu_seconds = spent_cpu_seconds(),
            .data_wait_share = waited_share(data_waited(), seconds_since(start_)),
            .gflop_a_batch = flop_a_batch_ * 1e-9,
            .weights = averaged()};
  }

 private:
  // What is decided by clocks, signals and files after a step: the same in every process.
  struct Votes {
    bool stops = false, saves = false;
    bool is_written = false;  // the checkpoint that was being written, by all
  };

  Votes voted() {
    const bool is_first = world_->is_first();
    const bool out_of_time = is_first && budget() > 0 && seconds_since(start_) >= budget();
    const bool stops = out_of_time || (hooks_.stop && hooks_.stop());
    const bool saves = is_first && save_is_due();
    if (!shared_) {
      loss_sum_ += step_loss_;
      step_loss_ = 0;
      return {stops, saves, checkpoints_.is_written()};
    }
    const double share = share_of_schedule();
    const std::vector<double> sums =
        world_->sums({double(stops), double(saves), share, std::exchange(step_loss_, 0),
                      double(checkpoints_.is_written())});
    progress_ = sums[2];
    loss_sum_ += sums[3];
    return {sums[0] > 0, sums[1] > 0, sums[4] == double(world_->size())};
  }

  // Of the schedule, by the first process's hook.
  double share_of_schedule() const {
    const bool asks = hooks_.progress && world_->is_first() && step_ >= config_.lr_warmup_steps;
    return asks ? hooks_.progress() : 0;
  }

  // Of all processes' parts, for the first process; every process must ask.
  std::map<std::string, at::Tensor> averaged() {
    if (shared_ && !shared_->is_divided() && !world_->is_first()) return {};
    const auto parts = optimizer_->averaged(hooks_.weights_type);
    return shared_ ? shared_->whole(parts) : parts;
  }

  double spent_seconds() const { return seconds_before_ + seconds_since(start_); }
  // Of all processes; every process must ask.
  double spent_cpu_seconds() {
    return cpu_seconds_before_ + world_->sums({process_cpu_seconds() - cpu_start_})[0];
  }
  double data_waited() const { return hooks_.data_wait ? hooks_.data_wait->seconds() : 0; }
  double waited_share(double waited, double seconds) const {
    return seconds > 0 ? waited / (seconds * double(replicas_.count())) : 0;
  }
  double budget() const { return config_.time_budget_minutes * 60; }
  double samples_a_step() const {
    return double(config_.train_batch_size * config_.gradient_accumulation_steps);
  }

  // The samples of a micro-batch that are this process's.
  BatchPart part_of_batch(int64_t batch) const {
    const int64_t size = config_.train_batch_size;
    const int64_t first = size * world_->rank() / world_->size();
    return {batch, first, size * (world_->rank() + 1) / world_->size() - first};
  }

  // Runs micro-batch number `part` of this step forward and backward.
  void run_batch(int64_t part) {
    const int64_t parts = config_.gradient_accumulation_steps;
    const BatchPart mine = part_of_batch(step_ * parts + part);
    const double scale = 1.0 / samples_a_step();
    std::function<void(int)> on_done;
    if (shared_) {
      shared_->buckets().begin(part == 0, part == parts - 1);
      on_done = [this](int replica) { shared_->buckets().replica_done(replica); };
    }
    // The first step of a run warms kernels up, the second is counted.
    if (flop_a_batch_ == 0 && step_ > first_step_) {
      double sum = 0;
      const double flop = replicas_.count_flop(loss_, mine, scale, &sum, on_done);
      step_loss_ += sum;
      flop_a_batch_ = world_->sums({flop})[0];
    } else {
      step_loss_ += replicas_.run(loss_, mine, scale, on_done);
    }
  }

  void add_gradients(int64_t part) {
    run_batch(part);
    const auto summing = Clock::now();
    if (shared_) {
      shared_->buckets().finish();
    } else {
      optimizer_->add_gradients(replicas_.gradients());
      replicas_.clear_gradients();
    }
    optimizer_seconds_ += seconds_since(summing);
  }

  double scheduled_rate() const {
    const double share = std::clamp(shared_ ? progress_ : share_of_schedule(), 0.0, 1.0);
    const int64_t scheduled =
        std::max(step_, static_cast<int64_t>(share * double(config_.max_train_steps)));
    return learning_rate_at(config_.lr_scheduler, config_.learning_rate, scheduled,
                            config_.lr_warmup_steps, config_.max_train_steps);
  }
  double ema_decay() const {
    return std::min(config_.ema_decay, double(1 + step_) / double(10 + step_));
  }

  void take_step() {
    report_.learning_rate = scheduled_rate();
    const auto stepping = Clock::now();
    report_.grad_norm = optimizer_->step(report_.learning_rate, ema_decay(), step_ + 1);
    if (shared_ && std::isfinite(report_.grad_norm)) shared_->exchange_params();
    optimizer_seconds_ += seconds_since(stepping);
    count_step();
  }

  // The same, where the batch's backward pass steps.
  void take_fused_step() {
    report_.learning_rate = scheduled_rate();
    const double seconds_before = fused_->seconds();
    optimizer_->begin_step(report_.learning_rate, ema_decay(), step_ + 1);
    run_batch(0);
    const auto finishing = Clock::now();
    report_.grad_norm = optimizer_->finish_step();
    optimizer_seconds_ += seconds_since(finishing) + fused_->seconds() - seconds_before;
    count_step();
  }

  void count_step() {
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
    report_.data_wait_share = waited_share(data_waited() - waited_before_, interval);
    waited_before_ = data_waited();
    report_.bytes_sent_a_step = (world_->bytes_sent() - logged_bytes_) / steps;
    logged_bytes_ = world_->bytes_sent();
    if (hooks_.gauges) report_.gauges = hooks_.gauges->take();
    report_.seconds = seconds_before_ + spent;
    report_.seconds_left = double(config_.max_train_steps - step_) * interval / steps;
    if (budget() > 0) report_.seconds_left = std::min(report_.seconds_left, budget() - spent);
    if (world_->is_first()) {
      append_metrics(metrics_path_, report_);
      if (hooks_.on_log) hooks_.on_log(report_);
    }
    loss_sum_ = optimizer_seconds_ = 0;
    logged_step_ = step_;
    last_log_ = Clock::now();
  }

  bool save_is_due() const {
    const int64_t by_number = config_.save_every_n_steps;
    return seconds_since(last_save_) >= config_.save_every_minutes * 60 ||
           (by_number > 0 && step_ % by_number == 0);
  }

  // The last one is waited for, and needs no copy.
  void save(bool is_last) {
    CheckpointNote note;
    note.step = step_;
    note.train_seconds = spent_seconds();
    note.cpu_seconds = spent_cpu_seconds();
    note.fingerprint = fingerprint_;
    const LazyTensors state = optimizer_->state();
    const SaveReport saved = checkpoints_.save(
        std::move(note), shared_ ? shared_->written_parts(state) : share_of(state, 0, 1), is_last);
    if (hooks_.on_save && world_->is_first()) hooks_.on_save(saved);
    last_save_ = Clock::now();
  }

  const TrainConfig& config_;
  const LossFunction& loss_;
  const TrainHooks& hooks_;
  const std::shared_ptr<dist::World> world_;
  std::string fingerprint_, metrics_path_;
  Replicas replicas_;
  CheckpointWriter checkpoints_;
  std::optional<DataParallel> shared_;  // where there are several processes
  std::optional<Optimizer> optimizer_;
  std::optional<FusedBackward> fused_;
  int64_t step_ = 0, first_step_ = 0, logged_step_ = 0;
  double seconds_before_ = 0, cpu_seconds_before_ = 0, cpu_start_ = 0;
  Clock::time_point start_, last_save_, last_log_;
  // Since the last report.
  double loss_sum_ = 0, optimizer_seconds_ = 0;
  double step_loss_ = 0;      // of this step and this process
  double logged_bytes_ = 0;   // that had been sent then
  double progress_ = 0;       // the first process's answer after the last step
  double waited_before_ = 0;  // for data, up to that report
  double flop_a_batch_ = 0;   // 0: not counted yet
  StepReport report_;
};

}  // namespace

void Gauges::add(const std::string& name, double sum, int64_t count) {
  const std::lock_guard lock(mutex_);
  auto& [total, samples] = sums_[name];
  total += sum;
  samples += count;
}

std::map<std::string, double> Gauges::take() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, double> means;
  for (const auto& [name, sum] : sums_) means[name] = sum.first / double(sum.second);
  sums_.clear();
  return means;
}

int64_t replica_count(const TrainConfig& config) {
  if (config.replicas > 0) return config.replicas;
  return config.device == "cpu" ? core_count() : 1;
}

int64_t steps_done(const TrainConfig& config) {
  const auto path = checkpoint_in(config.output_dir);
  const auto note = path ? checkpoint_note(*path) : std::nullopt;
  return note ? note->step : 0;
}

uint64_t bytes_on_disk(const TrainConfig& config, const torch::nn::Module& network) {
  uint64_t parameters = 0;
  for (const at::Tensor& one : network.parameters()) parameters += uint64_t(one.numel());
  // Master weights and two moments at most, and the average; the exported weights are bf16.
  const bool codes = optimizer_kind_from(config.optimizer) == OptimizerKind::kAdamW8Bit;
  const uint64_t moments = codes ? 2 * sizeof(uint8_t) + 1 : 2 * sizeof(float);  // 1: the scales
  const uint64_t kept = sizeof(float) + moments + (config.use_ema ? sizeof(float) : 0);
  return parameters * (2 * kept + sizeof(at::BFloat16));
}

void check_resumable(const TrainConfig& config, const RunInputs& inputs, const TrainHooks& hooks) {
  const auto path = checkpoint_in(config.output_dir);
  const auto note = path ? checkpoint_note(*path) : std::nullopt;
  if (!note) return;
  const std::string now =
      fingerprint_of(config, inputs, is_shared(hooks) ? 0 : replica_count(config));
  const std::string difference = difference_of(note->fingerprint, now);
  if (difference.empty()) return;
  throw bad_input("checkpoint '" + *path + "'", "the settings and inputs it was written with",
                  difference, way_on(note->fingerprint, now));
}

TrainResult train(const TrainConfig& config,
                  const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
                  const LossFunction& loss, const RunInputs& inputs, const TrainHooks& hooks,
                  bool resume) {
  std::filesystem::create_directories(config.output_dir);
  const auto lock = is_shared(hooks) && !hooks.world->is_first() ? nullptr : locked_output(config);
  if (config.fused_backward_pass && modules.size() != 1) {
    throw bad_input("replicas", "1, as fused_backward_pass is true",
                    std::to_string(modules.size()));
  }
  if (config.fused_backward_pass && is_shared(hooks)) {
    throw bad_input("fused_backward_pass", "false where several processes train together", "true");
  }
  if (resume) check_resumable(config, inputs, hooks);
  Run run(config, modules, loss, inputs, hooks);
  if (resume) run.resume();
  return run.go();
}

}  // namespace pangu::train
