// Networks made of components when they are first needed, with LoRAs merged in. Each kind of
// network is made once for a model; experts may take turns in memory. It knows no family.
#pragma once
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nn/weights.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// Something expensive, made at its first use, by one thread.
template <class T>
class Lazy {
 public:
  explicit Lazy(std::function<std::shared_ptr<T>()> make) : make_(std::move(make)) {}
  T& get() {
    std::call_once(once_, [&] { value_ = make_(); });
    return *value_;
  }

 private:
  std::function<std::shared_ptr<T>()> make_;
  std::once_flag once_;
  std::shared_ptr<T> value_;
};

// Where and in what type the networks of a model live.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

// LoadOptions::device and dtype. Error kBadInput for an unknown word, kUnavailable for a device
// that this machine lacks.
Placement placement_of(const LoadOptions& options);

// A network's input: where and in what type it is, channels-last.
at::Tensor as_input(const at::Tensor& tensor, const Placement& place);

// The changes of every component, checked against the base: made once for a model.
class LoraSet {
 public:
  LoraSet() = default;
  // Error kBadInput if a file is no LoRA, or one for another family.
  LoraSet(const std::vector<LoraUse>& uses, const Source& source);
  // Adds what concerns `component` to the weights, of all files in one sum that is rounded once.
  void merge_into(torch::nn::Module& network, const std::string& component) const;

 private:
  struct Loaded;
  std::vector<std::shared_ptr<const Loaded>> loaded_;
};

// Gives a network, made without initialisation, the weights of a component: placed, convolutions
// channels-last, in eval mode.
void load_component(torch::nn::Module& network, const Component& component, const Placement& place,
                    nn::TensorMap tensors);

template <class Network, class Config>
std::shared_ptr<Network> make_network(const Config& config, const Component& component,
                                      const Placement& place, nn::TensorMap tensors) {
  std::shared_ptr<Network> network;
  {
    const nn::SkipInitialisation skip;
    network = std::make_shared<Network>(config);
  }
  load_component(*network, component, place, std::move(tensors));
  return network;
}

// A denoiser in memory, of any architecture. It keeps its network alive; without it the memory is
// free again.
struct LoadedDenoiser {
  // Expert::predict.
  std::function<at::Tensor(const at::Tensor& x_net, double t_index, const NetInputs& inputs)>
      predict;
};

// Denoisers of which at most `most` are in memory (0: all): the one that was asked for longest ago
// goes first.
class ExpertPool {
 public:
  using Maker = std::function<std::shared_ptr<const LoadedDenoiser>()>;
  ExpertPool(size_t most, std::vector<Maker> makers);
  std::shared_ptr<const LoadedDenoiser> get(size_t expert);

 private:
  size_t most_;
  std::vector<Maker> makers_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<const LoadedDenoiser>> made_;
  std::vector<size_t> order_;  // of use, the latest last
};

}  // namespace pangu::pipeline
