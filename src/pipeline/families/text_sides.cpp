#include "pipeline/families/text_sides.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "core/error.h"
#include "nn/text/clip_vision.h"
#include "nn/text/text_encoder.h"
#include "pipeline/families/clip_reader.h"
#include "pipeline/families/prompt_review.h"
#include "pipeline/families/spec.h"
#include "text/unigram.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPromptTokens = 77;
constexpr int64_t kNoPrompt = -1;  // TrainableText::ids

struct BertReader {
  nn::TextEncoder encoder;
  text::UnigramTokenizer tokenizer;
};

Conditions read_with_bert(const BertReader& reader, const std::vector<std::string>& prompts,
                          int64_t max_tokens) {
  std::vector<std::vector<int32_t>> ids;
  size_t longest = 1;
  for (const std::string& prompt : prompts) {
    ids.push_back(reader.tokenizer.encode(reader.encoder.config().prompt_prefix + prompt,
                                          static_cast<size_t>(max_tokens)));
    longest = std::max(longest, ids.back().size());
  }
  const int64_t rows = static_cast<int64_t>(prompts.size()), length = int64_t(longest);
  at::Tensor batch = at::full({rows, length}, reader.tokenizer.pad(), at::kLong);
  at::Tensor mask = at::zeros({rows, length}, at::kBool);
  for (int64_t r = 0; r < rows; ++r) {
    const auto& row = ids[static_cast<size_t>(r)];
    for (size_t k = 0; k < row.size(); ++k) {
      batch[r][static_cast<int64_t>(k)] = row[k];
      mask[r][static_cast<int64_t>(k)] = true;
    }
  }
  Conditions conditions;
  conditions.context = reader.encoder.encode(batch, mask);
  conditions.context_mask = mask;
  return conditions;
}

std::shared_ptr<Lazy<BertReader>> lazy_bert(const std::string& folder) {
  return std::make_shared<Lazy<BertReader>>([folder](const Watch&) {
    // Both take about as long, on one core.
    auto tokenizer = std::async(std::launch::async, [&] {
      return text::UnigramTokenizer::from_file(folder + "/tokenizer/tokenizer.json");
    });
    nn::TextEncoder encoder = nn::TextEncoder::from_folder(folder + "/text_encoder");
    return std::make_shared<BertReader>(BertReader{std::move(encoder), tokenizer.get()});
  });
}

// The vocabulary beside the encoder, or the one that comes with the program.
std::string tokenizer_path(const TextSetup& setup, const ClipEncoderSpec& encoder) {
  const fs::path folder = fs::path(setup.source->folder) / encoder.tokenizer;
  if (!setup.source->folder.empty() && fs::is_directory(folder)) return folder.string();
  const fs::path ours = fs::path(setup.tokenizers) / encoder.vocabulary;
  if (!fs::exists(ours)) {
    throw bad_input("tokenizer", "the vocabulary '" + ours.string() + "'", "none",
                    "a single file has none of its own; keep models/tokenizers of this program");
  }
  return ours.string();
}

ClipReaderOptions reader_options(const TextSetup& setup, const ClipEncoderSpec& encoder) {
  const bool single = setup.source->is_single_file();
  ClipReaderOptions o;
  o.component = encoder.component;
  o.layer = single ? encoder.layer_of_single_file : encoder.layer;
  o.own_skip = own_clip_skip(encoder);
  if (encoder.is_open_clip) o.activation = nn::Activation::kGelu;
  o.pads_with_zero = encoder.is_open_clip && single;
  o.plain = encoder.plain;
  o.is_word_piece = encoder.is_word_piece;
  o.cleaning = encoder.cleaning;
  o.tokenizer = tokenizer_path(setup, encoder);
  return o;
}

bool zeroes_empty_prompt(const Source& source) {
  const bool usual = source.spec->zeroes_empty_prompt;
  if (!source.index.is_object()) return usual;
  const auto said = source.index.find("force_zeros_for_empty_prompt");
  return said != source.index.end() && said->is_boolean() ? said->get<bool>() : usual;
}

// TextSide::reads_syntax
bool reads_syntax_of(const FamilySpec& spec) {
  return std::none_of(spec.encoders.begin(), spec.encoders.end(),
                      [](const ClipEncoderSpec& encoder) { return encoder.plain; });
}

