// Pictures of a drawing on their way to files or to standard output: names, formats, and that no
// picture is lost. --out may be
//
//   nothing              pangu-{date}-{number}-{seed}.png here;
//   apple.png            this file; .jpg and .webp as well. Several get apple-0.png, apple-1.png;
//   cats/ or cats        a folder, made if need be, with names as above;
//   {date}/{prompt}.png  a pattern: {number} counts up over what lies there, {seed}, {index},
//                        {date}, {time}, {model} and every key of a request are filled in;
//   -                    the PNG itself to standard output.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/warnings.h"
#include "image/image.h"
#include "io/file_series.h"
#include "pipeline/request.h"

namespace pangu::app {

class PictureFiles {
 public:
  // requests: resolved; one with its count of pictures, whose seeds count up, or one for each
  // picture. models: the name of the model that draws each request. Tries the place. Error
  // kBadInput for a name of another format, kIo if nothing can be written there.
  PictureFiles(const OutputArgs& said, const std::vector<pipeline::Request>& requests,
               const std::vector<std::string>& models, Warnings& warnings);

  // Writes picture `index`; its name, or nothing if it went to standard output. Error kIo.
  std::optional<std::string> write(int index, const image::Image& picture,
                                   const image::TextChunks& text);

  // Where picture `index` goes; empty: the current folder.
  std::string folder_of(int index) const;
  // "seed 7", "seeds 7 to 12", or all of them where they do not count up.
  std::string seeds_text() const;
  int count() const { return static_cast<int>(seeds_.size()); }  // of pictures to come
  int written() const { return written_; }                       // so far
  double seconds() const { return seconds_; }                    // of encoding and writing
  const nlohmann::json& list() const { return list_; }           // [{"file", "seed"}, ...]

 private:
  std::string pattern_;
  image::FileFormat format_ = image::FileFormat::kPng;
  std::vector<uint64_t> seeds_;  // of every picture
  int written_ = 0;
  double seconds_ = 0;
  std::optional<io::FileSeries> series_;  // none: standard output
  nlohmann::json list_ = nlohmann::json::array();
  Warnings& warnings_;
};

// Error kBadInput for an --out that can never be one, so that it is told before a model is read.
void check_out(const OutputArgs& said);

}  // namespace pangu::app
