// Renames CLIP's encoders: the names of transformers in their older and newer forms, and those of
// OpenCLIP and OpenAI, whose attention has query, key and value in one matrix [3C,C] and whose
// projection is stored transposed. Everything becomes views under transformers' "text_model." and
// "vision_model."; text towers also get their names of single files back.
#include <array>
#include <optional>
#include <span>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

struct ClipPair {
  std::string_view open_clip, transformers;
};
constexpr std::array kLayer = {ClipPair{"ln_1.", "layer_norm1."}, ClipPair{"ln_2.", "layer_norm2."},
                               ClipPair{"attn.out_proj.", "self_attn.out_proj."},
                               ClipPair{"mlp.c_fc.", "mlp.fc1."},
                               ClipPair{"mlp.c_proj.", "mlp.fc2."}};
// Of the text tower, around its layers.
constexpr std::array kTextOutside = {
    ClipPair{"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    ClipPair{"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    ClipPair{"ln_final.", "text_model.final_layer_norm."}};
constexpr std::string_view kTextLayers = "text_model.encoder.layers.",
                           kResblocks = "transformer.resblocks.";
constexpr const char* kTextProjection = "text_projection.weight";  // OpenCLIP's has no ".weight"
// In the order in which in_proj_weight and in_proj_bias have them.
constexpr std::array<std::string_view, 3> kFused = {"self_attn.q_proj.", "self_attn.k_proj.",
                                                    "self_attn.v_proj."};
constexpr std::string_view kInProjection = "attn.in_proj_";

// A name by the first pair that fits, which is all of it or, ending in a point, its beginning.
std::optional<std::string> renamed_by(std::span<const ClipPair> pairs, std::string_view name,
                                      bool to_open_clip = false) {
  for (const ClipPair& pair : pairs) {
    const std::string_view from = to_open_clip ? pair.transformers : pair.open_clip;
    const std::string_view to = to_open_clip ? pair.open_clip : pair.transformers;
    const auto rest = behind(name, from);
    if (rest && (rest->empty() || from.ends_with('.'))) {
      return std::string(to) + std::string(*rest);
    }
  }
  return std::nullopt;
}

// Puts [3C,C] or [3C] as three views.
void put_fused(const SourceTensor& tensor, const std::string& layer, const std::string& leaf,
               Renamed& out) {
  const TensorView& whole = *tensor.view;
  if (whole.shape.empty() || whole.shape[0] % 3 != 0) {
    throw bad_input("tensor " + short_quoted(*tensor.name),
                    "query, key and value, three equal parts", "shape " + shape_text(whole.shape));
  }
  TensorView part = whole;
  part.shape[0] /= 3;
  part.size_bytes /= 3;
  for (size_t i = 0; i < kFused.size(); ++i) {
    part.data = whole.data + i * part.size_bytes;
    if (whole.scales.size() > 1) {
      const auto rows = static_cast<std::ptrdiff_t>(part.shape[0]);
      const auto first = whole.scales.begin() + static_cast<std::ptrdiff_t>(i) * rows;
      part.scales.assign(first, first + rows);
    }
    out.put(tensor, layer + std::string(kFused[i]) + leaf, part, false);
  }
}

// Puts a tensor of transformer.resblocks, such as "3.ln_1.weight". Returns false if no rule knows
// it.
bool put_resblock(std::string_view rest, const std::string& tower, const SourceTensor& tensor,
                  Renamed& out) {
  const auto item = numbered(rest);
  if (!item) return false;
  const std::string layer = tower + "encoder.layers." + std::to_string(item->number) + ".";
  const auto leaf = behind(item->rest, kInProjection);
  if (leaf && (*leaf == "weight" || *leaf == "bias")) {
    put_fused(tensor, layer, std::string(*leaf), out);
    return true;
  }
  const auto name = renamed_by(kLayer, item->rest);
  if (name) out.put(tensor, layer + *name);
  return name.has_value();
}

void put_projection(const SourceTensor& tensor, const std::string& name, Renamed& out) {
  if (tensor.view->shape.size() != 2) {
    throw bad_input("tensor " + short_quoted(*tensor.name), "a matrix",
                    "shape " + shape_text(tensor.view->shape));
  }
  out.put(tensor, name, *tensor.view, true);
}

// Puts query, key and value of a layer as one tensor, when it is the query's turn. Returns false if
// they do not fit each other.
bool restore_fused(const NamedTensors& given, const std::string& layer, const std::string& block,
                   const std::string& leaf, Restored& out) {
  SingleFileTensor fused;
  for (const std::string_view name : kFused) {
    const auto found = given.find(layer + std::string(name) + leaf);
    if (found == given.end() || found->second.view.shape.empty()) return false;
    std::vector<int64_t> shape = shape_of(found->second);
    if (fused.parts.empty()) {
      fused.dtype = found->second.view.dtype;
      fused.shape = shape;
      fused.shape[0] *= 3;
    }
    shape[0] *= 3;
    if (found->second.view.dtype != fused.dtype || shape != fused.shape) return false;
    fused.parts.push_back(found->first);
  }
  fused.name = std::string(out.section.prefix) + block + std::string(kInProjection) + leaf;
  fused.component = out.section.component;
  out.tensors.push_back(std::move(fused));
  return true;
}

// Puts a tensor of text_model.encoder.layers, such as "3.layer_norm1.weight".
void restore_layer(const NamedTensors& given, std::string_view rest, const std::string& name,
                   Restored& out) {
  const auto item = numbered(rest);
  if (!item) return out.nameless.push_back(name);
  const std::string number = std::to_string(item->number) + ".";
  const std::string block = std::string(kResblocks) + number;
  for (size_t i = 0; i < kFused.size(); ++i) {
    const auto leaf = behind(item->rest, kFused[i]);
    if (!leaf) continue;
    const std::string layer = std::string(kTextLayers) + number;
    const bool has_query = given.count(layer + std::string(kFused[0]) + std::string(*leaf)) > 0;
    // The other two come with the query.
    const bool is_put =
        i > 0 ? has_query : restore_fused(given, layer, block, std::string(*leaf), out);
    if (!is_put) out.nameless.push_back(name);
    return;
  }
  const auto inside = renamed_by(kLayer, item->rest, true);
  if (!inside) return out.nameless.push_back(name);
  out.put(block + *inside, name, given.at(name));
}

// Names have the tower's own prefix or, in newer versions of transformers, none.
void rename_transformers(const SourceTensors& source, Renamed& out, const std::string& tower) {
  for (const auto& [name, tensor] : source) {
    bool inside = false;
    for (const char* part :
         {"embeddings.", "encoder.", "final_layer_norm.", "pre_layrnorm.", "post_layernorm."}) {
      inside = inside || name.starts_with(part);
    }
    out.put(tensor, inside ? tower + name : name);
  }
}

}  // namespace

