// Recognising and listing datasets. Parsing is in manifest.cpp and tar.cpp, pixels are image's.
#include "data/dataset.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "core/error.h"
#include "data/tar.h"
#include "image/resize.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return "";
  std::string extension = name.substr(dot + 1);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

std::string without_extension(const std::string& name) {
  return name.substr(
      0, name.size() - (lower_extension(name).empty() ? 0 : lower_extension(name).size() + 1));
}

bool is_picture_name(const std::string& name) {
  const std::string extension = lower_extension(name);
  return extension == "png" || extension == "jpg" || extension == "jpeg" || extension == "webp";
}

std::span<const uint8_t> as_uint8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

// Size, alpha and part out of the picture's header; a manifest's own size must agree with it.
void read_header(std::span<const uint8_t> bytes, Item& item_) {
  const image::ImageInfo info = image::peek_image(bytes);
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

// Runs `make` for one picture; whatever is wrong with it becomes a line of the report.
template <class Make>
void keep_or_skip(const std::string& name, std::vector<Item>& items_, Report& report_, Make make) {
  try {
    items_.push_back(make());
    ++report_.kept;
  } catch (const Error& error) {
    report_.skip(name, error.what());
  }
}

void open_manifest(const fs::path& folder, std::vector<Item>& items_, Report& report_) {
  const io::MappedFile file((folder / "manifest.jsonl").string());
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    keep_or_skip("manifest.jsonl:" + std::to_string(number), items_, report_, [&] {
      Item item = parse_manifest_line(line);
      item.bytes.path = (folder / item.bytes.path).string();
      read_header(as_uint8(io::MappedFile(item.bytes.path).bytes()), item);
      return item;
    });
  }
}

// The members of one name in a shard.
struct Sample {
  const TarMember* picture = nullptr;
  const TarMember* json = nullptr;
  const TarMember* text = nullptr;
};

std::string_view content_of(const TarMember& member, std::span<const std::byte> archive) {
  const auto part = archive.subspan(member.offset, member.size_bytes);
  return {reinterpret_cast<const char*>(part.data()), part.size()};
}

Item item_of_sample(const std::string& name, const Sample& sample, const std::string& path,
                    std::span<const std::byte> archive) {
  if (!sample.json && !sample.text) throw bad_input("picture", "a .json or .txt beside it", "none");
  Item item;
  if (sample.json) item = parse_manifest_line(content_of(*sample.json, archive), false);
  const bool captioned = !item.captions_en.empty() || !item.captions_zh.empty();
  if (!captioned) parse_caption_text(sample.text ? content_of(*sample.text, archive) : "", item);
  if (item.id.empty()) item.id = name;
  item.bytes = {path, sample.picture->offset, sample.picture->size_bytes};
  const auto bytes = archive.subspan(sample.picture->offset, sample.picture->size_bytes);
  read_header(as_uint8(bytes), item);
  return item;
}

void open_shard(const std::string& path, std::vector<Item>& items_, Report& report_) {
  const io::MappedFile file(path);
  const TarListing listing = list_tar(file.bytes());
  if (!listing.damage.empty()) report_.skip(path, listing.damage);
  std::vector<std::string> order;
  std::map<std::string, Sample> samples;
  for (const TarMember& member : listing.members) {
    const std::string extension = lower_extension(member.name);
    const std::string name = without_extension(member.name);
    const bool picture = is_picture_name(member.name);
    if (!picture && extension != "json" && extension != "txt") continue;
    const auto [place, fresh] = samples.try_emplace(name);
    if (fresh) order.push_back(name);
    (picture               ? place->second.picture
     : extension == "json" ? place->second.json
                           : place->second.text) = &member;
  }
  for (const std::string& name : order) {
    const Sample& sample = samples.at(name);
    if (!sample.picture) continue;  // a note that describes no picture
    keep_or_skip(path + ":" + name, items_, report_,
                 [&] { return item_of_sample(name, sample, path, file.bytes()); });
  }
}

// Regular files under a folder, relative, sorted; folders that cannot be read are reported.
std::vector<std::string> files_under(const fs::path& folder, Report& report_) {
  std::vector<std::string> names;
  std::error_code failure;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied,
                                      failure);
  for (; !failure && it != fs::recursive_directory_iterator(); it.increment(failure)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) names.push_back(fs::relative(it->path(), folder).string());
  }
  if (failure) report_.skip(folder.string(), failure.message());
  std::sort(names.begin(), names.end());
  return names;
}

