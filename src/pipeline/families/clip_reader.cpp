#include "pipeline/families/clip_reader.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "io/lora/textual_inversion.h"
#include "pipeline/families/prompt_review.h"
#include "tensors/bytes.h"
#include "text/prompt.h"

namespace pangu::pipeline {
namespace {

constexpr int64_t kChunkTokens = 77;

std::shared_ptr<nn::ClipTextModel> make_model(const Source& source, const Placement& place,
                                              const ClipReaderOptions& options,
                                              const Watch& watch) {
  const Component& component = source.need(options.component);
  nn::TensorMap tensors;
  for (auto& [name, tensor] : tensors_of(component)) {
    const std::string ours = nn::clip_text_tensor_name(name);
    if (!ours.empty()) tensors[ours] = std::move(tensor);
  }
  nn::ClipTextConfig config;
  if (component.config.is_null()) {
    nn::TensorShapes shapes;
    for (const auto& [name, tensor] : tensors) shapes[name] = tensor.sizes().vec();
    config = nn::clip_text_config_from_shapes(shapes, options.activation);
  } else {
    config = read_config(component, nn::ClipTextConfig::from_json);
    config.has_projection = tensors.count("text_projection.weight") > 0;
  }
  return make_network<nn::ClipTextModel>(config, component, place, std::move(tensors), watch);
}

}  // namespace

at::Tensor emphasised(const at::Tensor& states, const at::Tensor& weights) {
  if (at::equal(weights, at::ones_like(weights))) return states;
  const at::Tensor before = states.mean({1, 2}, /*keepdim=*/true);
  const at::Tensor scaled = states * weights.unsqueeze(2);
  return scaled * (before / scaled.mean({1, 2}, /*keepdim=*/true));
}

ClipReader::ClipReader(const Source& source, const Placement& place, const LoraSet& loras,
                       const std::vector<std::string>& embeddings, const ClipReaderOptions& options,
                       const Watch& watch)
    : options_(options),
      place_(place),
      component_(source.need(options.component)),
      model_(make_model(source, place, options, watch)) {
  loras.merge_into(*model_, options.component, watch);
  if (options.is_word_piece) {
    if (!embeddings.empty() || !loras.embeddings().empty()) {
      throw bad_input("textual inversion", "a model with CLIP's own vocabulary",
                      "one with another for its " + options.component);
    }
    words_ = std::make_shared<text::WordPieceTokenizer>(
        text::WordPieceTokenizer::from_path(options.tokenizer, text::BertRules::kPanGu));
  } else {
    clip_ = std::make_shared<text::ClipTokenizer>(
        text::ClipTokenizer::from_path(options.tokenizer, options.cleaning));
    add_embeddings(source, embeddings, loras.embeddings());
  }
}

void ClipReader::add_embeddings(const Source& source, const std::vector<std::string>& files,
                                const std::vector<BundledEmbedding>& bundled) {
  io::TextWidths widths;
  for (const char* part : {"text_encoder", "text_encoder_2"}) {
    if (!source.has(part)) continue;
    for (const auto& [name, shape] : shapes_of(source.need(part))) {
      if (name.ends_with("token_embedding.weight")) widths[part] = shape.back();
    }
  }
  std::vector<io::WeightsFile> open;  // as long as views are read
  std::vector<io::Embedding> words;
  for (const std::string& path : files) {
    open.push_back(io::WeightsFile::open(path));
    io::add_embedding(words, io::parse_textual_inversion(open.back().tensors(), widths, path),
                      path);
  }
  for (const BundledEmbedding& embedding : bundled) {
    const std::string name = embedding.origin + ", embedding " + embedding.word;
    io::TextualInversion found = io::parse_textual_inversion(embedding.tensors, widths, name);
    found.token = embedding.word;
    io::add_embedding(words, found, name);
  }
  int64_t next = model_->config().vocab_size;
  std::vector<at::Tensor> all;
  for (const io::Embedding& word : words) {
    io::check_complete(word, widths);
    const std::string& name = word.names.front();
    const at::Tensor vectors =
        tensors::copied(word.vectors.at(options_.component), name).to(at::kFloat);
    if (!at::isfinite(vectors).all().item<bool>()) {
      throw bad_input("'" + name + "'", "finite numbers", "some that are not");
    }
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < vectors.size(0); ++i) ids.push_back(static_cast<int32_t>(next++));
    clip_->add_token(word.word, ids);
    added_words_.push_back(word.word);
    all.push_back(vectors);
  }
  if (!all.empty()) added_embeddings_ = at::cat(all).to(place_.device, place_.dtype);
}

