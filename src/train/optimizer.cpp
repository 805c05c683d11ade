#include "train/optimizer.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <numeric>

#include "core/error.h"
#include "train/muon.h"
#include "train/thread_count.h"

namespace pangu::train {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The elements of a dense tensor in the order of its memory.
at::Tensor flat(const at::Tensor& t) { return t.as_strided({t.numel()}, {1}); }

at::Tensor like(const at::Tensor& value, const at::Tensor& layout) {
  return at::empty_strided(layout.sizes(), layout.strides(), layout.options().dtype(at::kFloat))
      .copy_(value);
}

// A dense tensor as [first size, all others], its columns in the order of memory where rows follow
// one another there: Muon's update does not depend on the order of columns.
at::Tensor as_matrix(const at::Tensor& t) {
  const int64_t rows = t.size(0), columns = t.numel() / std::max<int64_t>(1, rows);
  if (t.stride(0) == columns) return t.as_strided({rows, columns}, {columns, 1});
  return t.contiguous().view({rows, columns});
}

at::Tensor from_matrix(const at::Tensor& matrix, const at::Tensor& layout) {
  if (layout.stride(0) == matrix.size(1)) {
    return matrix.as_strided(layout.sizes(), layout.strides());
  }
  return matrix.view(layout.sizes());
}

struct Constants {
  float lr, eps, weight_decay, grad_scale, ema_decay;
  float beta1, beta2, correction1, correction2;  // correction: 1 - beta^step
  float momentum;                                // of Muon
};

// AdamW; reads and writes every array once.
template <class Param>
void adamw_on_cpu(Param* param, float* master, float* m, float* v, float* ema, const float* grad,
                  int64_t count, float decay, const Constants& c) {
  const float step = c.lr / c.correction1, root = 1.0f / std::sqrt(c.correction2);
  for (int64_t i = 0; i < count; ++i) {
    const float g = grad[i] * c.grad_scale;
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
    const float w = master[i] * (1 - c.lr * decay) - step * m[i] / (std::sqrt(v[i]) * root + c.eps);
    master[i] = w;
    param[i] = static_cast<Param>(w);
    if (ema) ema[i] += (1 - c.ema_decay) * (w - ema[i]);
  }
}

}  // namespace

// One parameter and its state, all of equal strides.
struct Optimizer::Slot {
  std::string name;
  at::Tensor param, master, m, v, ema;  // v undefined where Muon steps, ema without an average
  at::ScalarType product = at::kFloat;  // type of Muon's products
  float decay = 0;

  bool muon() const { return !v.defined(); }
  // Multiply-adds of a step, about.
  int64_t cost() const {
    if (!muon()) return param.numel();
    return param.numel() *
           std::min(param.size(0), param.numel() / std::max<int64_t>(1, param.size(0)));
  }
  // The plain form, for any device; the test holds the loop above against it.
  void step_adamw(const at::Tensor& grad, const Constants& c) {
    const at::Tensor g = grad * c.grad_scale;
    m.mul_(c.beta1).add_(g, 1 - c.beta1);
    v.mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
    const at::Tensor root = v.sqrt().div_(std::sqrt(c.correction2)).add_(c.eps);
    master.mul_(1 - c.lr * decay).addcdiv_(m, root, -c.lr / c.correction1);
    publish(c);
  }
  void step_muon(const at::Tensor& grad, const Constants& c) {
    const at::Tensor g = grad * c.grad_scale;
    m.lerp_(g, 1 - c.momentum);
    const at::Tensor ahead = as_matrix(g.lerp_(m, c.momentum));  // Nesterov's
    const at::Tensor update = orthogonalised(ahead, product);
    const double scale = muon_scale(update.size(0), update.size(1));
    master.mul_(1 - c.lr * decay).sub_(from_matrix(update, master), c.lr * scale);
    publish(c);
  }
  void publish(const Constants& c) {
    param.copy_(master);
    if (ema.defined()) ema.lerp_(master, 1 - c.ema_decay);
  }
};

OptimizerKind optimizer_kind_from(const std::string& name) {
  if (name == "adamw") return OptimizerKind::kAdamW;
  if (name == "muon") return OptimizerKind::kMuon;
  throw bad_input("optimizer", "'adamw' or 'muon'", "'" + name + "'");
}

Optimizer::~Optimizer() = default;

