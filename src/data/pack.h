// Items to WebDataset shards: NAME.json (a manifest line), NAME.txt (captions, one a line) and the
// picture, for moving a dataset as a few large files. open_dataset reads them back.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "data/manifest.h"
#include "data/report.h"
#include "image/image.h"

namespace pangu::data {

struct PackOptions {
  size_t shard_bytes = size_t{8} << 20;  // a shard is closed before it grows above this
  int max_side_px = 0;                   // shrink pictures whose shorter side is above; 0: never
  // Pictures become WebP of this quality; without it their bytes are kept (unless they are shrunk,
  // which then gives quality 90).
  std::optional<image::WebpOptions> encode;
};

// Writes FOLDER/shard-000000.tar, ... in the order of `items`, each atomically; returns the paths.
// Shards of an earlier, longer run beyond the last new one are removed. Equal input gives equal
// bytes. Pictures that cannot be read are reported and left out; report_.kept counts the others
// anew.
std::vector<std::string> pack_shards(const std::vector<Item>& items, const std::string& folder,
                                     const PackOptions& options, Report& report_,
                                     const OnProgress& on_progress = {});

}  // namespace pangu::data
