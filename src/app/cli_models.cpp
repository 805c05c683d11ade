#include "app/cli_models.h"

namespace pangu::app {

void add_inspect(CLI::App& app, InspectArgs& args) {
  CLI::App* cmd = app.add_subcommand("inspect", "Say what a weight file, model or picture holds");
  cmd->add_option("path", args.path, "Weights, a model folder or a PNG")->required();
  cmd->add_flag("--tensors", args.tensors, "List every tensor");
  cmd->add_flag("--json", args.json, "Print JSON");
}

void add_convert(CLI::App& app, ConvertArgs& args) {
  CLI::App* cmd = app.add_subcommand(
      "convert", "Write any model as a folder of diffusers or as one .safetensors");
  cmd->add_option("source", args.source,
                  "Single file, folder, or folder with PanGu-Draw 3's two .ckpt, low and high in "
                  "their names")
      ->required();
  cmd->add_option("out", args.out,
                  "Folder to write, or a name that ends in .safetensors for one file in the names "
                  "that A1111, ComfyUI and kohya's trainers read")
      ->required();
  cmd->add_option("--dtype", args.dtype, "bf16, f16 or f32")->capture_default_str();
  cmd->add_flag("--force", args.force, "Remove the model that is in the folder, or the file");
  cmd->add_flag("--json", args.json, "Print JSON");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

void add_quantize(CLI::App& app, QuantizeArgs& args, const CommonFlags& common) {
  CLI::App* cmd = app.add_subcommand(
      "quantize", "Round a model's denoisers to int8 beside it, for --precision int8");
  cmd->add_option("model", args.model, "Folder, file or name of a model")->required();
  cmd->add_option("--prompt", args.prompts,
                  "A prompt that the error of every layer is measured by (may be repeated)")
      ->default_str("four of the program's")
      ->allow_extra_args(false);
  cmd->add_option("--steps", args.steps, "Steps of each drawing")->capture_default_str();
  common.add_seed(cmd, args.seed, "Seed of the first prompt; the others count up");
  cmd->add_option("--most-error", args.most_error,
                  "Layers whose results are off by a larger part stay in bf16")
      ->capture_default_str();
  cmd->add_option("--experts-in-memory", args.experts_in_memory,
                  "Denoisers of a model kept at once (0: all)")
      ->capture_default_str();
  cmd->add_flag("--json", args.json, "Print JSON");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
  common.add_threads(cmd);
}

}  // namespace pangu::app
