#include "pipeline/quantise.h"

#include <memory>

#include "core/error.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {
namespace {

void check_options(const QuantiseOptions& options) {
  if (options.prompts.empty()) throw bad_input("prompts", "one or more", "none");
  if (!(options.most_error >= 0)) {
    throw bad_input("greatest error", "0 or more", std::to_string(options.most_error));
  }
}

}  // namespace

std::vector<Int8Written> quantise(const std::string& path, LoadOptions load,
                                  const QuantiseOptions& options, const Watch& watch) {
  check_options(options);
  const auto measured = std::make_shared<Int8Measured>();
  load.precision = kExactPrecision;
  load.int8_measured = measured;
  const Model model = load_model(path, load, watch);
  Request request;
  request.prompt = "-";  // every picture has its own
  request.steps = options.steps;
  request = resolved(request, model.rules, options.seed);
  std::vector<Wish> wishes;
  for (const std::string& prompt : options.prompts) {
    wishes.push_back({prompt, options.seed + wishes.size()});
  }
  DrawHooks hooks;
  hooks.watch = watch;
  hooks.on_picture = [](int, const image::Image&) {};
  if (draw_each(model, request, wishes, 1, hooks).stopped) throw Stopped("stopped");

  const Source source = open_source(path, load);
  std::vector<Int8Written> written;
  for (const auto& [name, component] : source.components) {
    const auto errors = measured->parts.find(int8_file_of(component));
    if (!name.starts_with("unet") || errors == measured->parts.end()) continue;
    written.push_back(write_int8(component, errors->second, options.most_error, watch));
  }
  if (written.empty()) {
    throw bad_input("model '" + path + "'", "a denoiser in a file, with layers for int8", "none");
  }
  return written;
}

}  // namespace pangu::pipeline
