// AdamW (Loshchilov and Hutter 2019), with moments in f32 or in 8 bits by blocks (Dettmers et al.
// 2022; train/block_codes.h), or Muon (Jordan et al. 2024; train/muon.h) for the matrices between a
// network's first and last layer and AdamW for the rest. Master weights of 32 bits and an
// exponential moving average, over working parameters of any floating type; what is kept of one is
// in train/parameter_state.h. Knows no network and no process; the gradients of several replicas
// are summed here, in a fixed order.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/lazy_tensor.h"
#include "train/scratch_file.h"

namespace pangu::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

enum class OptimizerKind { kAdamW, kAdamW8Bit, kMuon };
// "adamw", "adamw8bit", "muon". Error kBadInput for another name.
OptimizerKind optimizer_kind_from(const std::string& name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-8;
  double muon_momentum = 0.95;  // Nesterov's
  double weight_decay = 0.01;  // decoupled; not applied to tensors of one dimension (norms, biases)
  double max_grad_norm = 1.0;  // 0 is off; not with begin_step()
  bool use_ema = true;
  std::string ema_folder;  // the average is in a file there; empty: in memory. On the CPU only
  int threads = 1;         // that share the parameters of a step on the CPU; changes no result
  // What the learning rate is multiplied by for a parameter of this name; empty: 1.
  std::function<double(const std::string& name)> rate_factor;
  // Where each process has a part of every parameter: the sum of a number over all processes.
  std::function<double(double)> sum_over_processes;
};

class Optimizer {
 public:
  // params: the working parameters, dense in any layout; they are overwritten by step(). Parts of
  // parameters may stand for them: is_decayed then says of each whether weights decay, which a part
  // does not tell; empty: those of more than one dimension do.
  Optimizer(const NamedTensors& params, const OptimizerOptions& options,
            const std::vector<bool>& is_decayed = {});
  ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Adds gradients[r][i], d loss / d params[i] of replica r (undefined for none), in f32. Called
  // once or, to accumulate over micro-batches, several times before step(). A parameter's only
  // gradient is kept as it is instead of being copied, so nobody may write into it before step().
  void add_gradients(const std::vector<std::vector<at::Tensor>>& gradients);

  // Instead of add_gradients: every step() uses the sums that these then have, f32 in the layouts
  // of the parameters.
  void use_gradients(const std::vector<at::Tensor>& sums) { sums_ = sums; }

  // Uses up what was added. step_index counts from 1. Returns the gradient's norm before clipping;
  // where that is not finite nothing else is changed.
  double step(double learning_rate, double ema_decay, int64_t step_index);

  // The same step one parameter after another, while the backward pass goes on, so that no more
  // than one gradient need be in memory: begin_step(), then step_parameter() for each that has one,
  // in any order, by one thread at a time; finish_step() steps those without and returns the norm.
  // A gradient that is not finite leaves its own parameter alone, and the norm is not finite then.
  // Error kInternal for a parameter that comes twice. REQUIRES: max_grad_norm is 0.
  void begin_step(double learning_rate, double ema_decay, int64_t step_index);
  void step_parameter(size_t i, const at::Tensor& gradient);
  double finish_step();

  // Its tensors by name, as train/parameter_state.h says. They show the optimiser as it is when
  // they are made, which must still live. load_state throws Error naming what is missing or
  // misshapen, and writes the working parameters.
  LazyTensors state() const;
  void load_state(const LazyTensors& state);

  // EMA weights (or masters without EMA) by name, on the host. In bf16 without EMA they are the
  // working parameters themselves where these are bf16 on the host: no copies.
  std::map<std::string, at::Tensor> averaged(at::ScalarType type = at::kFloat) const;

 private:
  struct Slot;
  template <class Work>
  void for_each_slot(const Work& work);
  struct Constants;
  Constants constants_of(const Slot& slot) const;
  void set_constants(double learning_rate, double ema_decay, int64_t step_index, double scale);

  OptimizerOptions options_;
  std::unique_ptr<const ScratchFile> averages_;  // or none
  std::vector<Slot> slots_;
  std::vector<size_t> order_;     // the dearest first
  std::vector<at::Tensor> sums_;  // of use_gradients, or none
  std::unique_ptr<Constants> constants_;
};

// Warm-up from 0 over `warmup` steps, then constant or a cosine to `floor` * base at `total`.
double learning_rate_at(const std::string& scheduler, double base, int64_t step, int64_t warmup,
                        int64_t total, double floor = 0.05);

}  // namespace pangu::train
