// Renames CLIP's encoders: the names of transformers in their older and newer forms, and those of
// OpenCLIP and OpenAI, whose attention has query, key and value in one matrix [3C,C] and whose
// projection is stored transposed. Everything becomes views under transformers' "text_model." and
// "vision_model.".
#include <array>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

struct Pair {
  std::string_view from, to;
};
constexpr std::array kLayer = {Pair{"ln_1.", "layer_norm1."}, Pair{"ln_2.", "layer_norm2."},
                               Pair{"attn.out_proj.", "self_attn.out_proj."},
                               Pair{"mlp.c_fc.", "mlp.fc1."}, Pair{"mlp.c_proj.", "mlp.fc2."}};

// Puts [3C,C] or [3C] as three views.
void put_fused(const SourceTensor& tensor, const std::string& attention, const std::string& leaf,
               Renamed& out) {
  const TensorView& whole = *tensor.view;
  if (whole.shape.empty() || whole.shape[0] % 3 != 0) {
    throw bad_input("tensor " + short_quoted(*tensor.name),
                    "query, key and value, three equal parts", "shape " + shape_text(whole.shape));
  }
  const std::array<const char*, 3> names = {"q_proj.", "k_proj.", "v_proj."};
  TensorView part = whole;
  part.shape[0] /= 3;
  part.size_bytes /= 3;
  for (size_t i = 0; i < names.size(); ++i) {
    part.data = whole.data + i * part.size_bytes;
    if (whole.scales.size() > 1) {
      const auto rows = static_cast<std::ptrdiff_t>(part.shape[0]);
      const auto first = whole.scales.begin() + static_cast<std::ptrdiff_t>(i) * rows;
      part.scales.assign(first, first + rows);
    }
    out.put(tensor, attention + names[i] + leaf, part, false);
  }
}

// Puts a tensor of transformer.resblocks, such as "3.ln_1.weight". Returns false if no rule knows
// it.
bool put_resblock(std::string_view rest, const std::string& tower, const SourceTensor& tensor,
                  Renamed& out) {
  const auto item = numbered(rest);
  if (!item) return false;
  const std::string layer = tower + "encoder.layers." + std::to_string(item->number) + ".";
  if (item->rest == "attn.in_proj_weight" || item->rest == "attn.in_proj_bias") {
    put_fused(tensor, layer + "self_attn.", item->rest.ends_with("weight") ? "weight" : "bias",
              out);
    return true;
  }
  for (const Pair& pair : kLayer) {
    if (const auto leaf = behind(item->rest, pair.from)) {
      out.put(tensor, layer + std::string(pair.to) + std::string(*leaf));
      return true;
    }
  }
  return false;
}

void put_projection(const SourceTensor& tensor, const std::string& name, Renamed& out) {
  if (tensor.view->shape.size() != 2) {
    throw bad_input("tensor " + short_quoted(*tensor.name), "a matrix",
                    "shape " + shape_text(tensor.view->shape));
  }
  out.put(tensor, name, *tensor.view, true);
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
    if (const auto rest = behind(name, "transformer.resblocks.")) {
      if (!put_resblock(*rest, "text_model.", tensor, out)) out.leave(tensor);
    } else if (name == "token_embedding.weight") {
      out.put(tensor, "text_model.embeddings.token_embedding.weight");
    } else if (name == "positional_embedding") {
      out.put(tensor, "text_model.embeddings.position_embedding.weight");
    } else if (const auto leaf = behind(name, "ln_final.")) {
      out.put(tensor, "text_model.final_layer_norm." + std::string(*leaf));
    } else if (name == "text_projection") {
      put_projection(tensor, "text_projection.weight", out);
    } else if (name == "text_projection.weight") {
      out.put(tensor, name);
    } else {
      out.leave(tensor);
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
