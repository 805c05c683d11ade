// PNG by libspng: pixels in and out, and the text chunks that carry a request.
#include <spng.h>

#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace pangu::image {
namespace {

// A chunk of text or profile above this is refused: a few kB are usual, 16 MB is already absurd.
constexpr size_t kMaxChunkBytes = size_t{16} << 20;
constexpr size_t kMaxChunkCacheBytes = size_t{32} << 20;
constexpr size_t kMaxKeywordBytes = 79;

using Context = std::unique_ptr<spng_ctx, void (*)(spng_ctx*)>;

void check(int result, const char* doing) {
  if (result != 0) throw bad_input(std::string("PNG, ") + doing, "", spng_strerror(result));
}

Context open_png(std::span<const uint8_t> bytes, const DecodeLimits& limits, spng_ihdr& header) {
  Context context(spng_ctx_new(0), &spng_ctx_free);
  if (!context) throw Error(ErrorCode::kUnavailable, "no memory for a PNG decoder");
  check(spng_set_chunk_limits(context.get(), kMaxChunkBytes, kMaxChunkCacheBytes), "limits");
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()), "buffer");
  check(spng_get_ihdr(context.get(), &header), "header");
  check_limits("PNG", header.width, header.height, limits);
  return context;
}

bool has_alpha(spng_ctx* context, const spng_ihdr& header) {
  spng_trns transparency{};
  const int found = spng_get_trns(context, &transparency);
  if (found != SPNG_ECHUNKAVAIL) check(found, "chunks");
  return header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
         header.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA || found == 0;
}

Image decode_pixels(spng_ctx* context, const spng_ihdr& header) {
  const bool alpha = has_alpha(context, header);
  Image image{static_cast<int>(header.width), static_cast<int>(header.height), alpha ? 4 : 3, {}};
  const int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
  size_t size = 0;
  check(spng_decoded_image_size(context, format, &size), "size");
  const size_t expected = static_cast<size_t>(image.width) * image.height * image.channels;
  if (size != expected) throw Error(ErrorCode::kInternal, "PNG decoder sizes disagree");
  image.pixels.resize(size);
  check(spng_decode_image(context, image.pixels.data(), size, format, SPNG_DECODE_TRNS), "pixels");
  return image;
}

std::string latin1_to_utf8(const std::string& text) {
  std::string utf8;
  for (const unsigned char c : text) {
    if (c < 0x80) {
      utf8 += static_cast<char>(c);
    } else {
      utf8 += static_cast<char>(0xC0 | (c >> 6));
      utf8 += static_cast<char>(0x80 | (c & 0x3F));
    }
  }
  return utf8;
}

TextChunks texts_of(spng_ctx* context) {
  uint32_t count = 0;
  TextChunks texts;
  if (spng_get_text(context, nullptr, &count) != 0) return texts;  // no text chunk
  std::vector<spng_text> chunks(count);
  check(spng_get_text(context, chunks.data(), &count), "text");
  for (const spng_text& chunk : chunks) {
    const std::string text(chunk.text, chunk.length);
    texts.emplace(latin1_to_utf8(chunk.keyword),
                  chunk.type == SPNG_ITXT ? text : latin1_to_utf8(text));
  }
  return texts;
}

bool is_ascii(const std::string& text) {
  for (const unsigned char c : text) {
    if (c >= 0x80 || c == 0) return false;
  }
  return true;
}

spng_text chunk_of(const std::string& keyword, std::string& text, char* nothing) {
  spng_text chunk{};
  if (keyword.empty() || keyword.size() > kMaxKeywordBytes || !is_ascii(keyword)) {
    throw Error(ErrorCode::kInternal, "PNG text keyword must be 1-79 ASCII characters");
  }
  keyword.copy(chunk.keyword, kMaxKeywordBytes);
  chunk.type = is_ascii(text) ? SPNG_TEXT : SPNG_ITXT;
  chunk.length = text.size();
  chunk.text = text.data();
  chunk.language_tag = nothing;
  chunk.translated_keyword = nothing;
  return chunk;
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  spng_ihdr header{};
  const Context context = open_png(bytes, limits, header);
  return upright(decode_pixels(context.get(), header), orientation_of_png(bytes));
}

ImageInfo peek_png(std::span<const uint8_t> bytes, const DecodeLimits& limits) {
  spng_ihdr header{};
  const Context context = open_png(bytes, limits, header);
  return upright_info({static_cast<int>(header.width), static_cast<int>(header.height),
                       has_alpha(context.get(), header)},
                      orientation_of_png(bytes));
}

TextChunks read_png_text(std::span<const uint8_t> bytes) {
  spng_ihdr header{};
  const Context context = open_png(bytes, {}, header);
  check(spng_decode_chunks(context.get()), "chunks");
  TextChunks texts = texts_of(context.get());
  if (!texts.empty()) return texts;
  // Some tools write text behind the pixels, which must then be decoded first.
  decode_pixels(context.get(), header);
  check(spng_decode_chunks(context.get()), "chunks behind the pixels");
  return texts_of(context.get());
}

Bytes encode_png(const Image& image, const TextChunks& text) {
  check_encodable(image);
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER), &spng_ctx_free);
  if (!context) throw Error(ErrorCode::kUnavailable, "no memory for a PNG encoder");
  check(spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1), "options");
  spng_ihdr header{};
  header.width = static_cast<uint32_t>(image.width);
  header.height = static_cast<uint32_t>(image.height);
  header.bit_depth = 8;
  header.color_type =
      image.channels == 4 ? SPNG_COLOR_TYPE_TRUECOLOR_ALPHA : SPNG_COLOR_TYPE_TRUECOLOR;
  check(spng_set_ihdr(context.get(), &header), "header");

  char nothing[] = "";
  TextChunks kept = text;  // libspng takes pointers to mutable text
  std::vector<spng_text> chunks;
  for (auto& [keyword, value] : kept) {
    if (!value.empty()) chunks.push_back(chunk_of(keyword, value, nothing));
  }
  if (!chunks.empty()) {
    const auto count = static_cast<uint32_t>(chunks.size());
    check(spng_set_text(context.get(), chunks.data(), count), "text");
  }
  check(spng_encode_image(context.get(), image.pixels.data(), image.pixels.size(), SPNG_FMT_PNG,
                          SPNG_ENCODE_FINALIZE),
        "encoding");
  size_t size = 0;
  int result = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> buffer(
      static_cast<uint8_t*>(spng_get_png_buffer(context.get(), &size, &result)), &std::free);
  check(result, "encoding");
  return {buffer.get(), buffer.get() + size};
}

}  // namespace pangu::image
