// `pangu-draw convert`: a model in whatever files it came in -> one folder in diffusers' layout, or
// one .safetensors in the names that it was released in.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/home.h"
#include "app/table.h"
#include "core/progress.h"
#include "pipeline/convert/convert.h"

namespace pangu::app {

int run_convert(const ConvertArgs& args) {
  pipeline::ConvertOptions options;
  options.dtype = args.dtype;
  options.overwrite = args.force;
  options.tokenizers = (home() / "models" / "tokenizers").string();
  std::unique_ptr<ProgressBar> bar;
  if (!args.quiet && isatty(fileno(stderr))) bar = std::make_unique<ProgressBar>("convert");
  const pipeline::Converted done = pipeline::convert_model(
      model_path(args.source).string(), args.out, options, [&](const Progress& progress) {
        if (bar) (*bar)(progress);
      });
  bar.reset();
  if (args.json) {
    std::cout << nlohmann::json{{"family", done.family},         {"pipeline", done.pipeline},
                                {"components", done.components}, {"size_bytes", done.size_bytes},
                                {"dtype", args.dtype},           {"out", args.out}}
                     .dump(2)
              << "\n";
    return 0;
  }
  std::cout << args.out << ": " << done.family << " as " << done.pipeline << ", "
            << human_bytes(static_cast<double>(done.size_bytes)) << " of weights in " << args.dtype
            << "\n";
  return 0;
}

}  // namespace pangu::app
