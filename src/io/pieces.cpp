// Names of pieces carry their hash, so that a new set never overwrites a piece of the old one.
#include "io/pieces.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/mapped_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using Part = PiecesInfo::Part;

constexpr const char* kFormat = "pangu-draw pieces 1";
constexpr size_t kMaxInfoBytes = size_t{16} << 20;
constexpr size_t kNameHashDigits = 16;
constexpr uint64_t kMaxBytes = uint64_t{1} << 50;  // so that sums of sizes cannot wrap around
const char* const kCopyAgain = "copy the whole folder again";

std::string info_path(const std::string& folder) {
  return (fs::path(folder) / "pieces.json").string();
}

void make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw io_error("cannot create", folder.string(), failure.value());
}

uint64_t sum_of_sizes(const std::vector<Part>& parts) {
  uint64_t sum = 0;
  for (const Part& part : parts) sum += part.size_bytes;
  return sum;
}

json json_of(const std::vector<Part>& parts) {
  json list = json::array();
  for (const Part& p : parts) {
    list.push_back({{"name", p.name}, {"size_bytes", p.size_bytes}, {"sha256", p.sha256}});
  }
  return list;
}

bool is_inside(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || name.find('\0') != std::string::npos) return false;
  return std::none_of(path.begin(), path.end(), [](const fs::path& p) { return p == ".."; });
}

std::vector<Part> parts_in(const json& object, const char* key, const std::string& path) {
  const auto wrong = [&](const std::string& expected) {
    return bad_input("'" + path + "' key '" + key + "'", expected, "something else", kCopyAgain);
  };
  if (!object.contains(key) || !object[key].is_array()) throw wrong("a list");
  std::vector<Part> parts;
  for (const json& entry : object[key]) {
    const bool whole = entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
                       entry.contains("size_bytes") && entry["size_bytes"].is_number_unsigned() &&
                       entry.contains("sha256") && entry["sha256"].is_string();
    if (!whole) throw wrong("entries of name, size_bytes and sha256");
    Part part{entry["name"].get<std::string>(), entry["size_bytes"].get<uint64_t>(),
              entry["sha256"].get<std::string>()};
    if (!is_inside(part.name)) throw wrong("names inside the folder");
    if (part.size_bytes > kMaxBytes / 1024) throw wrong("sizes of files");
    parts.push_back(std::move(part));
  }
  if (parts.size() > 1024) throw wrong("at most 1024 entries");
  return parts;
}

std::string sha256_of(std::span<const std::byte> bytes) {
  return hex_of(Sha256().update(bytes).digest());
}

MappedFile checked_piece(const std::string& folder, const Part& piece) {
  const std::string path = (fs::path(folder) / piece.name).string();
  const std::string what = "piece '" + path + "'", size = std::to_string(piece.size_bytes);
  if (!fs::exists(path)) throw bad_input(what, size + " bytes", "no such file", kCopyAgain);
  MappedFile file(path);
  if (file.bytes().size() != piece.size_bytes) {
    throw bad_input(what, size + " bytes", std::to_string(file.bytes().size()), kCopyAgain);
  }
  const std::string found = sha256_of(file.bytes());
  if (found != piece.sha256) {
    throw bad_input(what, "SHA-256 " + piece.sha256, found, kCopyAgain);
  }
  return file;
}

// Cuts a stream of bytes into pieces.
class Cutter {
 public:
  Cutter(std::string folder, size_t piece_bytes)
      : folder_(std::move(folder)), piece_bytes_(piece_bytes) {}

  void add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t count = std::min(bytes.size(), piece_bytes_ - piece_.size());
      piece_.insert(piece_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
      bytes = bytes.subspan(count);
      if (piece_.size() == piece_bytes_) flush();
    }
  }
  void flush() {
    if (piece_.empty()) return;
    const std::string hash = sha256_of(piece_);
    char number[16];
    std::snprintf(number, sizeof number, "%04zu", pieces_.size());
    const std::string name =
        std::string("piece-") + number + "-" + hash.substr(0, kNameHashDigits) + ".bin";
    write_file_atomic((fs::path(folder_) / name).string(), piece_);
    pieces_.push_back({name, piece_.size(), hash});
    piece_.clear();
  }
  const std::vector<Part>& pieces() const { return pieces_; }

 private:
  std::string folder_;
  size_t piece_bytes_;
  std::vector<std::byte> piece_;
  std::vector<Part> pieces_;
};

