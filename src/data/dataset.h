// Datasets on disk to a list of items, and items to pictures. Three forms are recognised:
//   a folder with manifest.jsonl (data/manifest.h);
//   WebDataset (data/shard.h): a .tar, or a folder of them;
//   a folder of pictures (data/picture_folder.h), with captions beside them or in a file of
//   metadata.
// What cannot be read is counted and named in the report and left out; it is never fatal.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/report.h"
#include "image/image.h"

namespace pangu::data {

// Items in a fixed order (manifest, archive or path order), each with its header read: width,
// height, has_alpha and part ("high" from 256 px of the shorter side, unless the manifest says) are
// known. Adds to `report_`. Error kBadInput if the path is no dataset or has not one readable
// picture.
std::vector<Item> open_dataset(const std::string& path, Report& report_);

struct ItemFilter {
  std::string part = "all";         // "all", "high" or "low"
  std::vector<std::string> splits;  // empty: all
  int min_side_px = 0;              // of the shorter side
};
bool passes(const Item& item, const ItemFilter& filter);
std::vector<Item> filtered(const std::vector<Item>& items, const ItemFilter& filter);

// The picture's bytes as they lie on disk. Error kIo.
image::Bytes read_bytes(const Item& item);

// Decoded, RGB or RGBA, and shrunk to Item::stored_px. Errors name the item. Safe to call from
// several threads.
image::Image load_image(const Item& item);

// The same; nothing, and a line in the report, if it cannot be read or decoded.
std::optional<image::Image> try_load_image(const Item& item, Report& report_);

// An RGB picture of exactly this size: cut-outs whole, centred on the background; opaque pictures
// scaled to cover it and cut at the centre.
image::Image render_item(const Item& item, int width_px, int height_px,
                         image::Color background = {});
image::Image render_item(const Item& item, int size_px, image::Color background = {});
image::Image render_picture(const image::Image& picture, int width_px, int height_px,
                            image::Color background = {});

// Decodes every picture and keeps the items whose pixels are whole; report_.kept counts them anew.
std::vector<Item> decodable(const std::vector<Item>& items, Report& report_);

}  // namespace pangu::data
