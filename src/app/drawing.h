// What the commands that draw share: the progress bar, pictures written as they are done, the
// report.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/interrupt.h"
#include "app/picture_files.h"
#include "app/warnings.h"
#include "app/weight_hashes.h"
#include "core/progress.h"
#include "image/image.h"
#include "pipeline/draw.h"
#include "pipeline/picture_text.h"

namespace pangu::app {

// 32 bits: short enough to be read out and typed again.
uint64_t fresh_seed();

// What pictures keep of a model beside their request; `hashes` outlives it.
pipeline::PictureKeeps keeps_of(const pipeline::MemberSpec& model, WeightHashes& hashes);

// Whoever waits at the terminal: sees a bar, unless `quiet` or elsewhere, and warnings, and ends
// the drawing by Ctrl-C.
class DrawingWatch {
 public:
  DrawingWatch(bool quiet, Warnings& warnings);
  ~DrawingWatch();
  pipeline::DrawHooks hooks();
  // A line on standard output, not into the bar's.
  void print(const std::string& line);

 private:
  Warnings& warnings_;
  std::unique_ptr<ProgressBar> bar_;
  Interrupt interrupt_;
};

// What is said of a drawing beside its pictures.
struct Report {
  nlohmann::json facts;      // of --json: {"request": ..., ...}
  pipeline::Timings before;  // phases before the drawing's own
};

// Draws by `draw`, whose hooks show a preview if it is asked for, as `model_at` a noise level
// decodes it, and whose hooks write every picture when it is done with its text and print its
// name; then says what --json and --timings ask for. Before all that it says the seed. Throws
// Stopped at the end, if the drawing was stopped before its last picture.
void draw_to_files(const OutputArgs& output,
                   const std::function<const pipeline::Model&(double sigma)>& model_at,
                   PictureFiles& files, Report report, Warnings& warnings,
                   const std::function<pipeline::Drawing(const pipeline::DrawHooks&)>& draw,
                   const std::function<image::TextChunks(int index)>& text_of);

}  // namespace pangu::app