void remove_stale_pieces(const std::string& folder, const std::vector<Part>& kept) {
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with("piece-") && name.ends_with(".bin");
    const auto is_it = [&](const Part& part) { return part.name == name; };
    if (ours && std::none_of(kept.begin(), kept.end(), is_it)) stale.push_back(entry.path());
  }
  std::error_code ignored;  // what cannot be removed only takes room
  for (const fs::path& path : stale) fs::remove(path, ignored);
}

}  // namespace

uint64_t PiecesInfo::size_bytes() const { return sum_of_sizes(files); }

PiecesInfo write_pieces(const std::string& from, const std::vector<std::string>& names,
                        const std::string& folder, size_t piece_bytes,
                        const std::map<std::string, std::string>& about) {
  if (piece_bytes == 0) throw Error(ErrorCode::kInternal, "pieces of no bytes");
  make_folder(folder);
  PiecesInfo info;
  info.about = about;
  Cutter cutter(folder, piece_bytes);
  for (const std::string& name : names) {
    const MappedFile file((fs::path(from) / name).string());
    cutter.add(file.bytes());
    info.files.push_back({name, file.bytes().size(), sha256_of(file.bytes())});
  }
  cutter.flush();
  info.pieces = cutter.pieces();
  const json object = {{"format", kFormat},
                       {"about", about},
                       {"files", json_of(info.files)},
                       {"pieces", json_of(info.pieces)}};
  write_file_atomic(info_path(folder), object.dump(1) + "\n");
  remove_stale_pieces(folder, info.pieces);
  return info;
}

PiecesInfo read_pieces_info(const std::string& folder) {
  const std::string path = info_path(folder);
  if (!fs::exists(path)) throw bad_input("'" + path + "'", "a set of pieces", "no such file");
  const json object = read_json_file(path, "", {.max_bytes = kMaxInfoBytes});
  if (!object.is_object() || object.value("format", json()) != kFormat) {
    throw bad_input("'" + path + "'", std::string("JSON of format '") + kFormat + "'",
                    "something else", kCopyAgain);
  }
  PiecesInfo info;
  info.files = parts_in(object, "files", path);
  info.pieces = parts_in(object, "pieces", path);
  if (object.contains("about") && object["about"].is_object()) {
    for (const auto& [key, value] : object["about"].items()) {
      if (value.is_string()) info.about[key] = value.get<std::string>();
    }
  }
  if (sum_of_sizes(info.files) != sum_of_sizes(info.pieces)) {
    throw bad_input("'" + path + "'", "pieces as long as the files", "other lengths", kCopyAgain);
  }
  return info;
}

PiecesInfo read_pieces(const std::string& folder, const std::string& to) {
  const PiecesInfo info = read_pieces_info(folder);
  // All at first, so that a damaged last piece costs no writing.
  for (const Part& piece : info.pieces) checked_piece(folder, piece);

  std::vector<std::unique_ptr<AtomicWriter>> writers;
  size_t next = 0, used = 0;  // piece and bytes of it already taken
  std::unique_ptr<MappedFile> piece;
  for (const Part& file : info.files) {
    const fs::path path = fs::path(to) / file.name;
    make_folder(path.parent_path());
    writers.push_back(std::make_unique<AtomicWriter>(path.string()));
    Sha256 hash;
    for (uint64_t left = file.size_bytes; left > 0;) {
      if (!piece || used == piece->bytes().size()) {
        piece = std::make_unique<MappedFile>(checked_piece(folder, info.pieces.at(next++)));
        used = 0;
      }
      const size_t count = std::min<uint64_t>(left, piece->bytes().size() - used);
      const auto bytes = piece->bytes().subspan(used, count);
      writers.back()->write(bytes);
      hash.update(bytes);
      used += count;
      left -= count;
    }
    if (hex_of(hash.digest()) != file.sha256) {
      throw bad_input("'" + info_path(folder) + "' file '" + file.name + "'",
                      "SHA-256 " + file.sha256, "another", kCopyAgain);
    }
  }
  for (const auto& writer : writers) writer->commit();
  return info;
}

}  // namespace pangu::io
