#include "app/drawing.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>

#include "core/error.h"
#include "io/atomic_file.h"
#include "pipeline/picture_text.h"

namespace pangu::app {
namespace {

using nlohmann::json;

// "out.png" -> "out-2.png" for the third of several.
std::string numbered(const std::string& path, int index, int count) {
  if (count == 1) return path;
  const std::filesystem::path p(path);
  return (p.parent_path() /
          (p.stem().string() + "-" + std::to_string(index) + p.extension().string()))
      .string();
}

void print_timings(const pipeline::Timings& timings) {
  double total = 0;
  for (const auto& [phase, seconds] : timings) {
    std::fprintf(stderr, "%-20s %8.3f s\n", phase.c_str(), seconds);
    total += seconds;
  }
  std::fprintf(stderr, "%-20s %8.3f s\n", "all", total);
}

}  // namespace

int checked_tile(int vae_tile) {
  constexpr int least = 64;
  if (vae_tile != 0 && vae_tile < least) {
    throw bad_input("--vae-tile", "0 (by size), or " + std::to_string(least) + " or more",
                    std::to_string(vae_tile));
  }
  return vae_tile;
}

uint64_t fresh_seed() { return std::random_device{}(); }

void check_out(const std::string& out) {
  const std::filesystem::path p(out);
  if (p.extension() != ".png") throw bad_input("--out", "a name ending in .png", "'" + out + "'");
  if (!p.parent_path().empty() && !std::filesystem::is_directory(p.parent_path())) {
    throw bad_input("--out", "a folder that exists", "'" + p.parent_path().string() + "'");
  }
}

void warn_of_difference(const std::string& from, Warnings& warnings) {
  const std::string why = pipeline::difference_of_png(from);
  if (!why.empty()) warnings("'" + from + "': " + why);
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

void write_pictures(const pipeline::Drawing& drawing, Report report,
                    const std::function<std::map<std::string, std::string>(int index)>& text_of) {
  json files = json::array();
  pipeline::Timings timings = std::move(report.before);
  timings.insert(timings.end(), drawing.timings.begin(), drawing.timings.end());
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < drawing.pictures.size(); ++i) {
    const std::string path = numbered(report.out, static_cast<int>(i), report.count);
    io::remove_stale_temporaries(path);  // of drawings that were killed while they wrote
    const auto png = image::encode_png(drawing.pictures[i], text_of(static_cast<int>(i)));
    io::write_file_atomic(path, std::as_bytes(std::span(png)));
    files.push_back({{"file", path}, {"seed", report.seed + i}});
    if (!report.json) std::cout << path << "\n";
  }
  timings.emplace_back(
      "write PNG", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (report.json) {
    json seconds = json::object();
    for (const auto& [phase, s] : timings) seconds[phase] = s;
    report.facts["files"] = files;
    report.facts["seconds"] = seconds;
    std::cout << report.facts.dump(2) << "\n";
  } else if (report.timings) {
    print_timings(timings);
  }
  if (drawing.stopped) {
    throw Stopped("stopped after " + std::to_string(drawing.pictures.size()) + " of " +
                  std::to_string(report.count) + " pictures");
  }
}

}  // namespace pangu::app
