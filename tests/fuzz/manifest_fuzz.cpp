// Manifest lines, JSON of other programs, caption files and tar archives: any bytes are refused, or
// listed inside their bounds; a line that was accepted is written and read back as itself.
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "core/utf8.h"
#include "data/captions.h"
#include "data/manifest.h"
#include "data/tar.h"
#include "require.h"

using namespace pangu::data;

namespace {

template <class Action>
void refused_or_done(Action action) {
  try {
    action();
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
}

void fuzz_line(std::string_view text) {
  refused_or_done([&] {
    const Item item = parse_manifest_line(text);
    require(!item.bytes.path.empty() && item.bytes.path.front() != '/');
    const std::string line = manifest_line(item, item.bytes.path);
    // Escapes may make a line longer than a reader accepts; shorter ones must come back.
    if (line.size() > 1 << 20) return;
    const Item again = parse_manifest_line(line);
    require(again.captions_en == item.captions_en && again.captions_zh == item.captions_zh);
    require(manifest_line(again, again.bytes.path) == line);
  });
}

void require_captions(const Item& item) {
  for (const std::string& caption : captions_of(item, "all")) {
    require(!caption.empty() && pangu::is_utf8(caption));
  }
}

// JSON of other programs never costs a picture: whatever it is, it is read or named.
void fuzz_foreign(std::string_view text) {
  const ForeignJson said = parse_foreign_json(text);
  require_captions(said.item);
  require(said.item.width == 0 && said.item.bytes.path.empty());
  refused_or_done([&] {
    const MetadataLine line = parse_metadata_line(text);
    require(!line.file_name.empty() && line.file_name.front() != '/');
  });
  refused_or_done([&] {
    std::vector<std::string> dropped;
    for (const auto& [name, item] : parse_kohya_metadata(text, dropped)) {
      require(has_caption(item));
      require_captions(item);
    }
  });
}

void fuzz_archive(std::span<const std::byte> bytes) {
  const TarListing listing = list_tar(bytes);
  for (const TarMember& member : listing.members) {
    require(member.offset <= bytes.size() && member.size_bytes <= bytes.size() - member.offset);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz_line(text);
  fuzz_foreign(text);
  refused_or_done([&] {
    Item item;
    parse_caption_text(text, item);
    require_captions(item);
  });
  fuzz_archive(std::as_bytes(std::span(data, size)));
  return 0;
}
