// Prompt syntax under libFuzzer. It checks that only Error is thrown, that every weight is finite,
// that chunks have their length and hold every token in order, and that a prompt without its
// network tags has no more of them than nested ones leave; that the phases of a prompt cover every
// step in order, and that a prompt without brackets has one.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"
#include "text/clean.h"
#include "text/prompt.h"
#include "text/prompt_schedule.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace {

using namespace pangu::text;

void check_chunks(std::string_view prompt, const ChunkOptions& options) {
  const auto parts = parse_emphasis(prompt);
  std::string wanted, found;
  for (const WeightedText& part : parts) {
    if (!std::isfinite(part.weight)) std::abort();
    wanted += part.text;
  }
  const auto letters = [](std::string_view text) {
    return std::vector<int32_t>(text.begin(), text.end());
  };
  for (const Chunk& chunk : chunk_prompt(parts, letters, options)) {
    if (chunk.ids.size() != options.chunk_tokens + 2) std::abort();
    if (chunk.weights.size() != chunk.ids.size()) std::abort();
    if (chunk.token_count > options.chunk_tokens) std::abort();
    for (size_t i = 1; i <= chunk.token_count; ++i) found += static_cast<char>(chunk.ids[i]);
  }
  if (found != wanted) std::abort();
}

void check_phases(std::string_view prompt, int steps) {
  const auto phases = prompt_phases(prompt, steps);
  int begin = 0;
  for (const PromptPhase& phase : phases) {
    if (phase.end_step <= begin) std::abort();
    if (phase.prompt.size() > prompt.size()) std::abort();
    begin = phase.end_step;
  }
  if (begin != steps) std::abort();
  if (prompt.find('[') == prompt.npos && phases.front().prompt != prompt) std::abort();
}

// What is told of a text of which only so many bytes are read.
void check_end(const std::string& text, size_t most) {
  const auto fits = [most](std::string_view part) { return part.size() <= most; };
  const std::string end = words_behind(text, fits);
  std::u32string characters = decode_utf8(text);
  if (!encode_utf8(characters).ends_with(end)) std::abort();
  if (fits(text) && !end.empty()) std::abort();
  while (!characters.empty() && is_python_space(characters.back())) characters.pop_back();
  if (end.empty() && !fits(text) && !fits(encode_utf8(characters))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ChunkOptions options;
  options.comma = ',';
  try {
    check_chunks(bytes, options);
    options.chunk_tokens = 3;
    options.comma_backtrack = 2;
    options.pad = 0;
    check_chunks(bytes, options);
  } catch (const pangu::Error&) {
  }
  try {
    const auto extracted = extract_networks(bytes);
    if (extracted.networks.empty() && extracted.prompt != encode_utf8(decode_utf8(bytes))) {
      std::abort();
    }
    for (const ExtraNetwork& network : extracted.networks) {
      if (network.name.empty()) std::abort();
      const NetworkWeights weights = network_weights(network);
      if (!std::isfinite(weights.unet) || !std::isfinite(weights.text_encoder)) std::abort();
    }
  } catch (const pangu::Error&) {
  }
  if (bytes.size() <= 4096) {
    check_phases(bytes, 1);
    check_phases(bytes, 12);
    syntax_in(bytes);
    check_end(std::string(bytes), 20);
  }
  // The cleaning of such a prompt comes to an end where nothing is left to clean.
  const std::u32string cleaned = clean_open_clip(decode_utf8(bytes));
  if (!cleaned.empty() && (cleaned.front() == U' ' || cleaned.back() == U' ')) std::abort();
  return 0;
}
