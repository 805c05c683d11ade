#include "pipeline/families/frozen_base.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"
#include "pipeline/families/spec.h"

namespace pangu::pipeline {
namespace {

// One run of CLIP's encoder, and its tokens beside the two at the ends.
constexpr int64_t kRunTokens = 77, kRunWords = 75;

void refuse_other_inputs(const std::string& path, const Model& model) {
  const auto refuse = [&](bool is_so, const char* what) {
    if (is_so)
      throw bad_input("model '" + path + "'", "one that draws from text, or fills masks", what);
  };
  refuse(model.denoising.control_channels != 0, "one that draws from a control picture");
  refuse(model.quirks.reads_picture, "one that draws from a picture");
  refuse(model.denoising.experts.front().reads_guidance, "a distilled one that reads the guidance");
}

std::vector<TrainedExpert> frozen_experts(const Denoising& d) {
  const int64_t steps = d.schedule.num_train_timesteps();
  if (d.experts.size() == 1) return {{"denoiser", "unet", 0, steps}};
  const auto boundary =
      static_cast<int64_t>(std::lround(d.schedule.t_of_sigma(d.boundaries.front())));
  return {{"structure", "unet", boundary, steps}, {"texture", "unet_texture", 0, boundary}};
}

// The caption in the syntax of prompts: brackets stand for themselves, and BREAK is a word.
std::string without_syntax(const std::string& caption) {
  std::string text;
  for (const char c : caption) {
    if (std::string_view("()[]\\").find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  constexpr std::string_view kBreak = "BREAK";
  for (size_t at = text.find(kBreak); at != std::string::npos; at = text.find(kBreak, at)) {
    text.replace(at, kBreak.size(), "break");  // which CLIP's tokenizer does to every word
  }
  return text;
}

std::string captions_identity(const Source& source) {
  std::string all;
  for (const auto& [name, component] : source.components) {
    if (name.starts_with("text_encoder")) all += name + " " + fingerprint_of(component) + "\n";
  }
  return sha256_hex(all.empty() ? source.fingerprint : all);
}

// Of the size that the model draws.
PromptRows empty_rows(const FrozenBase& base) {
  PromptRows rows;
  rows.width = *base.model.rules.defaults.width;
  rows.height = *base.model.rules.defaults.height;
  return rows;
}

PromptRows caption_rows(const std::vector<std::string>& captions, bool reads_syntax,
                        PromptRows rows) {
  for (const std::string& caption : captions) {
    rows.prompts.push_back(reads_syntax ? without_syntax(caption) : caption);
    rows.negative.push_back(caption.empty());
  }
  return rows;
}

// As many whole runs of the encoder as the tokens need. states: [R,L,D]
at::Tensor cut_to_runs(const at::Tensor& states, int64_t max_tokens) {
  const int64_t runs = std::max<int64_t>(1, (max_tokens + kRunWords - 1) / kRunWords);
  return states.slice(1, 0, runs * kRunTokens);
}

}  // namespace

FrozenBase open_frozen_base(const std::string& path, const LoadOptions& options) {
  FrozenBase base;
  base.path = path;
  base.options = options;
  base.source = std::make_shared<const Source>(open_source(path, options));
  base.model = load_model(path, options);
  refuse_other_inputs(path, base.model);
  base.fills_captions_up = !base.source->spec->encoders.empty();
  base.experts = frozen_experts(base.model.denoising);
  const Request& defaults = base.model.rules.defaults;
  const int multiple = base.model.rules.size_multiple;
  const double side = std::sqrt(double(*defaults.width) * *defaults.height);
  base.default_side_px = multiple * std::max(1, static_cast<int>(std::lround(side / multiple)));
  return base;
}

FrozenBase reopened(const FrozenBase& base) { return open_frozen_base(base.path, base.options); }

CaptionReader frozen_captions(const FrozenBase& base) {
  CaptionReader reader;
  reader.identity = captions_identity(*base.source);
  const TextSide side = base.model.denoising.text_sides.front();
  reader.read = [side, is_clip = base.fills_captions_up, empty = empty_rows(base)](
                    const std::vector<std::string>& captions, int64_t max_tokens) {
    Conditions read = side.encode(caption_rows(captions, side.reads_syntax, empty), {});
    Conditions told;
    told.context = read.context;
    told.context_mask = read.context_mask;
    told.pooled = read.pooled;
    if (is_clip) told.context = cut_to_runs(told.context, max_tokens);
    return told;
  };
  return reader;
}

CaptionReader frozen_caption_ids(const FrozenBase& base) {
  CaptionReader reader;
  reader.identity = captions_identity(*base.source) + ", ids";
  const TrainableText text = trainable_text(base, {});
  reader.read = [ids = text.ids, reads_syntax = text.side.reads_syntax, empty = empty_rows(base)](
                    const std::vector<std::string>& captions, int64_t max_tokens) {
    const PromptRows rows = caption_rows(captions, reads_syntax, empty);
    Conditions told;
    told.context = cut_to_runs(ids(rows), max_tokens).to(at::kFloat);
    return told;
  };
  return reader;
}

std::vector<float> size_numbers_of(const FrozenBase& base, const PictureSizes& sizes) {
  const auto& numbers = base.source->spec->size_numbers;
  return numbers ? numbers(sizes) : std::vector<float>();
}

}  // namespace pangu::pipeline
