// The text sides of every family: prompts -> what its networks are told. Weights and vocabularies
// come in when first needed. It knows no sampler and no picture file.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// What the text encoders of one model share.
struct TextSetup {
  std::shared_ptr<const Source> source;
  Placement place;
  std::shared_ptr<const LoraSet> loras;
  std::vector<std::string> embeddings;  // files of textual inversions
  std::string tokenizers;               // LoadOptions::tokenizers
};

// Our small models: a frozen multilingual BERT with its mask; the prompt is taken as it is written.
TextSide bert_side(const std::string& folder);
// The same for captions that are cut to max_tokens; weights come in at the first call.
std::function<Conditions(const std::vector<std::string>& captions, int64_t max_tokens)> bert_reader(
    const std::string& folder);

// The CLIP text encoders of the family side by side (FamilySpec::encoders), a pooled vector and
// size numbers where it has them. Prompts have A1111's syntax: weights, BREAK, chunks of 75 tokens
// (text/prompt.h).
TextSide clip_side(const TextSetup& setup);

// The same encoders in a training that changes them.
struct TrainableText {
  // By the names of components, in memory as long as any of these callables.
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> networks;
  // Prompts without syntax as Conditions::token_ids [R,L,E]; -1 for every token of a row that the
  // model takes for no prompt at all (FamilySpec::zeroes_empty_prompt).
  std::function<at::Tensor(const PromptRows& rows)> ids;
  // context [R,L,D] and pooled [R,P] of ids, in the networks' type. Differentiable.
  std::function<Conditions(const at::Tensor& token_ids)> encode;
  TextSide side;  // reads prompts by the networks as they are at the time
};
// Reads the weights. Error kBadInput for a family that has no CLIP encoders: models of this
// program.
TrainableText trainable_clip(const TextSetup& setup);

// Image variations: the CLIP embedding of a picture, one token; zeros for the unconditional side.
TextSide picture_side(const TextSetup& setup);

}  // namespace pangu::pipeline
