// Flags to structs, exceptions to exit codes. What a subcommand does is in cmd_NAME.cpp.
#include "app/cli.h"

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <new>

#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {
namespace {

constexpr int kBadFlagExit = 2;

int fail(const std::string& message, int code) {
  std::cout.flush();
  std::cerr << "pangu-draw: error: " << message << "\n";
  return code;
}

void add_draw(CLI::App& app, DrawArgs& args) {
  CLI::App* cmd = app.add_subcommand("draw", "Draw pictures from a Chinese or English prompt");
  cmd->add_option("prompt", args.prompt, "What to draw, in Chinese or English");
  cmd->add_option("--negative", args.negative, "What to stay away from");
  cmd->add_option("--style", args.styles, "Style words of style guidance (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option("--style-scale", args.style_scale, "Strength of style guidance");
  cmd->add_option("--size", args.size, "WIDTHxHEIGHT in pixels, or one number for a square");
  cmd->add_option("--steps", args.steps, "Steps of the sampler");
  cmd->add_option("--guidance", args.guidance, "Classifier-free guidance scale");
  cmd->add_option("--seed", args.seed, "Seed of the first picture; the next ones count up");
  cmd->add_option("--count", args.count, "How many pictures");
  cmd->add_option("--sampler", args.sampler, "euler, euler_a, heun or dpmpp_2m");
  cmd->add_option("--model", args.model, "Model folder (default: the embedded model)");
  cmd->add_option("-o,--out", args.out, "PNG to write (default: out/ and the seed)");
  cmd->add_option("--from", args.from, "Repeat the request inside this PNG; other flags change it");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  cmd->add_option("--threads", args.threads, "Threads (0: one a core)")->capture_default_str();
  cmd->add_flag("--plan", args.plan, "Print which expert serves which sigma, and stop");
  cmd->add_flag("--json", args.json, "Print the request and the result as JSON");
  cmd->add_flag("--timings", args.timings, "Say where the time went");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

void add_train(CLI::App& app, TrainArgs& args) {
  CLI::App* cmd = app.add_subcommand("train", "Train a model as a TOML file says");
  cmd->add_option("config", args.config, "TOML configuration");
  cmd->add_option("--set", args.sets, "section.key=value, over the file (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option("--minutes", args.minutes, "Stop after this long, with a checkpoint");
  cmd->add_option("--device", args.device, "cpu or cuda (default: the file's)");
  cmd->add_option("--threads", args.threads, "Threads (0: one a core)")->capture_default_str();
  CLI::Option* exported = cmd->add_option("--export-state", args.export_state,
                                          "Write the run's state into this folder, and stop");
  cmd->add_option("--import-state", args.import_state, "Read it back into output_dir, and stop")
      ->excludes(exported);
  cmd->add_option("--piece-mb", args.piece_megabytes, "Most that a file of --export-state has")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  cmd->add_flag("--fresh", args.fresh, "Begin anew, do not resume from the last checkpoint");
  cmd->add_flag("--keys", args.keys, "Print the table of configuration keys");
  cmd->add_flag("--dry-run", args.dry_run, "Check configuration and data, train nothing");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

void add_data(CLI::App& app, DataArgs& args) {
  CLI::App* data = app.add_subcommand("data", "Build, pack, count and check training data");
  data->require_subcommand(1);
  const auto action = [&](const char* name, const char* what) {
    CLI::App* cmd = data->add_subcommand(name, what);
    cmd->callback([&args, name] { args.action = name; });
    cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
    return cmd;
  };
  const auto input = [&](CLI::App* cmd) {
    cmd->add_option("dataset", args.input, "Folder of pictures, of shards, with a manifest; a .tar")
        ->required();
    cmd->add_option("--part", args.part, "high, low or all")->capture_default_str();
    cmd->add_option("--split", args.splits, "train, heldout_pair, ... (may be repeated)")
        ->allow_extra_args(false);
    cmd->add_option("--min-side", args.min_side_px, "Leave out pictures with a shorter side");
  };
  const auto output = [&](CLI::App* cmd) {
    cmd->add_option("-o,--out", args.out, "Folder to write")->required();
  };
  CLI::App* build = action("build", "Make the dataset of the embedded model out of packages");
  output(build);
  build->add_option("--cache", args.cache, "Where downloaded packages are kept");
  build->add_option("--pack", args.shards, "Also write shards into this folder");
  CLI::App* pack = action("pack", "Write a dataset as WebDataset shards");
  input(pack);
  output(pack);
  pack->add_option("--shard-mb", args.shard_megabytes, "Size of a shard")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  pack->add_option("--max-side", args.max_side_px, "Shrink pictures whose shorter side is above");
  pack->add_option("--quality", args.quality, "Encode as WebP of this quality (default: as it is)")
      ->check(CLI::Range(0, 100));
  CLI::App* stats = action("stats", "Count pictures, concepts, captions and sizes");
  input(stats);
  stats->add_flag("--json", args.json, "Print JSON");
  CLI::App* check = action("check", "Decode every picture and name those that cannot be read");
  input(check);
  check->add_flag("--json", args.json, "Print JSON");
  CLI::App* scenes = action("scenes", "Compose scenes of two to four cut-outs with exact captions");
  input(scenes);
  output(scenes);
  scenes->add_option("--count", args.count, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000000));
  scenes->add_option("--size", args.size_px, "Side in pixels")
      ->capture_default_str()
      ->check(CLI::Range(16, 4096));
  scenes->add_option("--seed", args.seed, "Seed")->capture_default_str();
  scenes->add_flag("--heldout", args.heldout, "The held-out scenes instead of training scenes");
}

void add_eval(CLI::App& app, EvalArgs& args) {
  CLI::App* cmd = app.add_subcommand("eval", "Score a model, and write the page of its scores");
  cmd->add_option("--model", args.model, "Model folder (default: the embedded model)");
  cmd->add_option("--data", args.data, "Dataset folder of `data build`, with the real pictures");
  cmd->add_option("--inception", args.inception, "Weights that tools/export_inception.py writes");
  cmd->add_option("--runs", args.runs, "Folder of trainings, for their losses");
  cmd->add_option("-o,--out", args.out, "Page to write (.md); pictures go into images/ beside it");
  cmd->add_option("--json", args.json, "File to write the scores to");
  cmd->add_option("--cache", args.cache,
                  "File or folder for features of real pictures (default: the temporary folder)");
  cmd->add_option("--only", args.only, "Some of probe,frechet,scenes,loss (default: all)");
  cmd->add_option("--prompts", args.prompts, "Pictures of each group in each language")
      ->capture_default_str()
      ->check(CLI::Range(2, 10000));
  cmd->add_option("--scenes", args.scenes, "Scene prompts in each language")
      ->capture_default_str()
      ->check(CLI::Range(1, 500));
  cmd->add_option("--batch", args.batch, "Prompts in one forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  cmd->add_option("--steps", args.steps, "Steps of the sampler (default: the model's)");
  cmd->add_option("--guidance", args.guidance, "Guidance scale (default: the model's)");
  cmd->add_option("--seed", args.seed, "Seed of the first picture")->capture_default_str();
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  cmd->add_option("--threads", args.threads, "Threads (0: one a core)")->capture_default_str();
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

void add_inspect(CLI::App& app, InspectArgs& args) {
  CLI::App* cmd = app.add_subcommand("inspect", "Say what a weight file, model or picture holds");
  cmd->add_option("path", args.path, "A .safetensors file, a model folder or a PNG")->required();
  cmd->add_flag("--tensors", args.tensors, "List every tensor");
  cmd->add_flag("--json", args.json, "Print JSON");
}

void add_doctor(CLI::App& app, DoctorArgs& args) {
  CLI::App* cmd = app.add_subcommand("doctor", "Say what this machine and installation offer");
  cmd->add_flag("--json", args.json, "Print JSON");
}

int run(int argc, const char* const* argv) {
  CLI::App app("Pictures from Chinese and English prompts.", "pangu-draw");
  app.require_subcommand(1);
  app.set_version_flag("--version", "pangu-draw " PANGU_VERSION);
  DrawArgs draw;
  TrainArgs train;
  DataArgs data;
  EvalArgs eval;
  InspectArgs inspect;
  DoctorArgs doctor;
  add_draw(app, draw);
  add_train(app, train);
  add_data(app, data);
  add_eval(app, eval);
  add_inspect(app, inspect);
  add_doctor(app, doctor);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + ". Hint: pangu-draw --help", kBadFlagExit);
  }
  const std::string name = app.get_subcommands().front()->get_name();
  if (name == "draw") return run_draw(draw);
  if (name == "train" && train.keys) return print_training_keys();
  if (name == "train" && train.config.empty()) throw bad_input("train", "a TOML file", "none");
  if (name == "train") return run_train(train);
  if (name == "data") return run_data(data);
  if (name == "eval") return run_eval(eval);
  if (name == "inspect") return run_inspect(inspect);
  return run_doctor(doctor);
}

}  // namespace

int run_cli(int argc, const char* const* argv) {
  const int out_of_memory = exit_code(ErrorCode::kUnavailable);
  const int our_mistake = exit_code(ErrorCode::kInternal);
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    return fail(error.what(), exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    return fail("out of memory. Hint: a smaller --size, --count or batch", out_of_memory);
  } catch (const c10::Error& error) {
    // libtorch has no type of its own for a failed allocation on the processor.
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("can't allocate memory") != std::string::npos ||
                        what.find("out of memory") != std::string::npos;
    return fail("libtorch: " + what, memory ? out_of_memory : our_mistake);
  } catch (const std::exception& error) {
    return fail(std::string("internal: ") + error.what(), our_mistake);
  }
}

}  // namespace pangu::app