class ClipReaders {
 public:
  ClipReaders(const TextSetup& setup, const Watch& watch)
      : spec_(*setup.source->spec), zeroes_(zeroes_empty_prompt(*setup.source)) {
    for (const ClipEncoderSpec& encoder : spec_.encoders) {
      if (!setup.source->has(encoder.component)) continue;
      readers_.emplace_back(*setup.source, setup.place, *setup.loras, setup.embeddings,
                            reader_options(setup, encoder), watch);
      components_.push_back(encoder.component);
    }
    if (readers_.empty()) setup.source->need("text_encoder");
  }

  void review(const std::vector<std::string>& prompts, const Watch& watch) const {
    for (const ClipReader& reader : readers_) reader.review(prompts, watch);
  }

  Conditions read(const PromptRows& rows, const Watch& watch) const {
    Conditions c;
    std::vector<at::Tensor> tokens;
    for (const ClipReader& reader : readers_) {
      auto states = reader.read(rows.prompts, rows.clip_skip, watch);
      tokens.push_back(states.tokens);
      c.pooled = states.pooled;
    }
    c.context = beside(tokens);
    if (!spec_.reads_pooled) c.pooled = at::Tensor();
    std::vector<at::Tensor> numbers;
    for (size_t r = 0; r < rows.prompts.size(); ++r) {
      if (is_no_prompt(rows, r)) {
        c.context[static_cast<int64_t>(r)].zero_();
        c.pooled[static_cast<int64_t>(r)].zero_();
      }
      if (spec_.size_numbers) {
        numbers.push_back(
            at::tensor(spec_.size_numbers(drawn_sizes(rows.width, rows.height, rows.negative[r]))));
      }
    }
    if (!numbers.empty()) c.size_numbers = at::stack(numbers);
    return c;
  }

  // TrainableText::ids, encode and networks.
  at::Tensor ids(const PromptRows& rows) const {
    std::vector<at::Tensor> each;
    for (const ClipReader& reader : readers_) {
      each.push_back(reader.ids_of(rows.prompts).unsqueeze(2));
    }
    at::Tensor all = beside(each);
    for (size_t r = 0; r < rows.prompts.size(); ++r) {
      if (is_no_prompt(rows, r)) all[static_cast<int64_t>(r)].fill_(kNoPrompt);
    }
    return all;
  }

  Conditions encode(const at::Tensor& ids) const {
    Conditions c;
    std::vector<at::Tensor> tokens;
    for (size_t i = 0; i < readers_.size(); ++i) {
      const at::Tensor own = ids.select(2, static_cast<int64_t>(i)).clamp_min(0);
      const auto states = readers_[i].states_of(own, PromptRows().clip_skip, {});
      tokens.push_back(states.tokens);
      c.pooled = states.pooled;
    }
    c.context = beside(tokens);
    if (!spec_.reads_pooled) c.pooled = at::Tensor();
    const at::Tensor says = ids.select(2, 0).select(1, 0).ne(kNoPrompt);  // [R]
    if (says.all().item<bool>()) return c;
    const at::Tensor factor = says.to(c.context.options());
    c.context = c.context * factor.view({-1, 1, 1});
    if (c.pooled.defined()) c.pooled = c.pooled * factor.view({-1, 1});
    return c;
  }

  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> networks() const {
    std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> all;
    size_t next = 0;
    for (const std::string& component : components_) {
      all.emplace_back(component, readers_[next++].network());
    }
    return all;
  }

 private:
  bool is_no_prompt(const PromptRows& rows, size_t row) const {
    return zeroes_ && rows.negative[row] && rows.prompts[row].empty();
  }

  // Two encoders' states beside each other; the one with fewer chunks is filled up with its last.
  static at::Tensor beside(std::vector<at::Tensor>& tokens) {
    int64_t longest = 0;
    for (const at::Tensor& t : tokens) longest = std::max(longest, t.size(1));
    for (at::Tensor& t : tokens) {
      while (t.size(1) < longest) t = at::cat({t, t.slice(1, t.size(1) - kPromptTokens)}, 1);
    }
    return tokens.size() == 1 ? tokens.front() : at::cat(tokens, 2);
  }

  const FamilySpec& spec_;
  bool zeroes_;
  std::vector<ClipReader> readers_;
  std::vector<std::string> components_;  // of the readers
};

}  // namespace

