// Names: torch.compile's OptimizedModule, torch's DataParallel and FSDP; ComfyUI's scaled fp8
// (comfy/ops.py, "scaled_fp8" and "comfy_quant"), compressed-tensors, bitsandbytes, AutoGPTQ.
#include "io/saved_forms.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/error.h"
#include "io/tensor_names.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

constexpr std::string_view kModule = "module.";
constexpr std::array<std::string_view, 2> kWrappers = {"_orig_mod.", "_fsdp_wrapped_module."};

constexpr std::string_view kWeight = ".weight";
constexpr std::array<std::string_view, 2> kScales = {".scale_weight", ".weight_scale"};
// Of a matrix product in fp8, which is not done here.
constexpr std::array<std::string_view, 2> kActivationScales = {".scale_input", ".input_scale"};
constexpr std::string_view kComfyMark = "scaled_fp8", kComfyKind = ".comfy_quant";

struct Quantisation {
  std::string_view ends, kind;
};
constexpr std::array kQuantisations = {
    Quantisation{".quant_state.bitsandbytes__nf4", "bitsandbytes, 4 bits (NF4)"},
    Quantisation{".quant_state.bitsandbytes__fp4", "bitsandbytes, 4 bits (FP4)"},
    Quantisation{".quant_map", "bitsandbytes, 4 bits"},
    Quantisation{".SCB", "bitsandbytes, 8 bits"},
    Quantisation{".qweight", "GPTQ, AWQ or SVDQuant"},
    Quantisation{".weight_scale_2", "NVFP4"},
    Quantisation{".weight_scale_inv", "fp8 in blocks"}};

Error quantised(const std::string& name, const std::string& tensor, std::string_view kind) {
  return bad_input(name, "weights in f32, bf16, f16, or fp8 with one scale",
                   "quantised weights (" + std::string(kind) + "), tensor " + short_quoted(tensor),
                   "use the file that it was made from");
}

bool is_fp8(const TensorView& view) {
  return view.dtype == DType::F8_E4M3 || view.dtype == DType::F8_E5M2;
}

// The name without `end`; empty if it ends otherwise.
std::string before(const std::string& name, std::string_view end) {
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : "";
}

std::vector<float> scales_of(const TensorView& scale, const TensorView& weight,
                             const std::string& scale_name) {
  const int64_t count = element_count(scale.shape);
  const int64_t rows = weight.shape.empty() ? 1 : weight.shape.front();
  if (count != 1 && (count != rows || scale.shape.front() != rows)) {
    throw bad_input("tensor " + short_quoted(scale_name),
                    "one scale, or one for each of " + std::to_string(rows) + " rows",
                    "shape " + shape_text(scale.shape));
  }
  std::vector<float> scales;
  const size_t size = size_of(scale.dtype);
  for (int64_t i = 0; i < count; ++i) {
    const TensorView one{scale.dtype, {}, scale.data + static_cast<size_t>(i) * size, size};
    scales.push_back(static_cast<float>(scalar_of(one, scale_name)));
  }
  return scales;
}

// ComfyUI's JSON beside a weight: {"format": "float8_e4m3fn"}.
void check_comfy_kind(const std::string& name, const std::string& tensor, const TensorView& view) {
  const std::string_view text(reinterpret_cast<const char*>(view.data), view.size_bytes);
  if (text.find("\"float8_e4m3fn\"") == std::string_view::npos &&
      text.find("\"float8_e5m2\"") == std::string_view::npos) {
    throw quantised(name, tensor, "ComfyUI: " + std::string(text.substr(0, 80)));
  }
}

bool is_comfy_mark(const std::string& name) {
  return name == kComfyMark || name.ends_with("." + std::string(kComfyMark));
}

}  // namespace

TensorViews without_wrappers(TensorViews tensors, const std::string& name) {
  const auto wrapped = [](const auto& item) {
    return std::any_of(kWrappers.begin(), kWrappers.end(), [&](std::string_view wrapper) {
      return item.first.find(wrapper) != std::string::npos;
    });
  };
  const auto in_module = [](const auto& item) { return item.first.starts_with(kModule); };
  const bool all_in_module =
      !tensors.empty() && std::all_of(tensors.begin(), tensors.end(), in_module);
  if (!all_in_module && std::none_of(tensors.begin(), tensors.end(), wrapped)) return tensors;
  TensorViews bare;
  for (auto& [key, view] : tensors) {
    std::string plain = key.substr(all_in_module ? kModule.size() : 0);
    for (const std::string_view wrapper : kWrappers) {
      for (size_t at = plain.find(wrapper); at != std::string::npos; at = plain.find(wrapper, at)) {
        plain.erase(at, wrapper.size());
      }
    }
    if (!bare.emplace(plain, std::move(view)).second) {
      throw bad_input(name, "names that differ by more than wrappers", short_quoted(plain));
    }
  }
  return without_wrappers(std::move(bare), name);  // of a wrapper inside of another
}

TensorViews with_scales(TensorViews tensors, const std::string& name) {
  for (const auto& [key, view] : tensors) {
    for (const Quantisation& other : kQuantisations) {
      if (key.ends_with(other.ends)) throw quantised(name, key, other.kind);
    }
    if (key.ends_with(kComfyKind)) check_comfy_kind(name, key, view);
  }
  std::vector<std::string> done;
  for (const auto& [key, view] : tensors) {
    for (const std::string_view end : kScales) {
      const std::string module = before(key, end);
      const auto weight =
          module.empty() ? tensors.end() : tensors.find(module + std::string(kWeight));
      if (weight == tensors.end()) continue;
      if (!is_fp8(weight->second))
        throw quantised(name, weight->first, name_of(weight->second.dtype));
      weight->second.scales = scales_of(view, weight->second, key);
      done.push_back(key);
    }
    for (const std::string_view end : kActivationScales) {
      if (tensors.count(before(key, end) + std::string(kWeight))) done.push_back(key);
    }
    if (is_comfy_mark(key) || key.ends_with(kComfyKind)) done.push_back(key);
  }
  for (const std::string& key : done) tensors.erase(key);
  return tensors;
}

}  // namespace pangu::io
