// AdamW (Loshchilov and Hutter 2019), or Muon (Jordan et al. 2024; train/muon.h) for the matrices
// between a network's first and last layer and AdamW for the rest. f32 master weights, f32 moments
// and an exponential moving average, over working parameters of any floating type. Knows no
// network; the gradients of several replicas are summed here, in a fixed order.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pangu::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

enum class OptimizerKind { kAdamW, kMuon };
// "adamw", "muon". Error kBadInput for another name.
OptimizerKind optimizer_kind_from(const std::string& name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-8;
  double muon_momentum = 0.95;  // Nesterov's
  double weight_decay = 0.01;  // decoupled; not applied to tensors of one dimension (norms, biases)
  double max_grad_norm = 1.0;  // 0 is off
  bool use_ema = true;
  int threads = 1;  // that share the parameters of a step on the CPU; changes no result
};

class Optimizer {
 public:
  // params: the working parameters, dense in any layout; they are overwritten by step().
  Optimizer(const NamedTensors& params, const OptimizerOptions& options);
  ~Optimizer();

  // Adds gradients[r][i], d loss / d params[i] of replica r (undefined for none), in f32. Called
  // once or, to accumulate over micro-batches, several times before step().
  void add_gradients(const std::vector<std::vector<at::Tensor>>& gradients);

  // Uses up what was added. step_index counts from 1. Returns the gradient's norm before clipping;
  // where that is not finite nothing else is changed.
  double step(double learning_rate, double ema_decay, int64_t step_index);

  // master/, m/, v/ and ema/ NAME, f32 on the host; parameters that Muon steps have no v/.
  // load_state throws Error naming what is missing or misshapen, and writes the working parameters.
  std::map<std::string, at::Tensor> state() const;
  void load_state(const std::map<std::string, at::Tensor>& state);

  // EMA weights (or masters without EMA) by name, f32.
  std::map<std::string, at::Tensor> averaged() const;

 private:
  struct Slot;
  template <class Work>
  void for_each_slot(const Work& work);

  OptimizerOptions options_;
  std::vector<Slot> slots_;
  std::vector<size_t> order_;       // the dearest first
  std::vector<at::Tensor> summed_;  // f32, strides of the parameter
  bool empty_ = true;               // nothing added since the last step
};

// Warm-up from 0 over `warmup` steps, then constant or a cosine to `floor` * base at `total`.
double learning_rate_at(const std::string& scheduler, double base, int64_t step, int64_t warmup,
                        int64_t total, double floor = 0.05);

}  // namespace pangu::train
