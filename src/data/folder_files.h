// The files of a folder with the folders in it, by the names under which they lie there.
#pragma once
#include <string>
#include <vector>

#include "data/report.h"

namespace pangu::data {

// Names relative to `folder`, sorted. A link to a file is a file and a link to a folder is a folder
// where the link lies; a link to a folder that holds it ends there. Reported: broken links, links
// that end, folders that cannot be read, and hidden files and folders, which are passed over. Error
// kBadInput above ten million entries.
std::vector<std::string> files_under(const std::string& folder, Report& report_);

}  // namespace pangu::data
