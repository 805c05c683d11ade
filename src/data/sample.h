// One picture of a folder or an archive, and what lies beside it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/captions.h"
#include "data/manifest.h"
#include "data/report.h"

namespace pangu::data {

// Size, alpha and part out of the picture's header. Error kBadInput if it cannot be read, or if a
// size that the item already has is another one.
void read_header(std::span<const std::byte> bytes, Item& item_);

// What the files beside a picture say.
struct Beside {
  std::optional<std::string> text;  // of .txt or .caption, as its bytes are
  std::optional<ForeignJson> json;
  std::string otherwise;  // a caption for a picture that has none, or ""
};

// The item of what lies beside a picture: its captions are those of our own JSON, else of the text,
// else of other JSON, else `otherwise`. What does not fit is warned of under `name`. Error
// kBadInput if no caption is left.
Item item_of(const Beside& beside, const std::string& name, Report& report_);

// Adds what `make` gives; an error of it is a line of the report under `name`.
void keep_or_skip(const std::string& name, std::vector<Item>& items_, Report& report_,
                  const std::function<Item()>& make);

// A line of the report for a picture of a format that is not read.
void skip_other_format(const std::string& name, const std::string& suffix, Report& report_);

}  // namespace pangu::data
