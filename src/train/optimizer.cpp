#include "train/optimizer.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <numeric>

#include "core/error.h"
#include "train/parameter_state.h"
#include "train/thread_count.h"

namespace pangu::train {
namespace {

constexpr double kPi = 3.14159265358979323846;

}  // namespace

// One parameter and its gradient so far.
struct Optimizer::Slot {
  ParameterState state;
  at::Tensor gradient = {};  // undefined: none yet
  at::Tensor sum = {};       // f32 of the parameter's strides, kept once it was needed
  double rate_factor = 1;
  double squares = 0;  // of the gradient, in a step that goes on
  bool is_stepped = false;

  at::Tensor& room() {
    const at::Tensor& p = state.param();
    if (!sum.defined()) {
      sum = at::empty_strided(p.sizes(), p.strides(), p.options().dtype(at::kFloat));
    }
    return sum;
  }
  void add(const at::Tensor& g) {
    if (!gradient.defined()) {
      gradient = state.takes(g) ? g : room().copy_(g);
      return;
    }
    if (!gradient.is_same(sum)) gradient = room().copy_(gradient);
    gradient.add_(g);
  }
  const at::Tensor& whole_gradient() {
    if (!gradient.defined()) gradient = room().zero_();
    return gradient;
  }
};

struct Optimizer::Constants : StepConstants {};

OptimizerKind optimizer_kind_from(const std::string& name) {
  if (name == "adamw") return OptimizerKind::kAdamW;
  if (name == "adamw8bit") return OptimizerKind::kAdamW8Bit;
  if (name == "muon") return OptimizerKind::kMuon;
  throw bad_input("optimizer", "'adamw', 'adamw8bit' or 'muon'", "'" + name + "'");
}

Optimizer::~Optimizer() = default;

Optimizer::Optimizer(const NamedTensors& params, const OptimizerOptions& options,
                     const std::vector<bool>& is_decayed)
    : options_(options), constants_(std::make_unique<Constants>()) {
  const at::NoGradGuard no_grad;
  if (options_.use_ema && !options_.ema_folder.empty()) {
    std::vector<int64_t> counts;
    for (const auto& [name, tensor] : params) counts.push_back(tensor.numel());
    averages_ = std::make_unique<const ScratchFile>(options_.ema_folder, counts);
  }
  slots_.reserve(params.size());
  for (const auto& [name, tensor] : params) {
    const bool decays = is_decayed.empty() ? tensor.dim() > 1 : is_decayed[slots_.size()];
    const ParameterState::Form form{
        .muon = options_.kind == OptimizerKind::kMuon,
        .codes = options_.kind == OptimizerKind::kAdamW8Bit,
        .ema = options_.use_ema,
        .ema_file = averages_ ? averages_->floats(slots_.size()) : at::Tensor(),
        .weight_decay = decays ? options_.weight_decay : 0};
    slots_.push_back({ParameterState(name, tensor, form)});
    if (options_.rate_factor) slots_.back().rate_factor = options_.rate_factor(name);
  }
  order_.resize(slots_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
    return slots_[a].state.cost() > slots_[b].state.cost();
  });
}

// A thread takes a whole parameter, the dearest first, and the next one when it is free. A step has
// three such sections and no others: threads that meet after every operator would wait for each
// other's turns wherever the machine has other work. No result depends on the number of threads.
template <class Work>
void Optimizer::for_each_slot(const Work& work) {
  std::atomic<size_t> next{0};
  const auto take = [&] {
    const at::NoGradGuard no_grad;
    use_threads_here(1);  // within one operator
    for (size_t k = next++; k < order_.size(); k = next++) work(order_[k]);
  };
  const bool host = slots_.empty() || slots_.front().state.param().is_cpu();
  std::vector<std::future<void>> threads;
  for (int i = 0; i < (host ? std::max(1, options_.threads) : 1); ++i) {
    threads.push_back(std::async(std::launch::async, take));
  }
  for (std::future<void>& thread : threads) thread.wait();
  for (std::future<void>& thread : threads) thread.get();  // rethrows
}

void Optimizer::add_gradients(const std::vector<std::vector<at::Tensor>>& gradients) {
  for_each_slot([&](size_t i) {
    for (const auto& replica : gradients) {
      if (replica[i].defined()) slots_[i].add(replica[i]);
    }
  });
}

