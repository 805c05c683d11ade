// Textual inversion by the few names that its writers use.
#include "io/lora/textual_inversion.h"

#include <algorithm>

#include "core/error.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

// A word's vectors: [width], or one row each. Wider than any of it is some other file.
constexpr int64_t kMaxVectors = 1024;

bool is_embedding(const TensorView& view) {
  const auto& shape = view.shape;
  const bool number = view.dtype == DType::F32 || view.dtype == DType::F16 ||
                      view.dtype == DType::BF16 || view.dtype == DType::F64;
  return number && view.size_bytes > 0 &&
         (shape.size() == 1 || (shape.size() == 2 && shape[0] <= kMaxVectors));
}

TensorView as_rows(TensorView view) {
  if (view.shape.size() == 1) view.shape.insert(view.shape.begin(), 1);
  return view;
}

}  // namespace

bool looks_like_textual_inversion(const TensorViews& tensors) {
  for (const char* name : {"emb_params", "clip_l", "clip_g"}) {
    const auto found = tensors.find(name);
    if (found != tensors.end()) return is_embedding(found->second);
  }
  // diffusers: one tensor, called by its token. Names of modules have points.
  return tensors.size() == 1 && is_embedding(tensors.begin()->second) &&
         tensors.begin()->first.find('.') == std::string::npos;
}

TextualInversion parse_textual_inversion(const TensorViews& tensors,
                                         const std::map<std::string, int64_t>& widths,
                                         const std::string& name) {
  if (!looks_like_textual_inversion(tensors)) {
    throw bad_input(name, "a textual inversion (emb_params, clip_l and clip_g, or one token)",
                    tensors.empty() ? "no tensors" : recognise(tensors).human_name);
  }
  TextualInversion found;
  if (tensors.count("clip_l") || tensors.count("clip_g")) {
    for (const auto& [key, encoder] :
         {std::pair{"clip_l", "text_encoder"}, std::pair{"clip_g", "text_encoder_2"}}) {
      const auto item = tensors.find(key);
      if (item != tensors.end()) found.vectors[encoder] = as_rows(item->second);
    }
  } else if (tensors.count("emb_params")) {
    found.vectors["text_encoder"] = as_rows(tensors.at("emb_params"));
  } else {
    found.token = tensors.begin()->first;
    found.vectors["text_encoder"] = as_rows(tensors.begin()->second);
  }
  for (const auto& [encoder, view] : found.vectors) {
    if (!is_embedding(view)) {
      throw bad_input(name, "rows of an embedding", "shape " + shape_text(view.shape));
    }
    const auto width = widths.find(encoder);
    if (width == widths.end() || width->second != view.shape[1]) {
      throw bad_input(
          name,
          width == widths.end() ? "vectors for the encoders that the model has"
                                : "vectors of width " + std::to_string(width->second),
          "some of width " + std::to_string(view.shape[1]) + " for " + encoder,
          "it was made for " + std::string(name_of(encoder == "text_encoder_2"
                                                       ? Family::kSdxl
                                                       : family_of_text_width(view.shape[1]))));
    }
  }
  // A model with two encoders needs both halves, equally long.
  for (const auto& [encoder, width] : widths) {
    const auto half = found.vectors.find(encoder);
    if (half == found.vectors.end()) {
      throw bad_input(name, "vectors for " + encoder, "none", "it was made for another family");
    }
    if (half->second.shape[0] != found.vectors.begin()->second.shape[0]) {
      throw bad_input(name, "equally many vectors for each encoder",
                      std::to_string(half->second.shape[0]) + " and " +
                          std::to_string(found.vectors.begin()->second.shape[0]));
    }
  }
  return found;
}

}  // namespace pangu::io
