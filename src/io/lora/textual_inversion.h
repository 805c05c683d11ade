// Textual inversion (.safetensors): learned vectors that stand for a word. A1111's files hold
// "emb_params" or "string_to_param.*", those for two encoders "clip_l" and "clip_g" or, from
// diffusers' advanced trainers, "text_encoders_0" and "text_encoders_1"; diffusers' hold one tensor
// named by the token, and for two encoders are two files. A LoRA may bring words along. Gal et al.
// 2022. Not the tokenizer's side.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

struct TextualInversion {
  std::string token;  // of a diffusers file: "<cat-toy>"; else empty: use the file's name
  // "text_encoder", "text_encoder_2" -> [vectors, width]; all hold equally many vectors.
  std::map<std::string, TensorView> vectors;
};

bool looks_like_textual_inversion(const TensorViews& tensors);

// Embedding width of each text encoder of the base.
using TextWidths = std::map<std::string, int64_t>;

// Vectors whose name says no encoder are those of the encoder that has their width. Error kBadInput
// if the file is none, or was made for other widths (names both). The file may hold one half of a
// pair for two encoders.
TextualInversion parse_textual_inversion(const TensorViews& tensors, const TextWidths& widths,
                                         const std::string& name);

// One word of several files, or halves of one: joins what belongs together.
struct Embedding {
  std::string word;
  std::vector<std::string> names;  // of the files that it is from
  std::map<std::string, TensorView> vectors;
};

// Adds `found`, which is called `name` (a path, whose file name is the word if the file says none).
// The halves of a pair have the same token, or file names alike but for "_2" at the end of the
// second's. Error kBadInput if the word has vectors for an encoder already.
void add_embedding(std::vector<Embedding>& all, const TextualInversion& found,
                   const std::string& name);

// Error kBadInput unless the word has equally many vectors for every encoder.
void check_complete(const Embedding& embedding, const TextWidths& widths);

// "bundle_emb.WORD.emb_params" and its like, as A1111 reads and OneTrainer writes them in a LoRA.
bool is_bundled_embedding(const std::string& key);
// Word -> its tensors, under the names that a file of its own would have.
std::map<std::string, TensorViews> bundled_embeddings(const TensorViews& tensors);

}  // namespace pangu::io
