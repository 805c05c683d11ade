#include "pipeline/families/prompt_review.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "core/message.h"
#include "core/nearest.h"
#include "text/prompt_schedule.h"
#include "text/utf8.h"

namespace pangu::pipeline {
namespace {

constexpr std::string_view kMark = "embedding:";
constexpr std::array<std::string_view, 3> kFileEndings = {".safetensors", ".pt", ".bin"};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_word(const std::vector<std::string>& words, const std::string& word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& known) { return lower(known) == lower(word); });
}

// A name behind kMark, as ComfyUI reads it: up to white space, a comma or a bracket.
struct NamedEmbedding {
  std::string word;   // without the ending of a file
  size_t length = 0;  // of all that names it
};

NamedEmbedding embedding_at(std::string_view text, const std::vector<std::string>& words) {
  const size_t length = std::min(text.find_first_of(" \t\r\n,()[]:|"), text.size());
  std::string word(text.substr(0, length));
  for (const std::string_view ending : kFileEndings) {
    if (!is_word(words, word) && word.ends_with(ending)) {
      word.resize(word.size() - ending.size());
    }
  }
  return {word, length};
}

// Calls visit(word) for every word that the prompt names as an embedding; the text around it is
// kept, with what visit returns in its place.
template <class Visit>
std::string replaced(const std::string& prompt, const std::vector<std::string>& words,
                     const Visit& visit) {
  std::string out;
  size_t at = 0;
  for (size_t mark = prompt.find(kMark); mark != prompt.npos; mark = prompt.find(kMark, at)) {
    const auto named = embedding_at(std::string_view(prompt).substr(mark + kMark.size()), words);
    out += prompt.substr(at, mark - at) + visit(named.word);
    at = mark + kMark.size() + named.length;
  }
  return out + prompt.substr(at);
}

// "<cat-toy>": the placeholders of diffusers; tags of networks have a colon.
std::vector<std::string> placeholders_of(const std::string& prompt) {
  std::vector<std::string> found;
  for (size_t open = prompt.find('<'); open != prompt.npos; open = prompt.find('<', open + 1)) {
    const size_t close = prompt.find('>', open);
    if (close == prompt.npos) break;
    const std::string word = prompt.substr(open, close + 1 - open);
    if (word.size() > 2 && word.find_first_of(" :<", 1) == word.npos) found.push_back(word);
  }
  return found;
}

// The beginning and the end of many words.
std::string beginning_and_end(const std::string& text) {
  constexpr size_t kShown = 60;  // characters of each
  const std::u32string characters = text::decode_utf8(text);
  if (characters.size() <= 2 * kShown) return text;
  return text::encode_utf8(characters.substr(0, kShown)) + " ... " +
         text::encode_utf8(characters.substr(characters.size() - kShown));
}

std::string known_words(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "'" : ", '") + word + "'";
  return list.empty() ? "none is loaded; --embedding FILE loads one" : "there are " + list;
}

}  // namespace

void warn_of_plain_reading(const std::vector<std::string>& prompts, size_t most_tokens,
                           const std::function<size_t(std::string_view)>& count,
                           const Watch& watch) {
  for (const std::string& prompt : prompts) {
    const std::string cut = text::words_behind(
        prompt, [&](std::string_view part) { return count(part) <= most_tokens; });
    if (!cut.empty()) {
      watch.warn("prompt: its text encoder reads " + std::to_string(most_tokens) +
                 " tokens; these words are cut: '" + beginning_and_end(cut) + "'");
    }
    const std::string syntax = text::syntax_in(prompt);
    if (!syntax.empty()) {
      watch.warn(
          "prompt: '" + shortened(syntax) +
          "' is read as it is written, for this model's text encoder knows no weights and no "
          "editing");
    }
  }
}

void warn_of_words(const std::vector<std::string>& prompts, const std::vector<std::string>& words,
                   const Watch& watch) {
  std::string all;
  for (const std::string& prompt : prompts) {
    all += lower(prompt) + "\n";
    std::set<std::string> unknown;
    replaced(prompt, words, [&](const std::string& word) {
      if (!is_word(words, word)) unknown.insert(word);
      return word;
    });
    for (const std::string& word : placeholders_of(prompt)) {
      if (!is_word(words, word)) unknown.insert(word);
    }
    for (const std::string& word : unknown) {
      const std::string near = did_you_mean(word, words);
      watch.warn("prompt: there is no embedding '" + shortened(word) + "'; " +
                 (near.empty() ? known_words(words) : near));
    }
  }
  for (const std::string& word : words) {
    if (all.find(lower(word)) == all.npos) {
      watch.warn("embedding '" + word + "': no prompt has this word, so it does nothing");
    }
  }
}

std::string with_embedding_words(const std::string& prompt, const std::vector<std::string>& words) {
  return replaced(prompt, words, [&](const std::string& word) {
    return is_word(words, word) ? word : std::string();
  });
}

}  // namespace pangu::pipeline
