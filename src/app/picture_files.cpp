#include "app/picture_files.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "core/error.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUsualName = "pangu-{date}-{number}-{seed}.png";
constexpr const char* kStandardOutput = "-";
constexpr const char* kWords =
    "seed, index, date, time, model or a key of a request, such as steps";

// Letters behind the last dot say a format; "v1.5" has none.
bool has_suffix(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix.size() > 1 && std::isalpha(static_cast<unsigned char>(suffix[1])) &&
         suffix.find_first_of("{} ") == std::string::npos;
}

bool is_folder(const std::string& out) {
  const fs::path path(out);
  std::error_code unreadable;
  return path.filename().empty() || fs::is_directory(path, unreadable) ||
         (!has_suffix(path) && !io::has_name_words(path.filename().string()));
}

std::string pattern_of(const std::string& out) {
  if (out.empty()) return kUsualName;
  if (is_folder(out)) return (fs::path(out) / kUsualName).string();
  return has_suffix(out) ? out : out + ".png";
}

image::FileFormat format_of(const std::string& out) {
  const auto format = image::format_of_name(pattern_of(out));
  if (!format) throw bad_input("--out", "a name ending in .png, .jpg or .webp", "'" + out + "'");
  return *format;
}

std::string local_time(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

// What a request's field says in a file's name; nothing for those that are lists or no fields.
std::optional<std::string> field_text(const nlohmann::json& request, const std::string& key) {
  const auto found = request.find(key);
  if (found == request.end() || found->is_structured()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_null() ? "" : found->dump();
}

void write_all(std::span<const uint8_t> bytes) {
  std::cout.flush();
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() ||
      std::fflush(stdout) != 0) {
    throw io_error("cannot write to", "standard output", errno);
  }
}

std::vector<uint64_t> seeds_of(const std::vector<pipeline::Request>& requests) {
  std::vector<uint64_t> seeds;
  for (const pipeline::Request& request : requests) {
    for (int i = 0; i < request.count; ++i) {
      seeds.push_back(*request.seed + static_cast<uint64_t>(i));
    }
  }
  return seeds;
}

}  // namespace

void check_out(const OutputArgs& said) {
  if (said.out != kStandardOutput) {
    format_of(said.out);
    return;
  }
  if (said.json) throw bad_input("--out -", "no --json, which goes to standard output too", "both");
  if (!said.plan && isatty(STDOUT_FILENO)) {
    throw bad_input("--out -", "a file or a pipe to write to", "a terminal");
  }
}

PictureFiles::PictureFiles(const OutputArgs& said, const std::vector<pipeline::Request>& requests,
                           const std::vector<std::string>& models, Warnings& warnings)
    : seeds_(seeds_of(requests)), warnings_(warnings) {
  check_out(said);
  if (said.out == kStandardOutput) {
    if (count() > 1) throw bad_input("--out -", "one picture", std::to_string(count()));
    return;
  }
  pattern_ = pattern_of(said.out);
  format_ = format_of(said.out);
  std::vector<nlohmann::json> fields;
  for (const pipeline::Request& request : requests) fields.push_back(pipeline::to_json(request));
  const auto word = [fields, models, seeds = seeds_, date = local_time("%Y-%m-%d"),
                     time = local_time("%H-%M-%S")](const std::string& name,
                                                    int index) -> std::optional<std::string> {
    if (name == "seed") return std::to_string(seeds[static_cast<size_t>(index)]);
    if (name == "index") return std::to_string(index);
    if (name == "date") return date;
    if (name == "time") return time;
    const size_t request = fields.size() == 1 ? 0 : static_cast<size_t>(index);
    if (name == "model") return models[request];
    return field_text(fields[request], name);
  };
  series_.emplace(io::SeriesPlan{pattern_, count(), said.overwrite, word, kWords});
  series_->try_place();
}

std::string PictureFiles::seeds_text() const {
  const uint64_t first = seeds_.front(), last = seeds_.back();
  if (seeds_.size() == 1) return "seed " + std::to_string(first);
  bool counts_up = true;
  std::string list;
  for (size_t i = 0; i < seeds_.size(); ++i) {
    counts_up = counts_up && seeds_[i] == first + i;
    list += (i ? ", " : "") + std::to_string(seeds_[i]);
  }
  if (counts_up) return "seeds " + std::to_string(first) + " to " + std::to_string(last);
  return "seeds " + list;
}

std::string PictureFiles::folder_of(int index) const {
  return series_ ? fs::path(series_->name_of(index)).parent_path().string() : "";
}

std::optional<std::string> PictureFiles::write(int index, const image::Image& picture,
                                               const image::TextChunks& text) {
  const auto start = std::chrono::steady_clock::now();
  const image::Bytes bytes = image::encode_image(picture, format_, text);
  std::optional<std::string> name;
  if (series_) {
    name = series_->write(index, std::as_bytes(std::span(bytes)));
    if (series_->stepped_aside()) {
      warnings_("a file of its name is there and stays, so the picture is '" + *name +
                "' (--overwrite replaces)");
    }
    list_.push_back({{"file", *name}, {"seed", seeds_[static_cast<size_t>(index)]}});
  } else {
    write_all(bytes);
  }
  ++written_;
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return name;
}

}  // namespace pangu::app
