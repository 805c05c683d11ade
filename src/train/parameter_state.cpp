#include "train/parameter_state.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <vector>

#include "core/error.h"
#include "io/mapped_file.h"
#include "train/muon.h"
#include "train/state_codes.h"

namespace pangu::train {
namespace {

// Below this a parameter's moments stay f32, as in bitsandbytes.
constexpr int64_t kLeastCoded = 4096;
// Of a part that one thread steps; a multiple of kCodeBlock.
constexpr int64_t kLeastPart = int64_t{1} << 16;
constexpr const char* kOtherModel =
    "it was written for another model; start with an empty output_dir";

at::Tensor memory_like(const at::Tensor& layout, at::ScalarType type) {
  return at::empty_strided(layout.sizes(), layout.strides(), layout.options().dtype(type));
}

at::Tensor joined_halves(const at::Tensor& high, const at::Tensor& low) {
  const at::Tensor upper = high.view(at::kShort).to(at::kInt).mul_(1 << 16);
  return upper.add_(low.to(at::kInt)).view(at::kFloat);
}

void split_halves_(const at::Tensor& master, at::Tensor& high, at::Tensor& low) {
  const at::Tensor bits = master.view(at::kInt);
  low.copy_(at::bitwise_xor(at::bitwise_and(bits, 0xffff), 0x8000) - 0x8000);
  high.view(at::kShort).copy_(at::bitwise_right_shift(bits + 0x8000, 16));
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

Gradient memory_of(const at::Tensor& gradient) {
  Gradient g;
  if (gradient.scalar_type() == at::kFloat) {
    g.f32 = gradient.const_data_ptr<float>();
  } else {
    g.bf16 = static_cast<const uint16_t*>(gradient.const_data_ptr());
  }
  return g;
}

bool has_loops(const at::Tensor& t) {
  const at::ScalarType type = t.scalar_type();
  return t.is_cpu() && (type == at::kFloat || type == at::kBFloat16);
}

void add_lazily(LazyTensors& all, const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  all[name] = {tensor.scalar_type(), tensor.sizes().vec(),
               [tensor] { return tensor.cpu().contiguous(); }};
}

at::Tensor stored(const LazyTensors& all, const std::string& name, at::IntArrayRef shape,
                  at::ScalarType type) {
  const auto found = all.find(name);
  if (found == all.end()) {
    throw bad_input("checkpoint", "tensor '" + name + "'", "none", kOtherModel);
  }
  const LazyTensor& one = found->second;
  if (at::IntArrayRef(one.shape) != shape || one.type != type) {
    throw bad_input("checkpoint tensor '" + name + "'", c10::str(c10::toString(type), " ", shape),
                    c10::str(c10::toString(one.type), " ", at::IntArrayRef(one.shape)),
                    kOtherModel);
  }
  return one.make();
}

void restore(const LazyTensors& all, const std::string& name, at::Tensor& into) {
  if (into.defined()) into.copy_(stored(all, name, into.sizes(), into.scalar_type()));
}

}  // namespace

ParameterState::ParameterState(const std::string& name, const at::Tensor& param, const Form& form)
    : name_(name), param_(param.detach()) {
  if (!param.is_non_overlapping_and_dense()) {
    throw Error(ErrorCode::kInternal, "optimizer: parameter '" + name + "' is not dense");
  }
  const at::ScalarType type = param.scalar_type();
  if (type == at::kBFloat16) {
    low_ = memory_like(param, at::kShort).zero_();
  } else if (type != at::kFloat) {
    master_ = memory_like(param, at::kFloat).copy_(param_);
  }
  muon_ = form.muon && is_inner_matrix(name, param);
  if (muon_) product_ = muon_dtype(param);
  if (form.codes && param.numel() >= kLeastCoded) {
    m_codes_ = memory_like(param, at::kByte).zero_();
    root_codes_ = memory_like(param, at::kByte).zero_();
    m_scales_ = at::zeros({code_blocks(param.numel())}, param.options().dtype(at::kFloat));
    root_scales_ = at::zeros_like(m_scales_);
  } else {
    m_ = memory_like(param, at::kFloat).zero_();
    if (!muon_) v_ = memory_like(param, at::kFloat).zero_();
  }
  if (form.ema) {
    ema_is_in_file_ = form.ema_file.defined();
    ema_ = ema_is_in_file_ ? form.ema_file.as_strided(param.sizes(), param.strides())
                           : memory_like(param, at::kFloat);
    ema_.copy_(param_);
    forget_average();
  }
  decay_ = static_cast<float>(form.weight_decay);
}

int64_t ParameterState::cost() const {
  if (!muon_) return param_.numel();
  const int64_t rows = param_.size(0);
  return param_.numel() * std::min(rows, param_.numel() / std::max<int64_t>(1, rows));
}

bool ParameterState::takes(const at::Tensor& gradient) const {
  const at::ScalarType type = gradient.scalar_type();
  return (type == at::kFloat || type == at::kBFloat16) && gradient.device() == param_.device() &&
         gradient.sizes() == param_.sizes() && gradient.strides() == param_.strides();
}

double ParameterState::squares(const at::Tensor& gradient) const {
  if (has_loops(gradient)) return sum_of_squares(memory_of(gradient), gradient.numel());
  const at::Tensor flat = gradient.as_strided({gradient.numel()}, {1}).to(at::kFloat);
  return at::dot(flat, flat).item<double>();
}

at::Tensor ParameterState::master() const {
  if (low_.defined()) return joined_halves(param_, low_);
  return master_.defined() ? master_ : param_;
}

void ParameterState::set_master(const at::Tensor& value) {
  if (low_.defined()) {
    split_halves_(value, param_, low_);
  } else if (master_.defined()) {
    if (!value.is_same(master_)) master_.copy_(value);
    param_.copy_(master_);
  } else if (!value.is_same(param_)) {
    param_.copy_(value);
  }
}

void ParameterState::forget_average() const {
  if (!ema_is_in_file_) return;
  io::forget_pages({static_cast<const std::byte*>(ema_.const_data_ptr()), ema_.nbytes()});
}

AdamWState ParameterState::memory() const {
  AdamWState s;
  if (low_.defined()) {
    s.high = static_cast<uint16_t*>(param_.mutable_data_ptr());
    s.low = low_.mutable_data_ptr<int16_t>();
  } else {
    s.master = param_.mutable_data_ptr<float>();
  }
  if (m_codes_.defined()) {
    s.m_codes = m_codes_.mutable_data_ptr<uint8_t>();
    s.root_codes = root_codes_.mutable_data_ptr<uint8_t>();
    s.m_scales = m_scales_.mutable_data_ptr<float>();
    s.root_scales = root_scales_.mutable_data_ptr<float>();
  } else {
    s.m = m_.mutable_data_ptr<float>();
    s.v = v_.mutable_data_ptr<float>();
  }
  if (ema_.defined()) s.ema = ema_.mutable_data_ptr<float>();
  return s;
}

void ParameterState::step(const at::Tensor& gradient, const StepConstants& constants, int threads) {
  AdamWConstants c = constants.adamw;
  c.decay = decay_;
  if (param_.numel() == 0) return;
  if (muon_) {
    step_muon(gradient, constants);
  } else if (has_loops(param_) && has_loops(gradient)) {
    step_in_one_pass(gradient, c, threads);
  } else {
    step_adamw(gradient, c);
  }
  forget_average();
}

void ParameterState::step_in_one_pass(const at::Tensor& gradient, const AdamWConstants& c,
                                      int threads) {
  const AdamWState state = memory();
  const Gradient g = memory_of(gradient);
  const int64_t count = param_.numel();
  const int64_t even = (count / std::max(1, threads) / kCodeBlock + 1) * kCodeBlock;
  const int64_t part = std::max(kLeastPart, even);
  std::vector<std::future<void>> others;
  for (int64_t first = part; first < count; first += part) {
    others.push_back(std::async(std::launch::async, [&, first] {
      adamw_step(state, g, first, std::min(part, count - first), c);
    }));
  }
  adamw_step(state, g, 0, std::min(part, count), c);
  for (std::future<void>& other : others) other.get();
}

// The plain form, for any device; the test holds the loops against it.
void ParameterState::step_adamw(const at::Tensor& gradient, const AdamWConstants& c) {
  const at::Tensor g = gradient.to(at::kFloat) * c.grad_scale;
  at::Tensor m = m_, v = v_;
  if (m_codes_.defined()) {
    m = decoded(CodeKind::kSigned, m_codes_, m_scales_);
    v = decoded(CodeKind::kPositive, root_codes_, root_scales_).square_();
  }
  m.mul_(c.beta1).add_(g, 1 - c.beta1);
  v.mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  const at::Tensor root = v.sqrt().div_(std::sqrt(c.correction2)).add_(c.eps);
  const at::Tensor w = master();
  w.mul_(1 - c.lr * c.decay).addcdiv_(m, root, -c.lr / c.correction1);
  set_master(w);
  if (m_codes_.defined()) {
    encode_(CodeKind::kSigned, m, m_codes_, m_scales_);
    encode_(CodeKind::kPositive, v.sqrt_(), root_codes_, root_scales_);
  }
  if (ema_.defined()) ema_.lerp_(w, 1 - c.ema_decay);
}

void ParameterState::step_muon(const at::Tensor& gradient, const StepConstants& c) {
  const AdamWConstants& a = c.adamw;
  const at::Tensor g = gradient.to(at::kFloat) * a.grad_scale;
  m_.lerp_(g, 1 - c.momentum);
  const at::Tensor ahead = as_matrix(g.lerp_(m_, c.momentum));  // Nesterov's
  const at::Tensor update = orthogonalised(ahead, product_);
  const double scale = muon_scale(update.size(0), update.size(1));
  const at::Tensor w = master();
  w.mul_(1 - a.lr * decay_).sub_(from_matrix(update, w), a.lr * scale);
  set_master(w);
  if (ema_.defined()) ema_.lerp_(w, 1 - a.ema_decay);
}

at::Tensor ParameterState::averaged(at::ScalarType type) const {
  if (ema_.defined()) {
    const at::Tensor copy = ema_.to(type, /*non_blocking=*/false, /*copy=*/ema_is_in_file_);
    forget_average();
    return copy;
  }
  return type == param_.scalar_type() ? param_ : master().to(type);
}

void ParameterState::add_state(LazyTensors& all) const {
  all["master/" + name_] = {at::kFloat, param_.sizes().vec(),
                            [this] { return master().cpu().contiguous(); }};
  add_lazily(all, "m/" + name_, m_codes_.defined() ? m_codes_ : m_);
  add_lazily(all, "m_scale/" + name_, m_scales_);
  add_lazily(all, "v/" + name_, v_);
  add_lazily(all, "v_root/" + name_, root_codes_);
  add_lazily(all, "v_root_scale/" + name_, root_scales_);
  if (!ema_.defined()) return;
  all["ema/" + name_] = {at::kFloat, param_.sizes().vec(),
                         [this] { return averaged(at::kFloat).cpu().contiguous(); }};
}

void ParameterState::load_state(const LazyTensors& all) {
  const at::Tensor weights = stored(all, "master/" + name_, param_.sizes(), at::kFloat);
  // In the parameter's layout: the halves are written element by element.
  set_master(memory_like(param_, at::kFloat).copy_(weights));
  restore(all, "m/" + name_, m_codes_.defined() ? m_codes_ : m_);
  restore(all, "m_scale/" + name_, m_scales_);
  restore(all, "v/" + name_, v_);
  restore(all, "v_root/" + name_, root_codes_);
  restore(all, "v_root_scale/" + name_, root_scales_);
  restore(all, "ema/" + name_, ema_);
  forget_average();
}

}  // namespace pangu::train
