// Textual inversion (.safetensors): learned vectors that stand for a word. A1111's files hold
// "emb_params", those for SDXL "clip_l" and "clip_g"; diffusers' hold one tensor named by the
// token. Gal et al. 2022. Not the tokenizer's side.
#pragma once
#include <map>
#include <string>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

struct TextualInversion {
  std::string token;  // of a diffusers file: "<cat-toy>"; else empty: use the file's name
  // "text_encoder", "text_encoder_2" -> [vectors, width]; both hold equally many vectors.
  std::map<std::string, TensorView> vectors;
};

bool looks_like_textual_inversion(const TensorViews& tensors);

// `widths`: embedding width of each text encoder of the base. Error kBadInput if the file is none,
// or was made for other widths (names both).
TextualInversion parse_textual_inversion(const TensorViews& tensors,
                                         const std::map<std::string, int64_t>& widths,
                                         const std::string& name);

}  // namespace pangu::io
