// Loads tensors into modules; libtorch converts dtypes.
#include "nn/weights.h"

#include <torch/nn.h>

#include <vector>

#include "core/error.h"

namespace pangu::nn {
namespace {

std::string text_of(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

// Checks that everything fits before anything is written.
void check_fit(const TensorMap& targets, const TensorMap& tensors, const std::string& prefix) {
  for (const auto& [name, target] : targets) {
    const auto found = tensors.find(prefix + name);
    if (found == tensors.end()) {
      throw bad_input("weights", "a tensor '" + prefix + name + "' " + text_of(target.sizes()),
                      "none of that name", "the configuration describes another network");
    }
    if (found->second.sizes() != target.sizes()) {
      throw bad_input("tensor '" + prefix + name + "'", "shape " + text_of(target.sizes()),
                      text_of(found->second.sizes()),
                      "the configuration describes another network");
    }
  }
  for (auto it = tensors.lower_bound(prefix); it != tensors.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    if (!targets.count(it->first.substr(prefix.size()))) {
      throw bad_input("weights", "only tensors of the network", "'" + it->first + "'",
                      "the configuration describes another network");
    }
  }
}

}  // namespace

void load_into(torch::nn::Module& module, const TensorMap& tensors, const std::string& prefix) {
  const at::NoGradGuard no_grad;
  TensorMap targets = state_of(module);
  check_fit(targets, tensors, prefix);
  for (auto& [name, target] : targets) target.copy_(tensors.at(prefix + name));
}

void load_by_assignment(torch::nn::Module& module, TensorMap tensors,
                        const AssignOptions& options) {
  const at::NoGradGuard no_grad;
  const TensorMap targets = state_of(module);
  check_fit(targets, tensors, options.prefix);
  for (const auto& [name, target] : targets) {
    const at::Tensor& value = tensors.at(options.prefix + name);
    if (target.is_floating_point() != value.is_floating_point()) {
      throw bad_input("tensor '" + options.prefix + name + "'",
                      target.is_floating_point() ? "a floating type" : "an integer type",
                      c10::toString(value.scalar_type()));
    }
  }
  const auto assign = [&](const std::string& name, at::Tensor target) {
    options.watch.check();
    at::Tensor value = std::move(tensors.at(options.prefix + name));
    tensors.erase(options.prefix + name);
    const bool converts = options.dtype && value.is_floating_point();
    const at::Tensor given = value;
    value = value.detach().to(options.device, converts ? *options.dtype : value.scalar_type());
    if (options.channels_last && value.dim() == 4) {
      value = value.contiguous(at::MemoryFormat::ChannelsLast);
    }
    if (options.copied && !value.is_alias_of(given)) options.copied(given);
    target.set_data(value);
  };
  const auto assign_own = [&](torch::nn::Module& own, const std::string& name) {
    const std::string prefix = name.empty() ? "" : name + ".";
    for (const auto& item : own.named_parameters(false)) assign(prefix + item.key(), item.value());
    for (const auto& item : own.named_buffers(false)) assign(prefix + item.key(), item.value());
    if (options.assigned) options.assigned(own, name);
  };
  // The network itself apart: one on the stack is in no shared pointer.
  assign_own(module, "");
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    assign_own(*item.value(), item.key());
  }
}

TensorMap state_of(const torch::nn::Module& module) {
  TensorMap state;
  for (const auto& item : module.named_parameters()) state[item.key()] = item.value().detach();
  for (const auto& item : module.named_buffers()) state[item.key()] = item.value().detach();
  return state;
}

TensorShapes shapes_of(const torch::nn::Module& module) {
  TensorShapes shapes;
  for (const auto& [name, tensor] : state_of(module)) shapes[name] = tensor.sizes().vec();
  return shapes;
}

}  // namespace pangu::nn
