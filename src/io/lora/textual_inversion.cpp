// Textual inversion by the few names that its writers use.
#include "io/lora/textual_inversion.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/error.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

// A word's vectors: [width], or one row each. Wider than any of it is some other file.
constexpr int64_t kMaxVectors = 1024;
constexpr std::string_view kBundle = "bundle_emb.";
constexpr std::string_view kSecondHalf = "_2";
constexpr std::string_view kAnyWord = "*";  // what A1111's trainer calls every word

// Names of a tensor, and the encoder that they say; none: the one that has its width.
struct KnownName {
  std::string_view name, encoder;
};
constexpr std::array kNames = {KnownName{"emb_params", ""},
                               KnownName{"string_to_param.*", ""},
                               KnownName{"clip_l", "text_encoder"},
                               KnownName{"clip_g", "text_encoder_2"},
                               KnownName{"text_encoders_0", "text_encoder"},
                               KnownName{"text_encoders_1", "text_encoder_2"}};

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

std::string encoder_of_width(int64_t width, const TextWidths& widths, const std::string& name) {
  std::string known;
  for (const auto& [encoder, own] : widths) {
    if (own == width) return encoder;
    known += (known.empty() ? "" : " or ") + std::to_string(own);
  }
  const Family family = family_of_text_width(width);
  throw bad_input(name, "vectors of width " + known, "some of width " + std::to_string(width),
                  family == Family::kUnknown ? "it was made for another family"
                                             : "it was made for " + std::string(name_of(family)));
}

std::string word_of(const TextualInversion& found, const std::string& name) {
  return found.token.empty() ? std::filesystem::path(name).stem().string() : found.token;
}

}  // namespace

bool looks_like_textual_inversion(const TensorViews& tensors) {
  for (const KnownName& known : kNames) {
    const auto found = tensors.find(std::string(known.name));
    if (found != tensors.end()) return is_embedding(found->second);
  }
  // diffusers: one tensor, called by its token. Names of modules have points.
  return tensors.size() == 1 && is_embedding(tensors.begin()->second) &&
         tensors.begin()->first.find('.') == std::string::npos;
}

TextualInversion parse_textual_inversion(const TensorViews& tensors, const TextWidths& widths,
                                         const std::string& name) {
  if (!looks_like_textual_inversion(tensors)) {
    throw bad_input(name, "a textual inversion (emb_params, clip_l and clip_g, or one token)",
                    tensors.empty() ? "no tensors" : recognise(tensors).human_name);
  }
  TextualInversion found;
  const auto take = [&](std::string encoder, const TensorView& tensor) {
    const TensorView view = as_rows(tensor);
    if (!is_embedding(view)) {
      throw bad_input(name, "rows of an embedding", "shape " + shape_text(view.shape));
    }
    const int64_t width = view.shape[1];
    if (encoder.empty()) encoder = encoder_of_width(width, widths, name);
    const auto wanted = widths.find(encoder);
    if (wanted == widths.end()) {
      throw bad_input(name, "vectors for the encoders that the model has",
                      "some of width " + std::to_string(width) + " for " + encoder,
                      "it was made for a family with two text encoders");
    }
    if (wanted->second != width) {
      throw bad_input(name,
                      "vectors of width " + std::to_string(wanted->second) + " for " + encoder,
                      "some of width " + std::to_string(width), "it was made for another family");
    }
    if (!found.vectors.emplace(encoder, view).second) {
      throw bad_input(name, "one list of vectors for " + encoder, "two");
    }
  };
  for (const KnownName& known : kNames) {
    const auto item = tensors.find(std::string(known.name));
    if (item != tensors.end()) take(std::string(known.encoder), item->second);
  }
  if (found.vectors.empty()) {
    if (tensors.begin()->first != kAnyWord) found.token = tensors.begin()->first;
    take("", tensors.begin()->second);
  }
  return found;
}

void add_embedding(std::vector<Embedding>& all, const TextualInversion& found,
                   const std::string& name) {
  const std::string word = word_of(found, name);
  const auto same = [&](const Embedding& other) {
    if (other.word == word) return true;
    const bool halves = found.token.empty() && word == other.word + std::string(kSecondHalf);
    return halves && std::none_of(found.vectors.begin(), found.vectors.end(), [&](const auto& own) {
             return other.vectors.contains(own.first);
           });
  };
  auto embedding = std::find_if(all.begin(), all.end(), same);
  if (embedding == all.end()) embedding = all.insert(all.end(), {word, {}, {}});
  embedding->names.push_back(name);
  for (const auto& [encoder, view] : found.vectors) {
    if (!embedding->vectors.emplace(encoder, view).second) {
      throw bad_input(name, "each word once", "'" + word + "' again",
                      "it is in " + embedding->names.front() + " too");
    }
  }
}

void check_complete(const Embedding& embedding, const TextWidths& widths) {
  const std::string& name = embedding.names.front();
  for (const auto& [encoder, width] : widths) {
    const auto half = embedding.vectors.find(encoder);
    if (half == embedding.vectors.end()) {
      throw bad_input(name, "vectors for " + encoder, "none",
                      "it was made for another family, or the file of its other half is not given");
    }
    const int64_t count = half->second.shape[0], first = embedding.vectors.begin()->second.shape[0];
    if (count != first) {
      throw bad_input(name, "equally many vectors for each encoder",
                      std::to_string(count) + " and " + std::to_string(first));
    }
  }
}

bool is_bundled_embedding(const std::string& key) {
  return key.starts_with(kBundle) && key.find('.', kBundle.size()) != std::string::npos;
}

std::map<std::string, TensorViews> bundled_embeddings(const TensorViews& tensors) {
  std::map<std::string, TensorViews> words;
  for (const auto& [key, view] : tensors) {
    if (!is_bundled_embedding(key)) continue;
    const std::string rest = key.substr(kBundle.size());
    // The word itself may hold points: what stands behind it is a known name.
    size_t end = rest.find('.');
    for (const KnownName& known : kNames) {
      const std::string ending = "." + std::string(known.name);
      if (rest.ends_with(ending)) end = rest.size() - ending.size();
    }
    words[rest.substr(0, end)].emplace(rest.substr(end + 1), view);
  }
  return words;
}

}  // namespace pangu::io
