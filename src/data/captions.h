// Captions as the files beside a picture say them: text files, and the JSON of other programs.
// Opens nothing. JSON of our own is data/manifest.h's; which file belongs to which picture is
// decided by data/sample.h.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/manifest.h"

namespace pangu::data {

// Captions of a .txt or .caption file: one a line, blank lines left out, sorted into languages.
// UTF-8, or UTF-16 with a byte order mark. Error kBadInput for other bytes and without a caption.
void parse_caption_text(std::string_view text, Item& item_);

// JSON that describes one picture, of whatever program.
struct ForeignJson {
  Item item;                         // what it says; no path, no size
  bool own_captions = false;         // they are of our key `captions`
  std::vector<std::string> dropped;  // what does not fit, or is no JSON at all
};
// Captions are those of `captions`, else of the first key of `caption`, `text` (datasets of Hugging
// Face), `prompt` and `tags` that has one. Never throws for what the text is: NaN and Infinity,
// which Python writes, are null.
ForeignJson parse_foreign_json(std::string_view text);

// A line of `metadata.jsonl`, of Hugging Face's image folders: `file_name` and a caption as above.
// Error kBadInput if it is no object or its file_name lies outside of the folder.
struct MetadataLine {
  std::string file_name;
  ForeignJson said;
};
MetadataLine parse_metadata_line(std::string_view line);

// The metadata of kohya's sd-scripts (meta_cap.json, meta_lat.json): {"NAME": {"caption": text,
// "tags": text}}, the tags behind the caption. Names as they stand, with their suffix or without.
// Error kBadInput if it is no such object; an entry that does not fit is named in `dropped_`.
std::map<std::string, Item> parse_kohya_metadata(std::string_view text,
                                                 std::vector<std::string>& dropped_);

}  // namespace pangu::data
