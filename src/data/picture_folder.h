// Folders of pictures with captions as people have them: a file beside each picture, the metadata
// of Hugging Face's image folders or of kohya's trainer, or folders that say repeats and a caption.
#pragma once
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/report.h"

namespace pangu::data {

// Adds the pictures among `names` (files_under of the folder). NAME.png has its captions in
// NAME.txt, NAME.caption or NAME.json, in a metadata.jsonl of its folder or one above, or in
// meta_lat.json or meta_cap.json of the dataset's folder (data/captions.h); suffixes in upper or
// lower case. Those in a folder "10_words" of the dataset's are shown 10 times an epoch, and have
// the words for a caption if they have no other (kohya's sd-scripts; up to kMaxRepeats).
// Files that are no part of this are passed over by suffix.
void open_picture_folder(const std::string& folder, const std::vector<std::string>& names,
                         std::vector<Item>& items_, Report& report_);

}  // namespace pangu::data
