// What the commands that draw share: where pictures go, the progress bar, the report.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/interrupt.h"
#include "app/warnings.h"
#include "core/progress.h"
#include "image/image.h"
#include "pipeline/draw.h"

namespace pangu::app {

// 32 bits: short enough to be read out and typed again.
uint64_t fresh_seed();

// kBadInput unless it is a name ending in .png in a folder that exists.
void check_out(const std::string& out);

// --vae-tile, in pixels; kBadInput unless it is 0 (by size) or large enough for a tile's seams.
int checked_tile(int vae_tile);

// Warns why the picture of --from will not come out as it was, if that is known.
void warn_of_difference(const std::string& from, Warnings& warnings);

// Whoever waits at the terminal: sees a bar, unless `quiet` or elsewhere, and warnings, and ends
// the drawing by Ctrl-C.
class DrawingWatch {
 public:
  DrawingWatch(bool quiet, Warnings& warnings);
  ~DrawingWatch();
  pipeline::DrawHooks hooks();

 private:
  Warnings& warnings_;
  std::unique_ptr<ProgressBar> bar_;
  Interrupt interrupt_;
};

struct Report {
  std::string out;    // "out.png"; several pictures get "out-0.png", "out-1.png", ...
  uint64_t seed = 0;  // of the first picture
  int count = 1;      // asked for
  bool json = false;
  bool timings = false;
  nlohmann::json facts;      // what else the JSON holds
  pipeline::Timings before;  // phases before the drawing's own
};

// Writes the pictures, each with its text, and says so: a line a file, or JSON. Throws Stopped
// after that, if the drawing was stopped before its last picture.
void write_pictures(const pipeline::Drawing& drawing, Report report,
                    const std::function<std::map<std::string, std::string>(int index)>& text_of);

}  // namespace pangu::app