Optimizer::Optimizer(const NamedTensors& params, const OptimizerOptions& options)
    : options_(options) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : params) {
    if (!tensor.is_non_overlapping_and_dense()) {
      throw Error(ErrorCode::kInternal, "optimizer: parameter '" + name + "' is not dense");
    }
    Slot slot;
    slot.name = name;
    slot.param = tensor.detach();
    slot.master = like(slot.param, slot.param);
    slot.m = at::zeros_like(slot.master);
    const bool muon = options_.kind == OptimizerKind::kMuon && is_inner_matrix(name, tensor);
    if (muon) {
      slot.product = muon_dtype(tensor);
    } else {
      slot.v = at::zeros_like(slot.master);
    }
    if (options_.use_ema) slot.ema = slot.master.clone();
    if (tensor.dim() > 1) slot.decay = static_cast<float>(options_.weight_decay);
    summed_.push_back(at::zeros_like(slot.master));
    slots_.push_back(std::move(slot));
  }
  order_.resize(slots_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(),
                   [&](size_t a, size_t b) { return slots_[a].cost() > slots_[b].cost(); });
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
  const bool host = slots_.empty() || slots_.front().param.is_cpu();
  std::vector<std::future<void>> threads;
  for (int i = 0; i < (host ? std::max(1, options_.threads) : 1); ++i) {
    threads.push_back(std::async(std::launch::async, take));
  }
  for (std::future<void>& thread : threads) thread.wait();
  for (std::future<void>& thread : threads) thread.get();  // rethrows
}

void Optimizer::add_gradients(const std::vector<std::vector<at::Tensor>>& gradients) {
  for_each_slot([&](size_t i) {
    bool first = empty_;
    for (const auto& replica : gradients) {
      if (!replica[i].defined()) continue;
      if (first) {
        summed_[i].copy_(replica[i]);
      } else {
        summed_[i].add_(replica[i]);
      }
      first = false;
    }
    if (first) summed_[i].zero_();
  });
  empty_ = false;
}

double Optimizer::step(double learning_rate, double ema_decay, int64_t step_index) {
  empty_ = true;
  std::vector<double> squares_of(slots_.size());
  for_each_slot([&](size_t i) {
    const at::Tensor g = flat(summed_[i]);
    squares_of[i] = at::dot(g, g).item<double>();
  });
  double squares = 0;
  for (const double s : squares_of) squares += s;
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  const double limit = options_.max_grad_norm;
  Constants c{};
  c.lr = static_cast<float>(learning_rate);
  c.beta1 = static_cast<float>(options_.beta1);
  c.beta2 = static_cast<float>(options_.beta2);
  c.eps = static_cast<float>(options_.eps);
  c.grad_scale = limit > 0 && norm > limit ? static_cast<float>(limit / norm) : 1.0f;
  c.ema_decay = static_cast<float>(ema_decay);
  c.correction1 = static_cast<float>(1 - std::pow(options_.beta1, double(step_index)));
  c.correction2 = static_cast<float>(1 - std::pow(options_.beta2, double(step_index)));
  c.momentum = static_cast<float>(options_.muon_momentum);
  for_each_slot([&](size_t i) {
    Slot& s = slots_[i];
    const auto on_cpu = [&](auto* param) {
      adamw_on_cpu(param, s.master.data_ptr<float>(), s.m.data_ptr<float>(), s.v.data_ptr<float>(),
                   s.ema.defined() ? s.ema.data_ptr<float>() : nullptr,
                   summed_[i].data_ptr<float>(), s.param.numel(), s.decay, c);
    };
    if (s.muon()) {
      s.step_muon(summed_[i], c);
    } else if (s.param.is_cpu() && s.param.scalar_type() == at::kFloat) {
      on_cpu(s.param.data_ptr<float>());
    } else if (s.param.is_cpu() && s.param.scalar_type() == at::kBFloat16) {
      on_cpu(s.param.data_ptr<at::BFloat16>());
    } else {
      s.step_adamw(summed_[i], c);
    }
  });
  return norm;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> state;
  for (const Slot& s : slots_) {
    state["master/" + s.name] = s.master.cpu().contiguous();
    state["m/" + s.name] = s.m.cpu().contiguous();
    if (s.v.defined()) state["v/" + s.name] = s.v.cpu().contiguous();
    if (s.ema.defined()) state["ema/" + s.name] = s.ema.cpu().contiguous();
  }
  return state;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  const at::NoGradGuard no_grad;
  const auto restore = [&](const std::string& name, at::Tensor& into) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw bad_input("checkpoint", "tensor '" + name + "'", "none",
                      "it was written for another model; start with an empty output_dir");
    }
    if (found->second.sizes() != into.sizes()) {
      throw bad_input("checkpoint tensor '" + name + "'", c10::str(into.sizes()),
                      c10::str(found->second.sizes()),
                      "it was written for another model; start with an empty output_dir");
    }
    into.copy_(found->second);
  };
  for (Slot& s : slots_) {
    restore("master/" + s.name, s.master);
    restore("m/" + s.name, s.m);
    if (s.v.defined()) restore("v/" + s.name, s.v);
    if (s.ema.defined()) restore("ema/" + s.name, s.ema);
    s.param.copy_(s.master);
  }
}

std::map<std::string, at::Tensor> Optimizer::averaged() const {
  std::map<std::string, at::Tensor> weights;
  for (const Slot& s : slots_) {
    weights[s.name] = (s.ema.defined() ? s.ema : s.master).cpu().contiguous();
  }
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
