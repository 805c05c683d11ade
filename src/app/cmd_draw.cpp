// `pangu-draw draw`: flags to a request, a request to PNG files.
#include <torch/torch.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "app/commands.h"
#include "app/home.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "io/atomic_file.h"
#include "pipeline/draw.h"

namespace pangu::app {
namespace {

using nlohmann::json;

pipeline::Request request_of(const DrawArgs& args) {
  pipeline::Request r;
  if (!args.from.empty()) r = pipeline::request_of_png(args.from);
  if (!args.prompt.empty()) r.prompt = args.prompt;
  if (args.negative) r.negative = *args.negative;
  if (!args.styles.empty()) r.styles = args.styles;
  if (args.style_scale) r.style_scale = *args.style_scale;
  if (args.size) {
    const auto [width, height] = pipeline::size_from(*args.size);
    r.width = width;
    r.height = height;
  }
  if (args.steps) r.steps = *args.steps;
  if (args.guidance) r.guidance = *args.guidance;
  if (args.sampler) r.sampler = *args.sampler;
  if (args.seed) r.seed = *args.seed;
  if (args.count) r.count = *args.count;
  return r;
}

uint64_t fresh_seed() {
  // 32 bits: short enough to be read out and typed again.
  return std::random_device{}();
}

// "out.png" -> "out-2.png" for the third of several.
std::string numbered(const std::string& path, int index, int count) {
  if (count == 1) return path;
  const std::filesystem::path p(path);
  return (p.parent_path() /
          (p.stem().string() + "-" + std::to_string(index) + p.extension().string()))
      .string();
}

void check_out(const std::string& out) {
  const std::filesystem::path p(out);
  if (p.extension() != ".png") throw bad_input("--out", "a name ending in .png", "'" + out + "'");
  if (!p.parent_path().empty() && !std::filesystem::is_directory(p.parent_path())) {
    throw bad_input("--out", "a folder that exists", "'" + p.parent_path().string() + "'");
  }
}

std::vector<std::string> expert_names(const pipeline::Model& model) {
  std::vector<std::string> names;
  for (const auto& expert : model.experts) names.push_back(expert.name);
  return names;
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

int run_draw(const DrawArgs& args) {
  if (args.threads > 0) at::set_num_threads(args.threads);
  pipeline::LoadOptions options;
  options.device = args.device;
  if (!args.dtype.empty()) options.dtype = args.dtype;
  pipeline::Timings timings;
  const auto start = std::chrono::steady_clock::now();
  const pipeline::Model model = pipeline::load_model(model_folder(args.model).string(), options);
  timings.emplace_back(
      "read model",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  const pipeline::Request request = pipeline::resolved(request_of(args), model.rules, fresh_seed());

  if (args.plan) {
    const diffusion::Plan plan = pipeline::plan_of(model, request);
    std::cout << (args.json ? diffusion::to_json(plan, expert_names(model)) + "\n"
                            : diffusion::to_table(plan, expert_names(model)));
    return 0;
  }
  const std::string out =
      args.out.empty() ? "pangu-" + std::to_string(*request.seed) + ".png" : args.out;
  check_out(out);

  pipeline::DrawHooks hooks;
  std::unique_ptr<ProgressBar> bar;
  if (!args.quiet && isatty(fileno(stderr))) bar = std::make_unique<ProgressBar>("draw");
  hooks.on_step = [&](int step, int step_count) {
    if (bar) (*bar)({.done = step, .total = step_count, .text = ""});
    return true;
  };
  const pipeline::Drawing drawing = pipeline::draw(model, request, hooks);
  bar.reset();
  timings.insert(timings.end(), drawing.timings.begin(), drawing.timings.end());

  json files = json::array();
  const auto write_start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < drawing.pictures.size(); ++i) {
    const std::string path = numbered(out, static_cast<int>(i), request.count);
    const auto png = image::encode_png(drawing.pictures[i],
                                       pipeline::png_text(model, request, static_cast<int>(i)));
    io::write_file_atomic(path, std::as_bytes(std::span(png)));
    files.push_back({{"file", path}, {"seed", *request.seed + i}});
    if (!args.json) std::cout << path << "\n";
  }
  timings.emplace_back(
      "write PNG",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - write_start).count());
  if (args.json) {
    json seconds = json::object();
    for (const auto& [phase, s] : timings) seconds[phase] = s;
    std::cout << json{{"files", files},
                      {"request", pipeline::to_json(request)},
                      {"model", model.name},
                      {"seconds", seconds}}
                     .dump(2)
              << "\n";
  } else if (args.timings) {
    print_timings(timings);
  }
  return 0;
}

}  // namespace pangu::app
