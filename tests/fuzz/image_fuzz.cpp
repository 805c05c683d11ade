// Any bytes are either refused with an Error or decoded into a well-formed picture of the size that
// the header announced; a picture's text is read under the same rule, and written again the same.
#include <cstdint>

#include "core/error.h"
#include "image/exif_text.h"
#include "image/image.h"
#include "require.h"

using namespace pangu::image;

namespace {

// Small, so that the fuzzer's time goes into the decoders and not into filling pixels.
constexpr DecodeLimits kLimits{512, 1 << 16};

template <class Action>
void refused_or_done(Action action) {
  try {
    action();
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(data, size);
  refused_or_done([&] {
    const Image image = decode_image(bytes, kLimits);
    require(image.channels == 3 || image.channels == 4);
    require(image.width >= 1 && image.height >= 1 && image.width <= 512 && image.height <= 512);
    require(image.pixels.size() == size_t(image.width) * image.height * image.channels);
    const ImageInfo info = peek_image(bytes, kLimits);
    require(info.width == image.width && info.height == image.height);
    require(info.has_alpha == (image.channels == 4));
  });
  refused_or_done([&] {
    // Guarded by a peek: reading text may have to decode pixels of the full size.
    peek_image(bytes, kLimits);
    const TextChunks text = read_text(bytes);
    require(text_of_exif(exif_of_text(text)).size() <= text.size());
  });
  return 0;
}
