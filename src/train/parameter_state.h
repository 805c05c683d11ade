// What an optimiser keeps of one parameter, in any of its forms, and one step of it. A network in
// bf16 has split masters: its own weights are their upper halves (train/adamw.h), so that a master
// costs two bytes more, not four. Weights in f32 are their own masters. Knows no other parameter.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "train/adamw.h"
#include "train/lazy_tensor.h"

namespace pangu::train {

struct StepConstants {
  AdamWConstants adamw;  // without decay
  float momentum;        // of Muon
};

class ParameterState {
 public:
  struct Form {
    bool muon = false;   // where the parameter is an inner matrix (train/muon.h)
    bool codes = false;  // moments of 8 bits
    bool ema = false;
    // f32 [numel] of a mapped file to keep the average in, whose pages leave the process after
    // each use; undefined: memory of its own.
    at::Tensor ema_file = {};
    double weight_decay = 0;  // 0: of a norm, a bias
  };
  // param: dense in any layout; step() overwrites it.
  ParameterState(const std::string& name, const at::Tensor& param, const Form& form);

  const std::string& name() const { return name_; }
  const at::Tensor& param() const { return param_; }
  bool steps_by_muon() const { return muon_; }
  int64_t cost() const;  // multiply-adds of a step, about

  // Whether step() and squares() take a gradient as it is; others are copied into f32 of the
  // parameter's strides before.
  bool takes(const at::Tensor& gradient) const;
  double squares(const at::Tensor& gradient) const;  // their sum
  // threads: that share the parameter on the CPU; changes no result.
  void step(const at::Tensor& gradient, const StepConstants& constants, int threads);

  // f32, on the parameter's device. It may share memory with the parameter.
  at::Tensor master() const;
  // The average, or the master without one; in bf16 the working weights, where there are such.
  at::Tensor averaged(at::ScalarType type) const;

  // master/, m/, v/ and ema/ NAME, f32; of 8 bits m/ NAME is u8 with m_scale/ NAME f32 [blocks],
  // and v_root/ and v_root_scale/ NAME stand for v/. Blocks follow the parameter's memory.
  void add_state(LazyTensors& all) const;
  // Error kBadInput naming the tensor that is missing or misshapen.
  void load_state(const LazyTensors& all);

 private:
  void set_master(const at::Tensor& value);
  void step_in_one_pass(const at::Tensor& gradient, const AdamWConstants& c, int threads);
  void step_adamw(const at::Tensor& gradient, const AdamWConstants& c);
  void step_muon(const at::Tensor& gradient, const StepConstants& c);
  AdamWState memory() const;
  void forget_average() const;  // its pages, where it is in a file

  std::string name_;
  at::Tensor param_;
  at::Tensor low_;     // i16, of a parameter in bf16
  at::Tensor master_;  // of one that is neither bf16 nor f32
  at::Tensor m_, v_;   // f32, of the parameter's strides, or undefined
  at::Tensor m_codes_, m_scales_, root_codes_, root_scales_;
  at::Tensor ema_;
  bool ema_is_in_file_ = false;
  bool muon_ = false;
  at::ScalarType product_ = at::kFloat;  // of Muon
  float decay_ = 0;
};

}  // namespace pangu::train
