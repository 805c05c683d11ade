// Tensors go by their prefix to the rules of io/ldm/clip_names.cpp.
#include "io/ldm/clip_towers.h"

#include <utility>

#include "core/error.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr const char* kPatches = "visual.conv1.weight";
constexpr const char* kTokens = "token_embedding.weight";
constexpr const char* kWords = "bert.embeddings.word_embeddings.weight";
constexpr const char* kVisionPatches = "vision_model.embeddings.patch_embedding.weight";
constexpr const char* kTextTokens = "text_model.embeddings.token_embedding.weight";
constexpr std::string_view kVisual = "visual.", kBert = "bert.", kPooler = "bert.pooler.";

ClipLayout clip_layout_of(const TensorViews& tensors) {
  if (tensors.contains(kPatches) && tensors.contains(kTokens)) return ClipLayout::kOpenClip;
  if (tensors.contains(kPatches) && tensors.contains(kWords)) return ClipLayout::kChinese;
  if (tensors.contains(kVisionPatches) && tensors.contains(kTextTokens)) {
    return ClipLayout::kTransformers;
  }
  return ClipLayout::kUnknown;
}

void split_transformers(const TensorViews& tensors, ClipTowers& towers_) {
  for (const auto& [name, view] : tensors) {
    if (name.ends_with("position_ids")) continue;
    if (name.starts_with("vision_model.") || name.starts_with("visual_projection.")) {
      towers_.vision[name] = {view, false};
    } else if (name.starts_with("text_model.") || name.starts_with("text_projection.")) {
      towers_.text[name] = {view, false};
    }
  }
}

}  // namespace

ClipTowers clip_towers_of(const TensorViews& tensors) {
  ClipTowers towers;
  towers.layout = clip_layout_of(tensors);
  if (towers.layout == ClipLayout::kUnknown) return towers;
  if (towers.layout == ClipLayout::kTransformers) {
    split_transformers(tensors, towers);
    return towers;
  }
  if (any_begins(tensors, "visual.layer1.") || any_begins(tensors, "visual.trunk.")) {
    throw bad_input("CLIP's image tower", "a vision transformer, as ViT-B-32 or ViT-L-14",
                    "another network", "choose a ViT of the same family");
  }
  towers.says_its_sizes = tensors.contains("input_resolution");
  SourceTensors vision, text;
  for (const auto& [name, view] : tensors) {
    const SourceTensor source{&name, &view};
    if (const auto rest = behind(name, kVisual)) {
      vision.emplace(*rest, source);
    } else if (towers.layout == ClipLayout::kOpenClip) {
      text.emplace(name, source);
    } else if (name.starts_with(kBert) && !name.starts_with(kPooler)) {
      towers.text[name.substr(kBert.size())] = {view, false};
    } else if (name == "text_projection") {
      towers.text["text_projection.weight"] = {view, true};
    }
  }
  const Recognised nothing;
  std::vector<std::string> unexpected;  // attn_mask, logit_scale, sizes
  Renamed into_vision{towers.vision, unexpected, nothing};
  rename_openclip_image(vision, into_vision);
  Renamed into_text{towers.text, unexpected, nothing};
  rename_openclip(text, into_text);
  return towers;
}

}  // namespace pangu::io
