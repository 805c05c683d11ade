#include "pipeline/families/networks.h"

#include <torch/cuda.h>
#include <torch/nn.h>

#include <algorithm>

#include "core/error.h"
#include "io/lora/lora_names.h"
#include "nn/lora.h"
#include "nn/text/clip_text.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {

struct LoraSet::Loaded {
  io::WeightsFile file;
  io::Lora lora;
  LoraUse use;
};

namespace {

at::Device device_from(const std::string& name) {
  if (name != "cpu" && name.rfind("cuda", 0) != 0) {
    throw bad_input("device", "'cpu', 'cuda' or 'cuda:N'", "'" + name + "'");
  }
  if (name != "cpu" && !torch::cuda::is_available()) {
    throw Error(ErrorCode::kUnavailable,
                "device '" + name + "': this build or machine has no CUDA");
  }
  return at::Device(name);
}

at::ScalarType dtype_from(const std::string& name) {
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  throw bad_input("dtype", "'f32' or 'bf16'", "'" + name + "'");
}

}  // namespace

Placement placement_of(const LoadOptions& options) {
  return {device_from(options.device),
          dtype_from(options.dtype.value_or(fastest_dtype(options.device)))};
}

nn::TraceFn checking(const Watch& watch) {
  if (!watch.wants_stop) return {};
  return [&watch](const std::string&, const at::Tensor&) { watch.check(); };
}

at::Tensor as_input(const at::Tensor& tensor, const Placement& place) {
  return tensor.to(place.device, place.dtype).contiguous(at::MemoryFormat::ChannelsLast);
}

LoraSet::LoraSet(const std::vector<LoraUse>& uses, const Source& source) {
  if (uses.empty()) return;
  io::BaseModules base;
  for (const auto& [name, component] : source.components) {
    if (name == "vae" || name == "image_encoder") continue;
    io::NamedTensors tensors;  // under the names that the networks have, and that LoRAs use
    for (const auto& [tensor, view] : component.tensors) {
      const bool reads_text = name.starts_with("text_encoder");
      tensors[reads_text ? nn::clip_text_tensor_name(tensor) : tensor] = view;
    }
    tensors.erase("");
    base[name] = io::module_shapes(tensors);
  }
  for (const LoraUse& use : uses) {
    auto loaded = std::make_shared<Loaded>(Loaded{io::WeightsFile::open(use.path), {}, use});
    loaded->lora = io::parse_lora(loaded->file.tensors(), loaded->file.metadata(), base, use.path);
    loaded_.push_back(std::move(loaded));
  }
}

void LoraSet::merge_into(torch::nn::Module& network, const std::string& component,
                         const Watch& watch) const {
  // All files in one call, so that a weight is rounded to its type once.
  std::vector<nn::LoraWeights> changes;
  std::string files;
  for (const auto& loaded : loaded_) {
    const LoraUse& use = loaded->use;
    const bool reads_text = component.starts_with("text_encoder");
    const double weight = reads_text ? use.text_weight.value_or(use.weight) : use.weight;
    files += (files.empty() ? "'" : ", '") + use.path + "'";
    for (const io::LoraDelta& delta : loaded->lora.deltas) {
      if (delta.component != component) continue;
      nn::LoraWeights one;
      one.module_path = delta.module;
      one.down = tensors::shared(delta.down, loaded, delta.module);
      one.up = tensors::shared(delta.up, loaded, delta.module);
      if (delta.mid) one.mid = tensors::shared(*delta.mid, loaded, delta.module);
      one.alpha = weight * delta.alpha;
      changes.push_back(std::move(one));
    }
  }
  if (changes.empty()) return;
  try {
    nn::merge_lora(network, changes, 1.0, watch);
  } catch (const Error& problem) {
    throw while_doing("merging " + files, problem);
  }
}

void load_component(torch::nn::Module& network, const Component& component, const Placement& place,
                    nn::TensorMap tensors, const Watch& watch) {
  nn::AssignOptions options;
  options.dtype = place.dtype;
  options.device = place.device;
  options.channels_last = true;
  options.watch = watch;
  try {
    nn::load_by_assignment(network, std::move(tensors), options);
  } catch (const Error& problem) {
    throw while_doing("loading '" + component.origin + "'", problem);
  }
  network.eval();
}

}  // namespace pangu::pipeline