void rename_clip_text(const SourceTensors& source, Renamed& out) {
  rename_transformers(source, out, "text_model.");
}

void rename_clip_image(const SourceTensors& source, Renamed& out) {
  rename_transformers(source, out, "vision_model.");
}

void rename_clip_vision(const SourceTensors& source, Renamed& out) {
  rename_transformers(source, out, "vision_model.");
}

void rename_openclip(const SourceTensors& source, Renamed& out) {
  for (const auto& [name, tensor] : source) {
    if (const auto rest = behind(name, kResblocks)) {
      if (!put_resblock(*rest, "text_model.", tensor, out)) out.leave(tensor);
    } else if (const auto outside = renamed_by(kTextOutside, name)) {
      out.put(tensor, *outside);
    } else if (name == "text_projection") {
      put_projection(tensor, kTextProjection, out);
    } else if (name == kTextProjection) {
      out.put(tensor, name);
    } else {
      out.leave(tensor);
    }
  }
}

void restore_clip_text(const NamedTensors& given, Restored& out) {
  for (const auto& [name, tensor] : given) out.put(name, name, tensor);
}

void restore_openclip(const NamedTensors& given, Restored& out) {
  for (const auto& [name, tensor] : given) {
    const bool is_projection = name == kTextProjection && tensor.view.shape.size() == 2;
    if (const auto rest = behind(name, kTextLayers)) {
      restore_layer(given, *rest, name, out);
    } else if (is_projection) {
      std::vector<int64_t> shape = shape_of(tensor);
      std::swap(shape[0], shape[1]);
      out.put("text_projection", name, tensor, std::move(shape), true);
    } else if (const auto outside = renamed_by(kTextOutside, name, true)) {
      out.put(*outside, name, tensor);
    } else {
      out.nameless.push_back(name);
    }
  }
}

void rename_openclip_image(const SourceTensors& source, Renamed& out) {
  for (const auto& [name, tensor] : source) {
    if (const auto rest = behind(name, "transformer.resblocks.")) {
      if (!put_resblock(*rest, "vision_model.", tensor, out)) out.leave(tensor);
    } else if (name == "class_embedding") {
      out.put(tensor, "vision_model.embeddings.class_embedding");
    } else if (name == "positional_embedding") {
      out.put(tensor, "vision_model.embeddings.position_embedding.weight");
    } else if (name == "conv1.weight") {
      out.put(tensor, "vision_model.embeddings.patch_embedding.weight");
    } else if (const auto before = behind(name, "ln_pre.")) {
      out.put(tensor, "vision_model.pre_layrnorm." + std::string(*before));
    } else if (const auto after = behind(name, "ln_post.")) {
      out.put(tensor, "vision_model.post_layernorm." + std::string(*after));
    } else if (name == "proj") {
      put_projection(tensor, "visual_projection.weight", out);
    } else {
      out.leave(tensor);
    }
  }
}

}  // namespace pangu::io
