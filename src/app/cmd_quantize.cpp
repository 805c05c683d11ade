// `pangu-draw quantize`: a model's denoisers in int8, measured by a few drawings, beside the model.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/home.h"
#include "app/interrupt.h"
#include "app/table.h"
#include "app/threads.h"
#include "app/warnings.h"
#include "core/progress.h"
#include "pipeline/quantise.h"

namespace pangu::app {
namespace {

std::string percent(double part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * part);
  return text;
}

void print_int8(const pipeline::Int8Written& file) {
  std::cout << file.path << ": " << file.layers << " layers in int8, "
            << human_bytes(static_cast<double>(file.size_bytes)) << ", off by "
            << percent(file.middle_error) << " in the middle; " << file.kept.size()
            << " stay in bf16\n";
  for (const std::string& layer : file.kept) std::cout << "  " << layer << "\n";
}

}  // namespace

int run_quantize(const QuantizeArgs& args) {
  pipeline::LoadOptions load;
  load.experts_in_memory = static_cast<size_t>(std::max(0, args.experts_in_memory));
  load.tokenizers = (home() / "models" / "tokenizers").string();
  pipeline::QuantiseOptions options;
  if (!args.prompts.empty()) options.prompts = args.prompts;
  options.steps = args.steps;
  options.seed = args.seed;
  options.most_error = args.most_error;
  Warnings warnings;
  std::unique_ptr<ProgressBar> bar;
  if (!args.quiet && isatty(fileno(stderr))) bar = std::make_unique<ProgressBar>("quantize");
  Watch watch;
  watch.on_warning = std::ref(warnings);
  watch.on_progress = [&](const Progress& progress) {
    if (bar) (*bar)(progress);
  };
  const std::vector<pipeline::Int8Written> files =
      pipeline::quantise(model_path(args.model).string(), load, options, watch);
  bar.reset();
  if (!args.json) {
    for (const pipeline::Int8Written& file : files) print_int8(file);
    return 0;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const pipeline::Int8Written& file : files) {
    list.push_back({{"path", file.path},
                    {"layers", file.layers},
                    {"kept_in_bf16", file.kept},
                    {"median_error", file.middle_error},
                    {"size_bytes", file.size_bytes}});
  }
  std::cout << list.dump(2) << "\n";
  return 0;
}

}  // namespace pangu::app
