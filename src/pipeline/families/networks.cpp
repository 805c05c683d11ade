#include "pipeline/families/networks.h"

#include <ATen/Context.h>
#include <torch/cuda.h>
#include <torch/nn.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/message.h"
#include "io/lora/lora_names.h"
#include "io/lora/lora_settings.h"
#include "io/lora/textual_inversion.h"
#include "nn/lora.h"
#include "nn/packed_weight.h"
#include "nn/text/clip_text.h"
#include "tensors/bytes.h"

namespace pangu::pipeline {

struct LoraSet::Loaded {
  io::WeightsFile file;
  io::Lora lora;
  LoraUse use;
  std::string expert;  // that it is for; empty: all
};

namespace {

[[noreturn]] void refuse_device(const std::string& name, const std::string& why) {
  throw Error(ErrorCode::kUnavailable, "device '" + name + "': " + why);
}

at::Device device_from(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const std::string number = name.size() > 5 ? name.substr(5) : "";
  const bool is_number = !number.empty() && number.size() <= 2 &&
                         number.find_first_not_of("0123456789") == std::string::npos;
  if (name != "cuda" && !(name.starts_with("cuda:") && is_number)) {
    throw bad_input("device", "'cpu', 'cuda' or 'cuda:N'", "'" + name + "'");
  }
  if (!at::globalContext().hasCUDART()) {
    refuse_device(name,
                  "this build of libtorch has no CUDA. Hint: PANGU_TORCH=cu130 ./pangu-draw build");
  }
  const auto count = static_cast<int>(torch::cuda::device_count());
  const int index = number.empty() ? 0 : std::stoi(number);
  if (index >= count) {
    refuse_device(name, "expected one of the CUDA devices of this machine, found " +
                            std::to_string(count) + ". Hint: `pangu-draw doctor` lists them");
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

// Nobody wants more, and a slip of the keyboard (1e30) would only make a black picture.
constexpr double kMostLoraWeight = 1000;

void check_weight(const LoraUse& use, double weight) {
  if (std::abs(weight) <= kMostLoraWeight) return;
  throw bad_input(
      "weight of LoRA '" + use.path + "'",
      "a number from -" + number_text(kMostLoraWeight) + " to " + number_text(kMostLoraWeight),
      number_text(weight));
}

// "FILE@structure" -> the file and the expert; of other paths the whole and none.
std::pair<std::string, std::string> parted_at_expert(const std::string& path) {
  const size_t at = path.rfind('@');
  if (at == std::string::npos || std::filesystem::exists(path)) return {path, ""};
  const std::string expert = path.substr(at + 1);
  if (expert != "structure" && expert != "texture") return {path, ""};
  return {path.substr(0, at), expert};
}

// A tensor of a LoRA's file, which `file` keeps alive.
at::Tensor finite_tensor(const io::LoraTensor& tensor, const std::shared_ptr<const void>& file,
                         const std::string& path) {
  at::Tensor numbers = tensors::shared(tensor.view, file, tensor.key);
  if (!at::isfinite(numbers.to(at::kFloat)).all().item<bool>()) {
    throw bad_input("LoRA '" + path + "', tensor '" + tensor.key + "'", "finite numbers",
                    "some that are not", "the training of this file has failed");
  }
  return numbers;
}

at::ScalarType dtype_from(const std::string& name, const char* key) {
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  throw bad_input(key, "'f32' or 'bf16'", "'" + name + "'");
}

std::string odd_number_in(const at::Tensor& tensor) {
  return tensor.to(at::kFloat).isnan().any().item<bool>() ? "a not-a-number" : "an infinity";
}

}  // namespace

Placement placement_of(const LoadOptions& options) {
  Placement place{device_from(options.device),
                  dtype_from(options.dtype.value_or(fastest_dtype(options.device)), "dtype")};
  place.int8 = options.precision == kInt8Precision;
  place.measured = options.int8_measured;
  place.packed_weights = options.packed_weights;
  if (!place.int8 && options.precision != kExactPrecision) {
    throw bad_input("precision", "'exact' or 'int8'", "'" + options.precision + "'");
  }
  if ((place.int8 || place.measured) && !(place.device.is_cpu() && nn::has_int8_products())) {
    throw Error(ErrorCode::kUnavailable,
                "precision: int8 needs a processor with AVX512-VNNI, and PANGU_KERNELS not of a "
                "level below avx512. Hint: --precision exact");
  }
  return place;
}

Placement vae_placement_of(const LoadOptions& options, bool follows) {
  Placement place = placement_of(options);
  if (options.vae_dtype) {
    place.dtype = dtype_from(*options.vae_dtype, "vae dtype");
  } else if (!follows && !rounds_products(place)) {
    place.dtype = at::kFloat;
  }
  return place;
}

bool rounds_products(const Placement& place) {
  return place.device.is_cpu() && place.dtype == at::kBFloat16 && nn::has_packed_products();
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
    check_weight(use, use.weight);
    check_weight(use, use.text_weight.value_or(use.weight));
    const auto [path, expert] = parted_at_expert(use.path);
    if (!expert.empty() && !source.has("unet_texture")) {
      throw bad_input("LoRA '" + use.path + "'",
                      "no expert named, because '" + source.name + "' has one denoiser",
                      "'@" + expert + "'");
    }
    auto loaded = std::make_shared<Loaded>(Loaded{io::WeightsFile::open(path), {}, use, expert});
    const io::Metadata metadata = io::lora_metadata(loaded->file, path);
    const auto made_for = metadata.find(kLoraExpertKey);
    if (expert.empty() && made_for != metadata.end()) loaded->expert = made_for->second;
    // The two denoisers may differ in width, as those of models/mini do.
    io::BaseModules modules = base;
    if (loaded->expert == "texture" && source.has("unet_texture")) {
      modules["unet"] = base.at("unet_texture");
    }
    loaded->lora = io::parse_lora(loaded->file.tensors(), metadata, modules, path);
    loaded_.push_back(std::move(loaded));
  }
}

std::vector<std::string> LoraSet::notices() const {
  std::vector<std::string> all;
  for (const auto& loaded : loaded_) {
    for (std::string& notice : io::left_out(loaded->lora, loaded->use.path)) {
      all.push_back(std::move(notice));
    }
  }
  return all;
}

std::vector<BundledEmbedding> LoraSet::embeddings() const {
  std::vector<BundledEmbedding> all;
  for (const auto& loaded : loaded_) {
    for (auto& [word, tensors] : io::bundled_embeddings(loaded->file.tensors())) {
      all.push_back({word, loaded->use.path, std::move(tensors)});
    }
  }
  return all;
}

LoraSet LoraSet::of_expert(const std::string& name) const {
  LoraSet some;
  for (const auto& loaded : loaded_) {
    // A model of one denoiser takes all.
    const bool is_other = (name == "structure" || name == "texture") && !loaded->expert.empty() &&
                          loaded->expert != name;
    if (!is_other) some.loaded_.push_back(loaded);
  }
  return some;
}

bool LoraSet::parts_text() const {
  return std::any_of(loaded_.begin(), loaded_.end(), [](const auto& loaded) {
    const auto& deltas = loaded->lora.deltas;
    return !loaded->expert.empty() &&
           std::any_of(deltas.begin(), deltas.end(), [](const io::LoraDelta& delta) {
             return delta.component.starts_with("text_encoder");
           });
  });
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
      one.form = delta.form;
      for (const auto& [part, tensor] : delta.parts) {
        one.parts[part] = finite_tensor(tensor, loaded, use.path);
      }
      one.alpha = delta.alpha;
      one.rank = delta.rank;
      one.weight = weight;
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

bool is_finite(const at::Tensor& tensor) {
  if (!tensor.is_floating_point()) return true;
  const bool narrow = at::elementSize(tensor.scalar_type()) == 1;  // fp8 has no isfinite
  return (narrow ? tensor.to(at::kFloat) : tensor).isfinite().all().item<bool>();
}

void check_finite(const at::Tensor& output, const Component& component,
                  const torch::nn::Module* network) {
  if (is_finite(output)) return;
  const std::string weights = "weights of '" + component.origin + "'";
  for (const auto& [name, named] : component.tensors) {
    const at::Tensor tensor = tensors::shared(named.view, component.files, name);
    if (is_finite(tensor)) continue;
    throw bad_input(weights, "finite numbers", odd_number_in(tensor) + " in tensor '" + name + "'",
                    "the file is damaged, or its training failed");
  }
  if (network) {
    nn::for_each_parameter(*network, [&](const std::string& name, const at::Tensor& parameter) {
      if (is_finite(parameter)) return;
      throw bad_input(weights, "finite numbers with all LoRAs merged",
                      odd_number_in(parameter) + " in tensor '" + name + "'",
                      "a LoRA holds such numbers, or its weight is too large");
    });
  }
  throw bad_input("'" + component.origin + "'", "finite numbers",
                  odd_number_in(output) + " in what it computes, though its weights are finite",
                  "its weights, or those of a LoRA or an embedding, are too large");
}

void load_component(torch::nn::Module& network, const Component& component, const Placement& place,
                    nn::TensorMap tensors, const Watch& watch, const nn::PackOptions* packing) {
  nn::AssignOptions options;
  options.dtype = place.dtype;
  options.device = place.device;
  options.channels_last = true;
  options.watch = watch;
  options.copied = page_forgetter(component);
  if (packing) {
    options.assigned = [packing](torch::nn::Module& module, const std::string& name) {
      nn::pack_module(module, name, *packing);
    };
  }
  try {
    nn::load_by_assignment(network, std::move(tensors), options);
  } catch (const Error& problem) {
    throw while_doing("loading '" + component.origin + "'", problem);
  }
  network.eval();
}

}  // namespace pangu::pipeline