std::vector<ClipReader::Rows> ClipReader::chunked(const std::vector<std::string>& prompts) const {
  std::vector<Rows> all;
  size_t most = 1;
  text::ChunkOptions options;
  if (clip_) {
    options.bos = clip_->bos();
    options.eos = clip_->eos();
    options.pad = options_.pads_with_zero || options_.plain ? 0 : clip_->pad();
  }
  for (const std::string& prompt : prompts) {
    Rows rows;
    if (options_.plain) {
      rows.ids.push_back(words_ ? words_->encode(prompt, kChunkTokens)
                                : clip_->encode(prompt, kChunkTokens, options.pad));
      rows.weights.emplace_back(kChunkTokens, 1.0F);
    } else {
      for (const text::Chunk& chunk : text::chunk_prompt(
               text::parse_emphasis(
                   with_embedding_words(text::extract_networks(prompt).prompt, added_words_)),
               [&](std::string_view part) { return clip_->tokenize(part); }, options)) {
        rows.ids.push_back(chunk.ids);
        rows.weights.push_back(chunk.weights);
      }
    }
    most = std::max(most, rows.ids.size());
    all.push_back(std::move(rows));
  }
  for (Rows& rows : all) {
    while (rows.ids.size() < most) {
      const text::Chunk empty = text::empty_chunk(options);
      rows.ids.push_back(empty.ids);
      rows.weights.push_back(empty.weights);
    }
  }
  return all;
}

void ClipReader::review(const std::vector<std::string>& prompts, const Watch& watch) const {
  if (!options_.plain) {
    warn_of_words(prompts, added_words_, watch);
    return;
  }
  constexpr size_t kSpecials = 2;  // begin and end
  warn_of_plain_reading(
      prompts, kChunkTokens,
      [&](std::string_view prompt) {
        return kSpecials + (words_ ? words_->tokenize(prompt) : clip_->tokenize(prompt)).size();
      },
      watch);
}

at::Tensor ClipReader::chosen_states(const nn::ClipTextOutput& output, int skip) const {
  const int64_t layers = model_->config().num_hidden_layers;
  const int64_t own_back = options_.layer == ClipLayer::kLast ? 0 : 1;
  const int64_t back = own_back + std::max(0, skip - options_.own_skip);
  if (back > layers) {
    throw bad_input("clip skip",
                    "at most " + std::to_string(layers - own_back + options_.own_skip) +
                        ", as the encoder has layers",
                    std::to_string(skip));
  }
  if (back == 0) return output.last_hidden;
  const at::Tensor states = output.hidden_states[static_cast<size_t>(layers - back)];
  return options_.layer == ClipLayer::kPenultimate ? states : model_->final_norm(states);
}

at::Tensor ClipReader::ids_of(const std::vector<std::string>& prompts) const {
  return ids_of(chunked(prompts));
}

at::Tensor ClipReader::ids_of(const std::vector<Rows>& all) const {
  const auto chunks = static_cast<int64_t>(all.front().ids.size());
  at::Tensor ids = at::empty({static_cast<int64_t>(all.size()), chunks, kChunkTokens}, at::kLong);
  for (size_t r = 0; r < all.size(); ++r) {
    for (int64_t c = 0; c < chunks; ++c) {
      ids[static_cast<int64_t>(r)][c] =
          at::tensor(all[r].ids[static_cast<size_t>(c)]).to(at::kLong);
    }
  }
  return ids.flatten(1);
}

ClipReader::States ClipReader::states_of(const at::Tensor& ids, int skip,
                                         const Watch& watch) const {
  const int64_t count = ids.size(0), chunks = ids.size(1) / kChunkTokens;
  nn::ClipTextRequest request;
  request.hidden_states = true;
  request.trace = checking(watch);
  request.added_embeddings = added_embeddings_;
  const nn::ClipTextOutput output =
      model_->forward(ids.reshape({count * chunks, kChunkTokens}).to(place_.device), request);
  States states;
  states.tokens = chosen_states(output, skip).reshape({count, chunks * kChunkTokens, -1});
  if (output.text_embeds.defined()) {
    states.pooled = output.text_embeds.view({count, chunks, -1}).select(1, 0);
  }
  return states;
}

ClipReader::States ClipReader::read(const std::vector<std::string>& prompts, int skip,
                                    const Watch& watch) const {
  const std::vector<Rows> all = chunked(prompts);
  const auto chunks = static_cast<int64_t>(all.front().ids.size());
  const auto count = static_cast<int64_t>(all.size());
  at::Tensor weights = at::empty({count * chunks, kChunkTokens}, at::kFloat);
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < chunks; ++c) {
      weights[r * chunks + c] =
          at::tensor(all[static_cast<size_t>(r)].weights[static_cast<size_t>(c)]);
    }
  }
  States states = states_of(ids_of(all), skip, watch);
  const at::Tensor tokens =
      states.tokens.to(at::kFloat).cpu().reshape({count * chunks, kChunkTokens, -1});
  states.tokens = emphasised(tokens, weights).reshape({count, chunks * kChunkTokens, -1});
  if (states.pooled.defined()) {
    states.pooled = states.pooled.to(at::kFloat).cpu().clone();
    check_finite(states.pooled, component_, model_.get());
  }
  check_finite(states.tokens, component_, model_.get());
  return states;
}

}  // namespace pangu::pipeline
