#include "app/eval/caption_scores.h"

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/home.h"
#include "core/error.h"
#include "core/hash.h"
#include "eval/clip_scorer.h"
#include "eval/metric_weights.h"
#include "text/clip_bpe.h"
#include "text/word_piece.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

using Tokenise = std::function<std::vector<int32_t>(const std::string&)>;

// The vocabularies are the ones that the models were trained with, whoever distributes the weights.
Tokenise tokeniser_of(const eval::ClipScorer& scorer) {
  const fs::path vocabularies = home() / "models/tokenizers";
  const auto length = static_cast<size_t>(scorer.context_length);
  if (scorer.is_chinese) {
    const auto words =
        std::make_shared<const text::WordPieceTokenizer>(text::WordPieceTokenizer::from_path(
            (vocabularies / "zh").string(), text::BertRules::kPanGu));
    return
        [words, length](const std::string& caption) { return words->encode(caption, length, 0); };
  }
  const auto pairs = std::make_shared<const text::ClipTokenizer>(text::ClipTokenizer::from_path(
      (vocabularies / "clip").string(), text::ClipCleaning::kOpenClip));
  return [pairs, length](const std::string& caption) { return pairs->encode(caption, length, 0); };
}

}  // namespace

void add_clip(const RulerArgs& args, const std::vector<eval::NamedPrompt>& captions,
              OpenRulers& open_) {
  if (args.clip.empty()) return;
  const eval::MetricWeights weights = eval::open_metric_weights(args.clip, "--clip");
  const eval::ClipScorer scorer = eval::clip_scorer(weights, args.clip_activation);
  const Tokenise tokens = tokeniser_of(scorer);
  std::map<std::string, std::string> caption_of;
  Sha256 hash;
  for (const eval::NamedPrompt& one : captions) {
    caption_of[one.name] = one.prompt;
    hash.update(one.name).update("\n").update(one.prompt).update("\n");
  }
  open_.measured.clip_weights = weights.sha256;
  open_.measured.captions = hex_of(hash.digest());
  open_.about["clip"] = {{"file", fs::path(args.clip).filename().string()},
                         {"sha256", weights.sha256},
                         {"network", scorer.name}};
  open_.rulers.clip_scores = [=](const std::vector<std::string>& names,
                                 const std::vector<image::Image>& pictures) {
    std::vector<at::Tensor> ids;
    for (const std::string& name : names) {
      const auto caption = caption_of.find(eval::stem_of(name));
      if (caption == caption_of.end()) {
        throw bad_input("picture '" + name + "'", "a caption of this name in --captions", "none");
      }
      const std::vector<int32_t> row = tokens(caption->second);
      ids.push_back(at::tensor(std::vector<int64_t>(row.begin(), row.end())));
    }
    return eval::clip_scores(scorer.picture_features(pictures),
                             scorer.text_features(at::stack(ids)));
  };
}

}  // namespace pangu::app
