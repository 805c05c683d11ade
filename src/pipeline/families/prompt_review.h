// What of a prompt a text encoder does not read, said before it is drawn: the end of a long one,
// another program's syntax, embeddings that there are not. It knows no encoder; what there is comes
// as arguments.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/watch.h"

namespace pangu::pipeline {

// Of readers that take every word as it is written, up to a number of tokens. count: tokens of a
// text, with the special ones.
void warn_of_plain_reading(const std::vector<std::string>& prompts, size_t most_tokens,
                           const std::function<size_t(std::string_view)>& count,
                           const Watch& watch);

// Of readers of A1111's syntax: "embedding:WORD" and "<WORD>" of unknown words, and known words
// that no prompt has. words: of the textual inversions that are there.
void warn_of_words(const std::vector<std::string>& prompts, const std::vector<std::string>& words,
                   const Watch& watch);

// ComfyUI's "embedding:WORD", with or without the ending of its file: the word alone; nothing where
// there is no such word.
std::string with_embedding_words(const std::string& prompt, const std::vector<std::string>& words);

}  // namespace pangu::pipeline
