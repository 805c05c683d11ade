// Networks made of components when they are first needed, with LoRAs merged in. Each kind of
// network is made once for a model; experts may take turns in memory. It knows no family.
#pragma once
#include <torch/nn/module.h>

#include <any>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/watch.h"
#include "nn/packed_weight.h"
#include "nn/unet/unet_scope.h"
#include "nn/weights.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// Something expensive, made at its first use, by one thread while others wait. Making that is
// stopped, or fails, is tried again at the next use.
template <class T>
class Lazy {
 public:
  explicit Lazy(std::function<std::shared_ptr<T>(const Watch&)> make) : make_(std::move(make)) {}
  T& get(const Watch& watch) {
    const auto lock = watch.lock(mutex_);
    if (!value_) value_ = make_(watch);
    return *value_;
  }
  // REQUIRES: nobody uses what get() gave.
  void release() {
    const std::lock_guard lock(mutex_);
    value_ = nullptr;
  }

 private:
  std::function<std::shared_ptr<T>(const Watch&)> make_;
  std::timed_mutex mutex_;
  std::shared_ptr<T> value_;
};

// Where and in what type the networks of a model live.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  bool int8 = false;                            // products of denoisers
  std::shared_ptr<Int8Measured> measured = {};  // LoadOptions::int8_measured
  std::string packed_weights = {};              // LoadOptions::packed_weights
};

// LoadOptions::device, dtype and precision. Error kBadInput for an unknown word, kUnavailable for a
// device or kernels in int8 that this machine lacks.
Placement placement_of(const LoadOptions& options);

// Whether an autoencoder that is asked for in bf16 has only its products in bf16, by kernels of our
// own: what lies between them, and the picture, is f32. That costs 0.1 of 255 on average, where
// bf16 throughout costs 0.6 (tests/e2e/vae_dtype_test.py).
bool rounds_products(const Placement& place);

// Where the autoencoder computes, and in what type: LoadOptions::vae_dtype. Where it says none, the
// type of the other networks with `follows` or if only products are rounded, otherwise f32.
Placement vae_placement_of(const LoadOptions& options, bool follows);

// Asks after every layer of a forward pass, which must end before the watch does.
nn::TraceFn checking(const Watch& watch);

// A network's input: where and in what type it is, channels-last.
at::Tensor as_input(const at::Tensor& tensor, const Placement& place);

// A word that comes along in a LoRA's file; the views live as long as the LoraSet.
struct BundledEmbedding {
  std::string word;
  std::string origin;  // the file
  io::TensorViews tensors;
};

// The key of a LoRA file's metadata that names the expert that it changes; absent: all.
inline constexpr const char* kLoraExpertKey = "pangu_draw.expert";

// The changes of every component, checked against the base: made once for a model.
class LoraSet {
 public:
  LoraSet() = default;
  // Error kBadInput if a file is no LoRA, or one for another family, or its weight is out of all
  // proportion.
  LoraSet(const std::vector<LoraUse>& uses, const Source& source);
  // The same without what was made for other experts: a file may be for one expert of a
  // time-decoupled model alone, as its metadata say (kLoraExpertKey) or FILE@structure,
  // FILE@texture in LoraUse::path.
  LoraSet of_expert(const std::string& name) const;
  // Whether a file for one expert alone changes text encoders: the two then read prompts by
  // encoders of their own.
  bool parts_text() const;
  // Adds what concerns `component` to the weights, of all files in one sum that is rounded once.
  // Error kBadInput naming file and tensor if a number is not finite.
  void merge_into(torch::nn::Module& network, const std::string& component,
                  const Watch& watch) const;
  // What of the files is not applied, for people.
  std::vector<std::string> notices() const;
  std::vector<BundledEmbedding> embeddings() const;
  bool empty() const { return loaded_.empty(); }

 private:
  struct Loaded;
  std::vector<std::shared_ptr<const Loaded>> loaded_;
};

// Whether a tensor holds neither a not-a-number nor an infinity.
bool is_finite(const at::Tensor& tensor);

// Error kBadInput unless `output`, which a component's network gave, is finite. It names the tensor
// that is to blame: of the component's file, or of the network that LoRAs were merged into, or it
// says that all weights are finite. Weights are searched only then, for that takes seconds.
void check_finite(const at::Tensor& output, const Component& component,
                  const torch::nn::Module* network = nullptr);

// Gives a network, made without initialisation, the weights of a component: placed, convolutions
// channels-last, in eval mode. With `packing` each layer's are packed as soon as they are there, so
// that at no time more than one layer's are in memory twice.
void load_component(torch::nn::Module& network, const Component& component, const Placement& place,
                    nn::TensorMap tensors, const Watch& watch,
                    const nn::PackOptions* packing = nullptr);

// A network without weights, for load_component.
template <class Network, class Config>
std::shared_ptr<Network> empty_network(const Config& config) {
  const nn::SkipInitialisation skip;
  return std::make_shared<Network>(config);
}

template <class Network, class Config>
std::shared_ptr<Network> make_network(const Config& config, const Component& component,
                                      const Placement& place, nn::TensorMap tensors,
                                      const Watch& watch) {
  auto network = empty_network<Network>(config);
  load_component(*network, component, place, std::move(tensors), watch);
  return network;
}

// The same, with weights packed for our own kernels where there are any: of a network that takes no
// LoRA.
template <class Network, class Config>
std::shared_ptr<Network> make_packed_network(const Config& config, const Component& component,
                                             const Placement& place, nn::TensorMap tensors,
                                             const Watch& watch,
                                             nn::Packing packing = nn::Packing::kBf16) {
  auto network = empty_network<Network>(config);
  const nn::PackOptions options{packing, watch, page_forgetter(component)};
  load_component(*network, component, place, std::move(tensors), watch, &options);
  return network;
}

// A denoiser in memory, of any architecture. It keeps its network alive; without it the memory is
// free again.
struct LoadedDenoiser {
  // Expert::prepare and Expert::predict.
  std::function<std::any(const Conditions& conditions)> prepare;
  std::function<at::Tensor(const at::Tensor& x_net, double t_index, const NetInputs& inputs,
                           const Watch&)>
      predict;
};

}  // namespace pangu::pipeline
