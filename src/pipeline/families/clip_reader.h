// One CLIP text encoder with its tokenizer, which turns prompts in A1111's syntax into token states
// and a pooled vector. It knows which layer a family uses, and nothing of guidance or sizes.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/text/clip_text.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "text/clip_bpe.h"
#include "text/word_piece.h"

namespace pangu::pipeline {

// The states of the encoder that the family's networks were trained with.
enum class ClipLayer {
  kLast,             // the last state after the final norm: SD 1, SD 2's folder, Chinese CLIP
  kPenultimateNorm,  // the state before the last layer, then the final norm: SD 2's single file
  kPenultimate,      // the state before the last layer: SDXL's two, PanGu-Draw 3's second
};

struct ClipReaderOptions {
  std::string component;  // "text_encoder", "text_encoder_2"
  ClipLayer layer = ClipLayer::kLast;
  int own_skip =
      1;  // that layer by the count of the web UIs, which begins at the whole encoder's end
  nn::Activation activation = nn::Activation::kQuickGelu;  // used where no configuration names one
  std::string tokenizer;                                   // folder or file of the vocabulary
  bool is_word_piece = false;  // WordPiece tokens: PanGu-Draw 3's Chinese encoder; needs plain
  text::ClipCleaning cleaning = text::ClipCleaning::kTransformers;
  // Whether the prompt is taken as it is, cut at the encoder's length and padded with 0, as in the
  // released PanGu-Draw 3. Otherwise it has A1111's weights and chunks, padded as the tokenizer
  // says.
  bool plain = false;
  bool pads_with_zero = false;  // the pad token is id 0: single files of OpenCLIP
};

// Applies A1111's emphasis (its "Original" mode): each token's state is multiplied by its weight,
// and then every chunk is scaled back to its former mean. states: [C,77,D] f32; weights: [C,77]
// f32.
at::Tensor emphasised(const at::Tensor& states, const at::Tensor& weights);

class ClipReader {
 public:
  // Reads the vocabulary and the weights. embeddings: files of textual inversions.
  ClipReader(const Source& source, const Placement& place, const LoraSet& loras,
             const std::vector<std::string>& embeddings, const ClipReaderOptions& options,
             const Watch& watch);

  struct States {
    at::Tensor tokens;  // [R,77 * chunks,D] f32
    at::Tensor pooled;  // [R,P] f32, projected, of the first chunk; undefined without projection
  };
  // Encodes R prompts. Prompts of fewer chunks are filled up with chunks of the empty prompt. skip
  // is the "clip skip" of the web UIs; up to own_skip it is the layer of the options. Throws
  // kBadInput if the encoder has fewer layers.
  States read(const std::vector<std::string>& prompts, int skip, const Watch& watch) const;

  // The two halves of read(), for trainings. Prompts without syntax as ids: [R,77 * chunks] i64.
  at::Tensor ids_of(const std::vector<std::string>& prompts) const;
  // Their states, on the network's device and in its type, with gradients where they are wanted.
  States states_of(const at::Tensor& ids, int skip, const Watch& watch) const;
  const std::shared_ptr<nn::ClipTextModel>& network() const { return model_; }

  // TextSide::review.
  void review(const std::vector<std::string>& prompts, const Watch& watch) const;

 private:
  struct Rows {
    std::vector<std::vector<int32_t>> ids;  // 77 each
    std::vector<std::vector<float>> weights;
  };
  std::vector<Rows> chunked(const std::vector<std::string>& prompts) const;
  at::Tensor ids_of(const std::vector<Rows>& all) const;
  at::Tensor chosen_states(const nn::ClipTextOutput& output, int skip) const;
  void add_embeddings(const Source& source, const std::vector<std::string>& files,
                      const std::vector<BundledEmbedding>& bundled);

  ClipReaderOptions options_;
  Placement place_;
  Component component_;  // what model_ was made of, for messages
  std::shared_ptr<nn::ClipTextModel> model_;
  std::shared_ptr<text::ClipTokenizer> clip_;
  std::shared_ptr<text::WordPieceTokenizer> words_;
  at::Tensor added_embeddings_;
  std::vector<std::string> added_words_;  // of textual inversions
};

}  // namespace pangu::pipeline