void Optimizer::set_constants(double learning_rate, double ema_decay, int64_t step_index,
                              double scale) {
  AdamWConstants& c = constants_->adamw;
  c = {};
  c.lr = static_cast<float>(learning_rate);
  c.beta1 = static_cast<float>(options_.beta1);
  c.beta2 = static_cast<float>(options_.beta2);
  c.eps = static_cast<float>(options_.eps);
  c.grad_scale = static_cast<float>(scale);
  c.ema_decay = static_cast<float>(ema_decay);
  c.correction1 = static_cast<float>(1 - std::pow(options_.beta1, double(step_index)));
  c.correction2 = static_cast<float>(1 - std::pow(options_.beta2, double(step_index)));
  constants_->momentum = static_cast<float>(options_.muon_momentum);
}

Optimizer::Constants Optimizer::constants_of(const Slot& slot) const {
  Constants own = *constants_;
  if (slot.rate_factor != 1) own.adamw.lr = static_cast<float>(own.adamw.lr * slot.rate_factor);
  return own;
}

double Optimizer::step(double learning_rate, double ema_decay, int64_t step_index) {
  for_each_slot([&](size_t i) {
    Slot& s = slots_[i];
    if (!sums_.empty()) s.gradient = sums_[i];
    s.squares = s.state.squares(s.whole_gradient());
  });
  double squares = 0;
  for (const Slot& s : slots_) squares += s.squares;
  if (options_.sum_over_processes) squares = options_.sum_over_processes(squares);
  const double norm = std::sqrt(squares), limit = options_.max_grad_norm;
  if (std::isfinite(norm)) {
    set_constants(learning_rate, ema_decay, step_index,
                  limit > 0 && norm > limit ? limit / norm : 1.0);
    for_each_slot([&](size_t i) {
      slots_[i].state.step(slots_[i].gradient, constants_of(slots_[i]), 1);
      slots_[i].gradient = at::Tensor();
    });
  }
  for (Slot& s : slots_) s.gradient = at::Tensor();
  return norm;
}

void Optimizer::begin_step(double learning_rate, double ema_decay, int64_t step_index) {
  set_constants(learning_rate, ema_decay, step_index, 1.0);
  for (Slot& s : slots_) {
    s.squares = 0;
    s.is_stepped = false;
  }
}

void Optimizer::step_parameter(size_t i, const at::Tensor& gradient) {
  const at::NoGradGuard no_grad;
  Slot& s = slots_[i];
  if (std::exchange(s.is_stepped, true)) {
    throw Error(ErrorCode::kInternal, "optimizer: parameter '" + s.state.name() +
                                          "' has two gradients in one backward pass");
  }
  s.add(gradient);
  s.squares = s.state.squares(s.gradient);
  if (std::isfinite(s.squares)) s.state.step(s.gradient, constants_of(s), options_.threads);
  s.gradient = at::Tensor();
  s.sum = at::Tensor();
}

double Optimizer::finish_step() {
  double squares = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    if (!s.is_stepped) step_parameter(i, at::zeros_like(s.state.param()));
    squares += s.squares;
  }
  return std::sqrt(squares);
}

LazyTensors Optimizer::state() const {
  LazyTensors all;
  for (const Slot& s : slots_) s.state.add_state(all);
  return all;
}

void Optimizer::load_state(const LazyTensors& state) {
  const at::NoGradGuard no_grad;
  for (Slot& s : slots_) s.state.load_state(state);
}

std::map<std::string, at::Tensor> Optimizer::averaged(at::ScalarType type) const {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  for (const Slot& s : slots_) weights[s.state.name()] = s.state.averaged(type).cpu();
  return weights;
}

double learning_rate_at(const std::string& scheduler, double base, int64_t step, int64_t warmup,
                        int64_t total, double floor) {
  if (step < warmup) return base * double(step + 1) / double(warmup);
  if (scheduler != "cosine" || total <= warmup) return base;
  const double progress = std::min(1.0, double(step - warmup) / double(total - warmup));
  return base * (floor + (1 - floor) * 0.5 * (1 + std::cos(kPi * progress)));
}

}  // namespace pangu::train
