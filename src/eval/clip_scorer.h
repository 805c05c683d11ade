// The CLIP score: 100 times the cosine of a picture's and its caption's embeddings, those below 0
// counted as 0 (Hessel et al. 2021 without their factor of 2.5; the form that Chinese CLIP's
// numbers have too). It reads ids of tokens: who makes them knows the vocabulary.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eval/metric_weights.h"
#include "image/image.h"

namespace pangu::eval {

struct ClipScorer {
  std::string name;         // "OpenCLIP, 224 px, quick_gelu"
  bool is_chinese = false;  // tokens are WordPieces of BERT-base-chinese, else
                            // CLIP's byte pairs
  int64_t context_length = 77;
  // ids: [B,context_length] int64, padded with 0. Returns [B,D] f32 of
  // length 1.
  std::function<at::Tensor(const at::Tensor& ids)> text_features;
  // Returns [B,D] f32 of length 1. Pictures are prepared as the model's authors do.
  std::function<at::Tensor(const std::vector<image::Image>& pictures)> picture_features;
};

// activation: "gelu" or "quick_gelu", which shapes do not tell; empty: quick_gelu for OpenAI's
// files (TorchScript, or sizes as tensors), transformers' layout and Chinese CLIP's pictures, else
// gelu, as OpenCLIP's own models have. Error kBadInput if it is no CLIP, or names what is missing.
ClipScorer clip_scorer(const MetricWeights& weights, const std::string& activation);

// 100 times the cosines of the rows of two [B,D] of length 1, at least 0.
std::vector<double> clip_scores(const at::Tensor& pictures, const at::Tensor& texts);

}  // namespace pangu::eval