void open_pictures(const fs::path& folder, const std::vector<std::string>& names,
                   std::vector<Item>& items_, Report& report_) {
  for (const std::string& name : names) {
    if (!is_picture_name(name)) continue;
    keep_or_skip(name, items_, report_, [&] {
      Item item;
      item.id = without_extension(name);
      item.bytes.path = (folder / name).string();
      const std::string captions = (folder / (item.id + ".txt")).string();
      if (!fs::exists(captions))
        throw bad_input("picture", "captions in '" + captions + "'", "none");
      parse_caption_text(io::read_text_file(captions), item);
      read_header(as_uint8(io::MappedFile(item.bytes.path).bytes()), item);
      return item;
    });
  }
}

}  // namespace

std::vector<Item> open_dataset(const std::string& path, Report& report_) {
  std::vector<Item> items;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored) && lower_extension(path) == "tar") {
    open_shard(path, items, report_);
  } else if (fs::is_directory(path, ignored)) {
    if (fs::exists(fs::path(path) / "manifest.jsonl", ignored)) {
      open_manifest(path, items, report_);
    } else {
      const std::vector<std::string> names = files_under(path, report_);
      for (const std::string& name : names) {
        if (lower_extension(name) != "tar") continue;
        try {
          open_shard((fs::path(path) / name).string(), items, report_);
        } catch (const Error& error) {
          report_.skip(name, error.what());
        }
      }
      open_pictures(path, names, items, report_);
    }
  } else {
    throw bad_input("dataset '" + path + "'", "a folder or a .tar",
                    fs::exists(path, ignored) ? "another file" : "nothing");
  }
  if (items.empty()) {
    throw bad_input("dataset '" + path + "'", "at least one picture with a caption",
                    "none (" + report_.text() + ")",
                    "put manifest.jsonl, WebDataset .tar shards or pictures with .txt files in it");
  }
  return items;
}

bool passes(const Item& item, const ItemFilter& filter) {
  const bool split = filter.splits.empty() || std::find(filter.splits.begin(), filter.splits.end(),
                                                        item.split) != filter.splits.end();
  return split && (filter.part == "all" || filter.part == item.part) &&
         std::min(item.width, item.height) >= filter.min_side_px;
}

std::vector<Item> filtered(const std::vector<Item>& items, const ItemFilter& filter) {
  if (filter.part != "all" && filter.part != "high" && filter.part != "low") {
    throw bad_input("part of the data", "all, high or low", "'" + filter.part + "'");
  }
  std::vector<Item> kept;
  std::copy_if(items.begin(), items.end(), std::back_inserter(kept),
               [&](const Item& item) { return passes(item, filter); });
  return kept;
}

image::Bytes read_bytes(const Item& item) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(item.bytes.path.c_str(), "rb"), &std::fclose);
  if (!file) throw io_error("cannot open", item.bytes.path, errno);
  uint64_t size = item.bytes.size_bytes;
  if (size == 0) {
    std::error_code failure;
    size = fs::file_size(item.bytes.path, failure);
    if (failure) throw io_error("cannot stat", item.bytes.path, failure.value());
  }
  image::Bytes bytes(size);
  if (fseeko(file.get(), static_cast<off_t>(item.bytes.offset), SEEK_SET) != 0 ||
      std::fread(bytes.data(), 1, size, file.get()) != size) {
    throw Error(ErrorCode::kIo, "cannot read '" + item.bytes.path +
                                    "': it is shorter than when the dataset was opened");
  }
  return bytes;
}

image::Image load_image(const Item& item) {
  try {
    return image::decode_image(read_bytes(item));
  } catch (const Error& error) {
    throw while_doing("loading picture '" + item.id + "'", error);
  }
}

std::optional<image::Image> try_load_image(const Item& item, Report& report_) {
  try {
    return load_image(item);
  } catch (const Error& error) {
    report_.skip(item.id, error.what());
    return std::nullopt;
  }
}

image::Image render_picture(const image::Image& picture, int width_px, int height_px,
                            image::Color background) {
  return picture.channels == 4 ? image::contain(picture, width_px, height_px, background)
                               : image::cover(picture, width_px, height_px);
}

image::Image render_item(const Item& item, int width_px, int height_px, image::Color background) {
  return render_picture(load_image(item), width_px, height_px, background);
}

image::Image render_item(const Item& item, int size_px, image::Color background) {
  return render_item(item, size_px, size_px, background);
}

std::vector<Item> decodable(const std::vector<Item>& items, Report& report_) {
  std::vector<Item> kept;
  for (const Item& item : items) {
    if (try_load_image(item, report_)) {
      kept.push_back(item);
      ++report_.kept;
    }
  }
  return kept;
}

}  // namespace pangu::data
