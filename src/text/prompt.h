// Prompts as Stable Diffusion web UI (A1111, 1.10) reads them: emphasis, BREAK, chunks of 75
// tokens, extra networks <lora:name:0.8>. Gives ids and weights; knows no tokenizer (the ids come
// from a callable) and no tensors. Prompt editing [a:b:0.5] and alternation [a|b] are resolved
// before, by text/prompt_schedule.h; what is left of them is text, inside of de-emphasis where
// there are brackets. So is AND.
//
// What the weights are for ("Original" emphasis of that program): every row of the encoder's output
// is multiplied by its token's weight, then the whole chunk by its mean before over its mean after.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pangu::text {

// A longer prompt is an Error kBadInput: nested brackets cost time quadratically.
inline constexpr size_t kMaxPromptBytes = size_t{64} << 10;

// A stretch of text of one weight, or (is_break) the word BREAK, whose text is empty.
struct WeightedText {
  std::string text;
  double weight = 1.0;
  bool is_break = false;
};

// (x) weighs x by 1.1, [x] by 1/1.1, (x:1.3) by 1.3 (also 0 and negative); they nest and multiply.
// A bracket that is not closed holds to the end; one that was not opened is text, and so is ":1.3)"
// without a "(". \( \) \[ \] \\ stand for the second character; any other backslash vanishes. BREAK
// as a word of its own, with the white space around it, parts chunks, inside of brackets too (A1111
// reads it as the word there). Neighbours of equal weight are joined; an empty prompt is one empty
// stretch. Ill-formed UTF-8 becomes U+FFFD. A number that is none ("1.2.3") is text, so that
// (x:1.2.3) weighs 1.1. Error kBadInput for a prompt that is too long, or a weight that float32
// cannot hold.
std::vector<WeightedText> parse_emphasis(std::string_view prompt);

// Text -> ids without specials.
using Tokenize = std::function<std::vector<int32_t>(std::string_view)>;

struct ChunkOptions {
  int32_t bos = 49406;
  int32_t eos = 49407;
  // Everything behind the first eos of a chunk, if it is not the eos: 0 with OpenCLIP's tokenizer.
  int32_t pad = 49407;
  // The id of ",": a chunk that overflows ends behind its last comma, if that is among its last
  // `comma_backtrack` tokens. -1: none.
  int32_t comma = 267;
  size_t comma_backtrack = 20;
  size_t chunk_tokens = 75;  // beside bos and eos
  size_t max_chunks = 1024;  // more are an Error kBadInput
};

// One run of the text encoder: chunk_tokens + 2 ids, each with its weight. bos, eos and padding
// weigh 1.
struct Chunk {
  std::vector<int32_t> ids;
  std::vector<float> weights;
  size_t token_count = 0;  // of the prompt's own
};

// At least one chunk. BREAK fills its chunk up. Each stretch is tokenized by itself. The vectors of
// one textual inversion may be parted by the end of a chunk (A1111 moves them together).
// REQUIRES chunk_tokens >= 1, max_chunks >= 1.
std::vector<Chunk> chunk_prompt(const std::vector<WeightedText>& parts, const Tokenize& tokenize,
                                const ChunkOptions& options = {});

// What the shorter of two prompts is lengthened with.
Chunk empty_chunk(const ChunkOptions& options = {});

// <lora:name:0.8>, <lora:name:te=1:unet=0.5>, <hypernet:name:1>: kind, name, then what else stood
// there, with and without "key=".
struct ExtraNetwork {
  std::string kind;
  std::string name;
  std::vector<std::string> values;
  std::vector<std::pair<std::string, std::string>> named;
};

struct PromptWithNetworks {
  std::string prompt;  // without the tags; the white space around them stays
  std::vector<ExtraNetwork> networks;
};

// Takes every <word:...> out of a prompt, as A1111 does whatever the word. Error kBadInput if such
// a tag has no name, or the prompt is too long.
PromptWithNetworks extract_networks(std::string_view prompt);

struct NetworkWeights {
  double text_encoder = 1.0;
  double unet = 1.0;
};

// The weights of a LoRA's tag: the first number is for both, a second for the UNet alone; te= and
// unet= go before. Error kBadInput for one that is no finite number, and for what else such a tag
// may say elsewhere (dyn=, lbw=).
NetworkWeights network_weights(const ExtraNetwork& network);

}  // namespace pangu::text
