#include "data/sample.h"

#include <algorithm>

#include "core/error.h"
#include "image/image.h"

namespace pangu::data {

void read_header(std::span<const std::byte> bytes, Item& item_) {
  const image::ImageInfo info =
      image::peek_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  if (item_.width > 0 && item_.height > 0 &&
      (item_.width != info.width || item_.height != info.height)) {
    throw bad_input("picture",
                    std::to_string(item_.width) + "x" + std::to_string(item_.height) +
                        " as its description says",
                    std::to_string(info.width) + "x" + std::to_string(info.height));
  }
  item_.width = info.width;
  item_.height = info.height;
  item_.has_alpha = info.has_alpha;
  if (item_.part.empty()) {
    item_.part = std::min(info.width, info.height) >= kHighPartPx ? "high" : "low";
  }
}

Item item_of(const Beside& beside, const std::string& name, Report& report_) {
  Item item;
  if (beside.json) {
    item = beside.json->item;
    for (const std::string& dropped : beside.json->dropped) report_.warn(name, dropped);
  }
  if (beside.text && !(beside.json && beside.json->own_captions)) {
    Item own;
    try {
      parse_caption_text(*beside.text, own);
      item.captions_en = own.captions_en;
      item.captions_zh = own.captions_zh;
    } catch (const Error& error) {
      if (!has_caption(item) && beside.otherwise.empty()) throw;
      report_.warn(name, error.what());
    }
  }
  if (!has_caption(item)) add_caption(beside.otherwise, item);
  if (!has_caption(item)) {
    throw bad_input("picture", "a caption in a .txt, .caption or .json beside it", "none");
  }
  return item;
}

void keep_or_skip(const std::string& name, std::vector<Item>& items_, Report& report_,
                  const std::function<Item()>& make) {
  try {
    items_.push_back(make());
    ++report_.kept;
  } catch (const Error& error) {
    report_.skip(name, error.what());
  }
}

void skip_other_format(const std::string& name, const std::string& suffix, Report& report_) {
  report_.skip(name, bad_input("picture", "PNG, JPEG or WebP", "." + suffix).what());
}

}  // namespace pangu::data
