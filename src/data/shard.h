// WebDataset archives: the members of a .tar whose names are equal up to the first dot of the base
// name are one sample. NAME.jpg (or .png, .webp), NAME.json and/or NAME.txt (or .caption); what
// stands behind another suffix, as in NAME.seg.png, is no picture of its own and passed over.
#pragma once
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/report.h"

namespace pangu::data {

// Adds the samples with a picture, in the archive's order; of members with equal names the last one
// counts, which is warned of, as is all that an archive holds twice.
// called: where items and reports say that it lies; empty: `path`.
void open_shard(const std::string& path, std::vector<Item>& items_, Report& report_,
                const std::string& called = "");

}  // namespace pangu::data
