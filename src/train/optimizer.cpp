#include "train/optimizer.h"

#include <torch/torch.h>

#include <cmath>

#include "core/error.h"

namespace pangu::train {
namespace {

constexpr int64_t kGrain = 1 << 16;  // elements a thread takes at least
constexpr double kPi = 3.14159265358979323846;

// The elements of a dense tensor in the order of its memory.
at::Tensor flat(const at::Tensor& t) { return t.as_strided({t.numel()}, {1}); }

at::Tensor like(const at::Tensor& value, const at::Tensor& layout) {
  return at::empty_strided(layout.sizes(), layout.strides(), layout.options().dtype(at::kFloat))
      .copy_(value);
}

struct Constants {
  float lr, beta1, beta2, eps, decay, grad_scale, ema_decay;
  float correction1, correction2;  // 1 - beta^step
};

// Reads and writes every array once.
template <class Param>
void update_on_cpu(Param* param, float* master, float* m, float* v, float* ema, const float* grad,
                   int64_t count, const Constants& c) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    const float step = c.lr / c.correction1, root = 1.0f / std::sqrt(c.correction2);
    for (int64_t i = begin; i < end; ++i) {
      const float g = grad[i] * c.grad_scale;
      m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
      v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
      const float w =
          master[i] * (1 - c.lr * c.decay) - step * m[i] / (std::sqrt(v[i]) * root + c.eps);
      master[i] = w;
      param[i] = static_cast<Param>(w);
      if (ema) ema[i] += (1 - c.ema_decay) * (w - ema[i]);
    }
  });
}

// The plain form, for any device; the test holds the loop above against it.
void update_anywhere(at::Tensor param, at::Tensor master, at::Tensor m, at::Tensor v,
                     at::Tensor ema, const at::Tensor& grad, const Constants& c) {
  const at::Tensor g = grad * c.grad_scale;
  m.mul_(c.beta1).add_(g, 1 - c.beta1);
  v.mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  const at::Tensor root = v.sqrt().div_(std::sqrt(c.correction2)).add_(c.eps);
  master.mul_(1 - c.lr * c.decay).addcdiv_(m, root, -c.lr / c.correction1);
  param.copy_(master);
  if (ema.defined()) ema.lerp_(master, 1 - c.ema_decay);
}

}  // namespace

AdamW::AdamW(const NamedTensors& params, const AdamWOptions& options) : options_(options) {
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
    slot.v = at::zeros_like(slot.master);
    if (options_.use_ema) slot.ema = slot.master.clone();
    slot.decay = tensor.dim() > 1;
    summed_.push_back(at::zeros_like(slot.master));
    slots_.push_back(std::move(slot));
  }
}

void AdamW::add_gradients(const std::vector<std::vector<at::Tensor>>& gradients) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < slots_.size(); ++i) {
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
  }
  empty_ = false;
}

double AdamW::step(double learning_rate, double ema_decay, int64_t step_index) {
  const at::NoGradGuard no_grad;
  empty_ = true;
  double squares = 0;
  for (const at::Tensor& sum : summed_) {
    const at::Tensor g = flat(sum);
    squares += at::dot(g, g).item<double>();
  }
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
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    c.decay = s.decay ? static_cast<float>(options_.weight_decay) : 0.0f;
    const auto on_cpu = [&](auto* param) {
      update_on_cpu(param, s.master.data_ptr<float>(), s.m.data_ptr<float>(), s.v.data_ptr<float>(),
                    s.ema.defined() ? s.ema.data_ptr<float>() : nullptr,
                    summed_[i].data_ptr<float>(), s.param.numel(), c);
    };
    if (s.param.is_cpu() && s.param.scalar_type() == at::kFloat) {
      on_cpu(s.param.data_ptr<float>());
    } else if (s.param.is_cpu() && s.param.scalar_type() == at::kBFloat16) {
      on_cpu(s.param.data_ptr<at::BFloat16>());
    } else {
      update_anywhere(s.param, s.master, s.m, s.v, s.ema, summed_[i], c);
    }
  }
  return norm;
}

std::map<std::string, at::Tensor> AdamW::state() const {
  std::map<std::string, at::Tensor> state;
  for (const Slot& s : slots_) {
    state["master/" + s.name] = s.master.cpu().contiguous();
    state["m/" + s.name] = s.m.cpu().contiguous();
    state["v/" + s.name] = s.v.cpu().contiguous();
    if (s.ema.defined()) state["ema/" + s.name] = s.ema.cpu().contiguous();
  }
  return state;
}

void AdamW::load_state(const std::map<std::string, at::Tensor>& state) {
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
    restore("v/" + s.name, s.v);
    if (s.ema.defined()) restore("ema/" + s.name, s.ema);
    s.param.copy_(s.master);
  }
}

std::map<std::string, at::Tensor> AdamW::averaged() const {
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
