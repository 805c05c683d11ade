// AdamW (Loshchilov and Hutter 2019) with f32 master weights, f32 moments and an exponential moving
// average, over working parameters of any floating type. One pass over memory a step on the CPU.
// Knows no network; the gradients of several replicas are summed here, in a fixed order.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pangu::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-8;
  double weight_decay = 0.01;  // decoupled; not applied to tensors of one dimension (norms, biases)
  double max_grad_norm = 1.0;  // 0 is off
  bool use_ema = true;
};

class AdamW {
 public:
  // params: the working parameters, dense in any layout; they are overwritten by step().
  AdamW(const NamedTensors& params, const AdamWOptions& options);

  // Adds gradients[r][i], d loss / d params[i] of replica r (undefined for none), in f32. Called
  // once or, to accumulate over micro-batches, several times before step().
  void add_gradients(const std::vector<std::vector<at::Tensor>>& gradients);

  // Uses up what was added. step_index counts from 1. Returns the gradient's norm before clipping;
  // where that is not finite nothing else is changed.
  double step(double learning_rate, double ema_decay, int64_t step_index);

  // master/, m/, v/ and ema/ NAME, f32 on the host. load_state throws Error naming what is missing
  // or misshapen, and writes the working parameters.
  std::map<std::string, at::Tensor> state() const;
  void load_state(const std::map<std::string, at::Tensor>& state);

  // EMA weights (or masters without EMA) by name, f32.
  std::map<std::string, at::Tensor> averaged() const;

 private:
  struct Slot {
    std::string name;
    at::Tensor param, master, m, v, ema;  // equal strides
    bool decay;
  };

  AdamWOptions options_;
  std::vector<Slot> slots_;
  std::vector<at::Tensor> summed_;  // f32, strides of the parameter
  bool empty_ = true;               // nothing added since the last step
};

// Warm-up from 0 over `warmup` steps, then constant or a cosine to `floor` * base at `total`.
double learning_rate_at(const std::string& scheduler, double base, int64_t step, int64_t warmup,
                        int64_t total, double floor = 0.05);

}  // namespace pangu::train
