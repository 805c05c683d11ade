#include "app/drawing.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <optional>
#include <random>

#include "app/preview.h"
#include "core/error.h"
#include "io/file_hash.h"

namespace pangu::app {
namespace {

using nlohmann::json;

void print_timings(const pipeline::Timings& timings) {
  double total = 0;
  for (const auto& [phase, seconds] : timings) {
    std::fprintf(stderr, "%-20s %8.3f s\n", phase.c_str(), seconds);
    total += seconds;
  }
  std::fprintf(stderr, "%-20s %8.3f s\n", "all", total);
}

}  // namespace

uint64_t fresh_seed() { return std::random_device{}(); }

pipeline::PictureKeeps keeps_of(const pipeline::MemberSpec& model, WeightHashes& hashes) {
  pipeline::PictureKeeps keeps;
  keeps.model = model;
  // Files are the same for all pictures of a drawing.
  keeps.mark = [known = std::map<std::string, io::ContentMark>()](
                   const std::string& path) mutable -> io::ContentMark {
    const auto found = known.find(path);
    if (found != known.end()) return found->second;
    return known[path] = io::content_mark(path);
  };
  keeps.model_hash = [&hashes] { return hashes.model(); };
  keeps.lora_hash = [&hashes](const std::string& path) { return hashes.lora(path); };
  return keeps;
}

DrawingWatch::DrawingWatch(bool quiet, Warnings& warnings) : warnings_(warnings) {
  if (!quiet && isatty(fileno(stderr))) bar_ = std::make_unique<ProgressBar>("draw");
  warnings_.before_printing([this] {
    if (bar_) bar_->finish();
  });
}

DrawingWatch::~DrawingWatch() { warnings_.before_printing({}); }

pipeline::DrawHooks DrawingWatch::hooks() {
  pipeline::DrawHooks hooks;
  hooks.watch.wants_stop = [this] { return interrupt_.wanted(); };
  hooks.watch.on_warning = std::ref(warnings_);
  if (bar_) hooks.watch.on_progress = [this](const Progress& progress) { (*bar_)(progress); };
  return hooks;
}

void DrawingWatch::print(const std::string& line) {
  if (bar_) bar_->finish();
  std::cout << line << "\n" << std::flush;
}

void draw_to_files(const OutputArgs& output,
                   const std::function<const pipeline::Model&(double sigma)>& model_at,
                   PictureFiles& files, Report report, Warnings& warnings,
                   const std::function<pipeline::Drawing(const pipeline::DrawHooks&)>& draw,
                   const std::function<image::TextChunks(int index)>& text_of) {
  std::cerr << files.seeds_text() << "\n";
  std::optional<Preview> preview;
  if (!output.preview.empty()) preview.emplace(output.preview, output.overwrite, model_at);
  pipeline::Drawing drawing;
  {
    DrawingWatch watch(output.quiet, warnings);
    pipeline::DrawHooks hooks = watch.hooks();
    if (preview) hooks.on_latents = [&](const diffusion::StepInfo& step) { preview->show(step); };
    hooks.on_picture = [&](int index, const image::Image& picture) {
      if (preview) preview->show(picture);
      const auto name = files.write(index, picture, text_of(index));
      if (name && !output.json) watch.print(*name);
    };
    drawing = draw(hooks);
  }
  pipeline::Timings timings = std::move(report.before);
  timings.insert(timings.end(), drawing.timings.begin(), drawing.timings.end());
  timings.emplace_back("write picture", files.seconds());
  if (output.json) {
    json seconds = json::object();
    for (const auto& [phase, s] : timings) seconds[phase] = s;
    report.facts["files"] = files.list();
    report.facts["seconds"] = seconds;
    report.facts["warnings"] = warnings.all();
    std::cout << report.facts.dump(2) << "\n";
  } else if (output.timings) {
    print_timings(timings);
  }
  if (drawing.stopped) {
    throw Stopped("stopped after " + std::to_string(files.written()) + " of " +
                  std::to_string(files.count()) + " pictures");
  }
}

}  // namespace pangu::app
