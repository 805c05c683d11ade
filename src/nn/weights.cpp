// Safetensors to tensors and modules. Knows no architecture; dtype conversion is libtorch's.
#include "nn/weights.h"

#include <torch/nn.h>

#include <cstring>
#include <memory>
#include <vector>

#include "core/error.h"
#include "io/safetensors.h"

namespace pangu::nn {
namespace {

using io::DType;

at::ScalarType scalar_type_of(DType dtype, const std::string& name) {
  switch (dtype) {
    case DType::F64:
      return at::kDouble;
    case DType::F32:
      return at::kFloat;
    case DType::F16:
      return at::kHalf;
    case DType::BF16:
      return at::kBFloat16;
    case DType::I64:
      return at::kLong;
    case DType::I32:
      return at::kInt;
    case DType::I16:
      return at::kShort;
    case DType::I8:
      return at::kChar;
    case DType::U8:
      return at::kByte;
    case DType::BOOL:
      return at::kBool;
    case DType::F8_E4M3:
      return at::kFloat8_e4m3fn;
    case DType::F8_E5M2:
      return at::kFloat8_e5m2;
    default:
      throw bad_input("tensor '" + name + "'", "a float or signed integer dtype",
                      io::name_of(dtype));
  }
}

DType dtype_of(const at::Tensor& tensor, const std::string& name) {
  for (const DType dtype :
       {DType::F32, DType::BF16, DType::F16, DType::F64, DType::I64, DType::I32, DType::I16,
        DType::I8, DType::U8, DType::BOOL, DType::F8_E4M3, DType::F8_E5M2}) {
    if (scalar_type_of(dtype, name) == tensor.scalar_type()) return dtype;
  }
  throw Error(ErrorCode::kInternal, "tensor '" + name + "' has a dtype that safetensors lacks: " +
                                        c10::toString(tensor.scalar_type()));
}

std::string text_of(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

// Everything is known to fit before anything is written.
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

TensorMap load_safetensors(const std::string& path, bool copy) {
  const auto file = std::make_shared<const io::SafetensorsFile>(io::SafetensorsFile::open(path));
  TensorMap tensors;
  for (const auto& [name, view] : file->tensors()) {
    const auto options = at::TensorOptions().dtype(scalar_type_of(view.dtype, name));
    // The format does not promise alignment; a view must have it, a copy need not.
    const bool aligned = reinterpret_cast<uintptr_t>(view.data) % io::size_of(view.dtype) == 0;
    if (copy || !aligned || view.size_bytes == 0) {
      at::Tensor tensor = at::empty(view.shape, options);
      if (view.size_bytes > 0) std::memcpy(tensor.data_ptr(), view.data, view.size_bytes);
      tensors.emplace(name, std::move(tensor));
    } else {
      // Shared: every view holds the mapped file until the last of them is gone.
      tensors.emplace(
          name,
          at::from_blob(const_cast<std::byte*>(view.data), view.shape, [file](void*) {}, options));
    }
  }
  return tensors;
}

void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const std::map<std::string, std::string>& metadata) {
  io::TensorViews views;
  std::vector<at::Tensor> alive;
  alive.reserve(tensors.size());
  for (const auto& [name, given] : tensors) {
    const at::Tensor& tensor = alive.emplace_back(given.detach().cpu().contiguous());
    views[name] = {dtype_of(tensor, name), tensor.sizes().vec(),
                   static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
  }
  io::write_safetensors(path, views, metadata);
}

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
    at::Tensor value = std::move(tensors.at(options.prefix + name));
    tensors.erase(options.prefix + name);
    const bool converts = options.dtype && value.is_floating_point();
    value = value.detach().to(options.device, converts ? *options.dtype : value.scalar_type());
    if (options.channels_last && value.dim() == 4) {
      value = value.contiguous(at::MemoryFormat::ChannelsLast);
    }
    target.set_data(value);
  };
  for (const auto& item : module.named_parameters()) assign(item.key(), item.value());
  for (const auto& item : module.named_buffers()) assign(item.key(), item.value());
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