TextSide bert_side(const std::string& folder) {
  const auto reader = lazy_bert(folder);
  TextSide side;
  side.load = [reader](const Watch& watch) { reader->get(watch); };
  side.encode = [reader, encoder = folder + "/text_encoder"](const PromptRows& rows,
                                                             const Watch& watch) {
    Conditions conditions = read_with_bert(reader->get(watch), rows.prompts, kPromptTokens);
    if (!is_finite(conditions.context)) check_finite(conditions.context, open_weights(encoder));
    return conditions;
  };
  side.review = [reader](const std::vector<std::string>& prompts, const Watch& watch) {
    const BertReader& bert = reader->get(watch);
    warn_of_plain_reading(
        prompts, kPromptTokens,
        [&](std::string_view prompt) {
          return bert.tokenizer
              .encode(bert.encoder.config().prompt_prefix + std::string(prompt),
                      prompt.size() + kPromptTokens)
              .size();
        },
        watch);
  };
  return side;
}

std::function<Conditions(const std::vector<std::string>&, int64_t)> bert_reader(
    const std::string& folder) {
  const auto reader = lazy_bert(folder);
  return [reader](const std::vector<std::string>& captions, int64_t max_tokens) {
    return read_with_bert(reader->get({}), captions, max_tokens);
  };
}

TextSide clip_side(const TextSetup& setup) {
  const auto readers = std::make_shared<Lazy<ClipReaders>>(
      [setup](const Watch& watch) { return std::make_shared<ClipReaders>(setup, watch); });
  TextSide side;
  side.load = [readers](const Watch& watch) { readers->get(watch); };
  side.encode = [readers](const PromptRows& rows, const Watch& watch) {
    return readers->get(watch).read(rows, watch);
  };
  side.reads_syntax = reads_syntax_of(*setup.source->spec);
  side.review = [readers](const std::vector<std::string>& prompts, const Watch& watch) {
    readers->get(watch).review(prompts, watch);
  };
  side.release = [readers] { readers->release(); };
  return side;
}

TrainableText trainable_clip(const TextSetup& setup) {
  if (setup.source->spec->encoders.empty()) {
    throw bad_input("text encoders to train", "CLIP's", "none in " + setup.source->what.human_name,
                    "network_train_unet_only = true changes the denoiser alone");
  }
  const auto readers = std::make_shared<const ClipReaders>(setup, Watch());
  TrainableText text;
  text.networks = readers->networks();
  text.ids = [readers](const PromptRows& rows) { return readers->ids(rows); };
  text.encode = [readers](const at::Tensor& ids) { return readers->encode(ids); };
  text.side.load = [](const Watch&) {};
  text.side.encode = [readers](const PromptRows& rows, const Watch& watch) {
    const at::NoGradGuard no_grad;
    return readers->read(rows, watch);
  };
  text.side.reads_syntax = reads_syntax_of(*setup.source->spec);
  text.side.review = [readers](const std::vector<std::string>& prompts, const Watch& watch) {
    readers->review(prompts, watch);
  };
  return text;
}

TextSide picture_side(const TextSetup& setup) {
  const auto component = std::make_shared<Component>(setup.source->need("image_encoder"));
  const auto config =
      component->config.is_null()
          ? nn::clip_vision_config_from_shapes(shapes_of(*component), nn::Activation::kQuickGelu)
          : read_config(*component, nn::ClipVisionConfig::from_json);
  const Placement place = setup.place;
  const auto network = std::make_shared<Lazy<nn::ClipVisionModel>>([=](const Watch& watch) {
    return make_network<nn::ClipVisionModel>(config, *component, place, tensors_of(*component),
                                             watch);
  });
  const auto encode = [network, place, component](const PromptRows& rows, const Watch& watch) {
    nn::ClipVisionModel& model = network->get(watch);
    const at::Tensor pixels = nn::clip_pixels(rows.picture, model.config().image_size);
    const at::Tensor embedding =
        model.forward(pixels.to(place.device, place.dtype), checking(watch))
            .image_embeds.to(at::kFloat)
            .cpu();
    check_finite(embedding, *component, &model);
    Conditions c;
    c.context = embedding.unsqueeze(1).repeat({static_cast<int64_t>(rows.prompts.size()), 1, 1});
    for (size_t r = 0; r < rows.negative.size(); ++r) {
      if (rows.negative[r]) c.context[static_cast<int64_t>(r)].zero_();
    }
    return c;
  };
  TextSide side;
  side.load = [network](const Watch& watch) { network->get(watch); };
  side.encode = encode;
  return side;
}

}  // namespace pangu::pipeline
