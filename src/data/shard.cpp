#include "data/shard.h"

#include <map>

#include "data/file_names.h"
#include "data/sample.h"
#include "data/tar.h"
#include "io/mapped_file.h"

namespace pangu::data {
namespace {

struct Sample {
  const TarMember* picture = nullptr;
  const TarMember* json = nullptr;
  const TarMember* text = nullptr;
};

struct Archive {
  std::string path;
  std::span<const std::byte> bytes;

  std::span<const std::byte> content(const TarMember& member) const {
    return bytes.subspan(member.offset, member.size_bytes);
  }
  std::string text(const TarMember& member) const {
    const auto part = content(member);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
};

Item item_of_sample(const std::string& key, const Sample& sample, const Archive& archive,
                    Report& report_) {
  Beside beside;
  if (sample.json) beside.json = parse_foreign_json(archive.text(*sample.json));
  if (sample.text) beside.text = archive.text(*sample.text);
  Item item = item_of(beside, archive.path + ":" + key, report_);
  if (item.id.empty()) item.id = key;
  item.bytes = {archive.path, sample.picture->offset, sample.picture->size_bytes};
  read_header(archive.content(*sample.picture), item);
  return item;
}

}  // namespace

void open_shard(const std::string& place, std::vector<Item>& items_, Report& report_,
                const std::string& called) {
  const io::MappedFile file(place);
  const std::string& path = called.empty() ? place : called;
  const Archive archive{path, file.bytes()};
  const TarListing listing = list_tar(archive.bytes);
  if (!listing.damage.empty()) report_.skip(path, listing.damage);
  std::vector<std::string> order;
  std::map<std::string, Sample> samples;
  for (const TarMember& member : listing.members) {
    const auto [key, suffix] = split_at_first_dot(member.name);
    const bool picture = is_picture_suffix(suffix), text = is_caption_suffix(suffix);
    if (is_hidden(member.name)) {
      report_.pass_over("hidden");
    } else if (is_other_picture_suffix(suffix)) {
      skip_other_format(path + ":" + member.name, suffix, report_);
    } else if (picture || text || suffix == "json") {
      const auto [place, fresh] = samples.try_emplace(key);
      if (fresh) order.push_back(key);
      const TarMember*& slot = picture ? place->second.picture
                               : text  ? place->second.text
                                       : place->second.json;
      if (slot) {
        report_.warn(path + ":" + slot->name,
                     "the sample has '" + member.name + "' too, which counts instead");
      }
      slot = &member;
    } else {
      report_.pass_over(suffix);
    }
  }
  for (const std::string& key : order) {
    const Sample& sample = samples.at(key);
    if (sample.picture) {
      keep_or_skip(path + ":" + key, items_, report_,
                   [&] { return item_of_sample(key, sample, archive, report_); });
    } else {
      report_.pass_over(sample.json ? "json" : "txt");  // a note that describes no picture
    }
  }
}

}  // namespace pangu::data
