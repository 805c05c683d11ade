// Flags to structs, exceptions to exit codes. What a subcommand does is in cmd_NAME.cpp.
#include "app/cli.h"

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <new>
#include <utility>

#include "app/cli_eval.h"
#include "app/cli_flags.h"
#include "app/cli_help.h"
#include "app/cli_models.h"
#include "app/cli_serve.h"
#include "app/cli_study.h"
#include "app/cli_train.h"
#include "app/cli_words.h"
#include "app/commands.h"
#include "app/late_library.h"
#include "core/error.h"
#include "core/message.h"
#include "core/watch.h"
#include "pipeline/request_fields.h"

namespace pangu::app {
namespace {

constexpr int kBadFlagExit = 2;
constexpr int kStoppedExit = 130;  // as shells call a process that Ctrl-C ended: 128 + SIGINT

int fail(const std::string& message, int code) {
  std::cout.flush();
  std::cerr << "pangu-draw: error: " << message << "\n";
  return code;
}

// What holds if a field is not said, for --help.
std::string usual_text(const pipeline::RequestField& field) {
  if (!field.usual.empty() || !field.written) return field.usual;
  const nlohmann::json usual = field.written(pipeline::Request());
  return usual.is_number() ? pipeline::shown(usual) : "";
}

// A flag for every field of a request that has one.
void add_request_flags(CLI::App* cmd, pipeline::RequestWords& words) {
  using pipeline::FieldWords;
  for (const pipeline::RequestField& field : pipeline::request_fields()) {
    if (field.flag.empty()) continue;
    std::string names = field.flag;
    for (const std::string& other : field.also) names += "," + other;
    std::vector<std::string>& said = words[field.key];
    if (field.words == FieldWords::kNone) {
      cmd->add_flag_callback(names, [&said] { said = {"true"}; }, field.help);
      continue;
    }
    CLI::Option* option = cmd->add_option(names, said, field.help)
                              ->type_name(field.type)
                              ->allow_extra_args(false)
                              ->default_str(usual_text(field));
    if (field.words == FieldWords::kOne) option->expected(1);
  }
}

// Values of flags that are one of a few words, for completion.
FlagValues values_of_flags() {
  FlagValues values = {{"--device", {"cpu", "cuda"}},
                       {"--dtype", {"bf16", "f32"}},
                       {"--precision", {"exact", "int8"}},
                       {"--bridge", {"auto", "exact", "tiny", "learned"}},
                       {"--form", {"paper", "symmetric", "one_way"}},
                       {"--part", {"all", "high", "low"}}};
  for (const pipeline::RequestField& field : pipeline::request_fields()) {
    if (!field.values.empty()) values[field.flag] = field.values;
  }
  return values;
}

void add_output_flags(CLI::App* cmd, OutputArgs& args, const char* plan) {
  cmd->add_option(
      "-o,--out", args.out,
      "Picture to write (.png, .jpg, .webp, with words as {seed} or {date} if you like), "
      "a folder for several, or - (default: pangu-{date}-{number}-{seed}.png)");
  cmd->add_flag("--overwrite", args.overwrite, "Replace pictures of the same name");
  cmd->add_option("--preview", args.preview, "Picture that shows the drawing while it is made");
  cmd->add_flag("--plan,--dry-run", args.plan, plan);
  cmd->add_flag("--json", args.json, "Print what was drawn, and how, as JSON");
  cmd->add_flag("--timings", args.timings, "Say where the time went");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

// `whose`: " of the hub", where there are several models.
void add_load_flags(CLI::App* cmd, LoadArgs& args, const std::string& whose = "") {
  cmd->add_option("--model", args.model,
                  "Model" + whose +
                      ": a diffusers folder, one .safetensors, a folder with PanGu-Draw 3's two "
                      ".ckpt, low and high in their names, or the name of one in models/")
      ->default_str(whose.empty() ? "mini, the embedded model" : "the recipe's");
  cmd->add_option("--controlnet", args.controlnets,
                  "ControlNet" + whose + ", file or folder (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option("--lora", args.loras, "LoRA" + whose + ", FILE[:WEIGHT] (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option("--lora-dir", args.lora_dir, "Where <lora:NAME:WEIGHT> in the prompt looks");
  cmd->add_option("--embedding", args.embeddings,
                  "Textual inversion" + whose + "; its name is the word (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option(
      "--vae", args.vae,
      "Autoencoder" + whose + " out of another file: alone, tiny (TAESD), or in a checkpoint");
  cmd->add_option("--unet", args.unet,
                  "Denoiser" + whose + " out of another file: alone or in a checkpoint");
  cmd->add_option(
         "--text-encoder", args.text_encoders,
         "Text encoder" + whose + " out of another file, likewise (repeat it for SDXL's two)")
      ->allow_extra_args(false);
  cmd->add_option("--prediction-type", args.prediction_type,
                  "What the network predicts: epsilon, v_prediction, sample or flow_prediction")
      ->default_str("what the files say");
  cmd->add_option("--upscaler", args.upscaler,
                  "An ESRGAN (RRDBNet) .safetensors" + whose + ", for --upscale and --hires-scale");
  cmd->add_option("--refiner", args.refiner,
                  "SDXL's refiner" + whose + ", which draws the last steps");
  cmd->add_option("--refiner-start", args.refiner_start, "From this share of the schedule on")
      ->default_str("0.8");
  cmd->add_option("--experts-in-memory", args.experts_in_memory,
                  "Denoisers of a model kept at once (0: all); 1 halves PanGu-Draw 3's memory")
      ->capture_default_str();
  cmd->add_option("--vae-tile", args.vae_tile, "Decode in tiles of so many pixels (0: by size)")
      ->default_str("0");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16")->default_str("the faster one here");
  cmd->add_option("--vae-dtype", args.vae_dtype, "The same for the autoencoder")
      ->default_str("as --dtype where that costs little, otherwise f32");
  cmd->add_option("--precision", args.precision,
                  "exact, or int8: the denoiser's products in 8 bits, faster and a little off")
      ->default_str("exact");
  cmd->add_option(
         "--packed-weights", args.packed_weights,
         "Keep denoisers' weights as this processor reads them, to start sooner: auto (below "
         "~/.cache), off, or a folder")
      ->capture_default_str();
  add_threads(cmd);
}

CLI::Option* add_with(CLI::App* cmd, std::vector<std::string>& withs, const char* what) {
  return cmd
      ->add_option(
          "--with", withs,
          std::string("MODEL[,weight=0.5][,from=0][,to=1][,mask=][,prompt=][,control=]: ") + what)
      ->allow_extra_args(false);
}

void add_many_flags(CLI::App* cmd, ManyArgs& args) {
  cmd->add_option("--grid", args.grid,
                  "A table of pictures: \"steps=10,20 guidance=3,5\", one may be model; or none");
  cmd->add_option("--prompts", args.prompts,
                  "File with a prompt a line, flags behind it, {red|blue} and __list__ in it");
  cmd->add_option("--wildcards", args.wildcards, "Folder with list.txt (default: of --prompts)");
}

void add_draw(CLI::App& app, DrawArgs& args) {
  CLI::App* cmd = app.add_subcommand("draw", "Draw pictures from a Chinese or English prompt");
  cmd->footer("Example: pangu-draw draw a red apple, 3D render --seed 7 --out apple.png");
  cmd->add_option("prompt", args.prompt, "What to draw; several words need no quotes");
  add_request_flags(cmd, args.request);
  cmd->add_option("--from", args.from,
                  "Repeat this picture, also one of A1111's web UI or ComfyUI; other flags change "
                  "it");
  add_many_flags(cmd, args.many);
  add_with(cmd, args.withs, "draw together");
  cmd->add_option("--bridge", args.bridge, "Between their latents: auto, exact, tiny or learned")
      ->default_str("auto");
  add_load_flags(cmd, args.load);
  add_output_flags(cmd, args.output, "Print who serves which sigma at what cost, and stop");
}

void add_coop(CLI::App& app, CoopArgs& args) {
  CLI::App* cmd = app.add_subcommand("coop", "Several models draw one picture (Coop-Diffusion)");
  cmd->footer("Example: pangu-draw coop examples/text_edges.toml a fox in the snow --out fox.png");
  cmd->add_option("recipe", args.recipe, "TOML file: members, weights, bridges, stages");
  cmd->add_option("prompt", args.prompt, "What to draw, over the recipe's");
  cmd->add_option("--from", args.from, "Repeat this picture of several models");
  add_request_flags(cmd, args.request);
  add_many_flags(cmd, args.many);
  add_with(cmd, args.withs, "a further member");
  cmd->add_option("--form", args.form, "paper, symmetric or one_way")->default_str("the recipe's");
  cmd->add_option("--bridge", args.bridge, "auto, exact, tiny or learned")
      ->default_str("the recipe's");
  cmd->add_option("--bridge-every", args.bridge_every, "Bridge at every k-th call of the denoiser")
      ->default_str("the recipe's");
  cmd->add_option("--bridges", args.bridges, "Folder of a learned bridge (may be repeated)")
      ->allow_extra_args(false);
  add_load_flags(cmd, args.load, " of the hub");
  add_output_flags(cmd, args.output,
                   "Print members, bridges, cost and who counts at which sigma, and stop");
}

void add_train_bridge(CLI::App& app, TrainBridgeArgs& args) {
  CLI::App* cmd = app.add_subcommand(
      "train-bridge", "Train converters between two models' latents, in minutes, from pictures");
  cmd->add_option("A", args.a, "Model, or autoencoder alone: folder or file")->required();
  cmd->add_option("B", args.b, "The other one")->required();
  cmd->add_option("--images", args.images, "Folder of PNG, JPEG and WebP, or a dataset")
      ->required();
  cmd->add_option("-o,--out", args.out, "Folder to write A-to-B/ and B-to-A/ into")->required();
  CLI::Option* sizes = cmd->add_option("--sizes", args.sizes,
                                       "A=PIXELS,B=PIXELS: sides that they work at (default: "
                                       "the models' own)");
  cmd->add_option("--resolution", args.resolution, "The same side for both")->excludes(sizes);
  cmd->add_option("--minutes", args.minutes, "For encoding, training and judging (default: 10)");
  cmd->add_option("--steps", args.steps, "Steps of the optimiser (default: what the time allows)");
  cmd->add_option("--pairs", args.pairs, "Pairs of latents to train on, at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000));
  cmd->add_option("--cache-mb", args.cache_megabytes, "Memory for them")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  cmd->add_option("--batch", args.batch, "Pairs a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  cmd->add_option("--learning-rate", args.learning_rate, "Peak")->capture_default_str();
  cmd->add_option("--optimizer", args.optimizer, "adamw or muon")->capture_default_str();
  cmd->add_option("--hidden-channels", args.hidden_channels, "Width of the networks")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  cmd->add_option("--blocks", args.blocks, "Residual blocks of each network")
      ->capture_default_str()
      ->check(CLI::Range(0, 64));
  add_seed(cmd, args.seed, "Of weights, views and order");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  add_threads(cmd);
  cmd->add_flag("--json", args.json, "Print the result as JSON");
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
  CLI::App* check =
      action("check", "Decode every picture; exit code 2 if one is left out, which is named");
  input(check);
  check->add_flag("--json", args.json, "Print JSON");
  CLI::App* scenes = action("scenes", "Compose scenes of one to four cut-outs with exact captions");
  input(scenes);
  output(scenes);
  scenes->add_option("--count", args.count, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000000));
  scenes->add_option("--size", args.size_px, "Side in pixels")
      ->capture_default_str()
      ->check(CLI::Range(16, 4096));
  add_seed(scenes, args.seed, "Seed");
  scenes->add_option("--most", args.most_things, "Things in a scene, at most; fewer are larger")
      ->capture_default_str()
      ->check(CLI::Range(2, 4));
  scenes->add_flag("--heldout", args.heldout, "The held-out scenes instead of training scenes");
}

void add_control(CLI::App& app, ControlArgs& args) {
  CLI::App* control = app.add_subcommand("control", "Make the picture that a ControlNet expects");
  control->require_subcommand(1);
  const auto kind = [&](const char* name, const char* other, const char* what) {
    CLI::App* cmd = control->add_subcommand(name, what)->alias(other);
    cmd->callback([&args, name] { args.kind = name; });
    cmd->add_option("in", args.input, "Picture to look at: PNG, JPEG or WebP")->required();
    cmd->add_option("out", args.out, "PNG to write")->required();
    cmd->add_option("--size", args.size, "WIDTHxHEIGHT of it (default: the picture's own)");
    cmd->add_flag("-q,--quiet", args.quiet, "Do not print the name of the file");
    return cmd;
  };
  CLI::App* edges = kind("edges", "canny", "Canny's edges, white on black");
  edges->add_option("--low-threshold", args.low_threshold, "An edge goes on above this gradient")
      ->capture_default_str();
  edges->add_option("--high-threshold", args.high_threshold, "and begins above this one")
      ->capture_default_str();
  edges->add_flag("--l2-gradient", args.l2_gradient, "Euclidean length of the gradient");
  CLI::App* hed = kind("hed", "softedge", "Soft edges of objects, white on black");
  hed->add_option("--detect-resolution", args.detect_resolution,
                  "Shorter side in pixels that the network sees (default: 512)");
  hed->add_flag("--safe", args.safe, "Three levels only, so that no trace of the picture is left");
  hed->add_flag("--scribble", args.scribble, "Black and white lines of a few pixels");
  add_threads(hed);
  CLI::App* pose = kind("pose", "openpose", "People as OpenPose's coloured skeletons, on black");
  pose->add_option("--detect-resolution", args.detect_resolution,
                   "Side of the square that the network sees, a multiple of 32 (default: 192)");
  pose->add_option("--threshold", args.threshold, "Least score of a keypoint, 0 to 1")
      ->capture_default_str();
  pose->add_option("--people", args.people, "How many people at most")->capture_default_str();
  pose->add_option("--json", args.keypoints,
                   "Also write the keypoints into this file, as OpenPose");
  add_threads(pose);
}

void add_doctor(CLI::App& app, DoctorArgs& args) {
  CLI::App* cmd = app.add_subcommand("doctor", "Say what this machine and installation offer");
  cmd->add_flag("--json", args.json, "Print JSON");
}

void set_prompt(pipeline::RequestWords& request, const std::vector<std::string>& words) {
  if (words.empty()) return;
  std::vector<std::string>& prompt = request["prompt"];
  if (!prompt.empty()) throw bad_input("prompt", "words, or --prompt", "both");
  prompt = {joined_prompt(words)};
}

// What the program says of itself; for people and their shells.
struct SelfArgs {
  std::string shell;
};

void add_self(CLI::App& app, SelfArgs& args) {
  app.add_subcommand("completion", "Print a script by which a shell completes these words")
      ->add_option("shell", args.shell, "bash, zsh or fish")
      ->required();
  app.add_subcommand("man", "Print the manual page: pangu-draw man | man -l -");
}

int run(int argc, const char* const* argv) {
  CLI::App app("Pictures from Chinese and English prompts.", "pangu-draw");
  app.formatter(help_formatter());
  // Of a flag that is said twice the last counts, as in most programs: aliases and scripts add to
  // it.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.require_subcommand(1);
  app.set_version_flag("--version", "pangu-draw " PANGU_VERSION);
  SelfArgs self;
  DrawArgs draw;
  CoopArgs coop;
  TrainArgs train;
  TrainBridgeArgs train_bridge;
  PlanTrainingArgs plan_training;
  DataArgs data;
  EvalCommands eval;
  StudyTdtsArgs study_tdts;
  InspectArgs inspect;
  ConvertArgs convert;
  QuantizeArgs quantize;
  ControlArgs control;
  ServeArgs serve;
  WorkerArgs worker;
  DoctorArgs doctor;
  add_draw(app, draw);
  add_coop(app, coop);
  add_train(app, train, add_threads);
  add_train_bridge(app, train_bridge);
  add_plan_training(app, plan_training);
  add_data(app, data);
  add_eval(app, eval);
  add_study(app, study_tdts, add_threads);
  add_inspect(app, inspect);
  add_convert(app, convert);
  add_quantize(app, quantize, {add_threads, add_seed});
  add_control(app, control);
  add_serve(app, serve);
  add_worker(app, worker, serve);
  add_doctor(app, doctor);
  add_self(app, self);
  std::vector<std::string> words =
      with_brackets_kept(app, usual_words({argv + std::min(argc, 1), argv + argc}));
  const std::string refusal = refusal_of_first_word(app, words);
  if (!refusal.empty()) return fail(refusal, kBadFlagExit);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(refusal_of(app, error), kBadFlagExit);
  }
  if (!coop.from.empty() && !coop.recipe.empty() && !coop.recipe.ends_with(".toml")) {
    coop.prompt.insert(coop.prompt.begin(), std::exchange(coop.recipe, ""));
  }
  set_prompt(draw.request, draw.prompt);
  set_prompt(coop.request, coop.prompt);
  const std::string name = app.get_subcommands().front()->get_name();
  if (name == "completion") {
    std::cout << completion_script(app, values_of_flags(), self.shell);
    return 0;
  }
  if (name == "man") {
    std::cout << manual_page(app, PANGU_VERSION);
    return 0;
  }
  if (name == "draw") return run_draw(draw);
  if (name == "coop") return run_coop(coop);
  if (name == "train" && train.keys) return run_late(kTraining, "pangu_training_keys");
  if (name == "train") return run_late(kTraining, "pangu_train", train);
  if (name == "train-bridge") {
    return run_late(kTraining, "pangu_train_bridge", train_bridge);
  }
  if (name == "plan-training") return run_late(kTraining, "pangu_plan_training", plan_training);
  if (name == "data") return run_data(data);
  if (name == "eval") return run_eval_command(app, eval);
  if (name == "study") return run_late(kTraining, "pangu_study_tdts", study_tdts);
  if (name == "inspect") return run_inspect(inspect);
  if (name == "convert") return run_convert(convert);
  if (name == "quantize") return run_quantize(quantize);
  if (name == "control") return run_control(control);
  if (name == "serve") return run_late(kServer, "pangu_serve", serve);
  if (name == "worker") return run_worker_of(app, worker, serve);
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
  } catch (const Stopped& stopped) {
    std::cerr << "pangu-draw: " << stopped.what() << "\n";
    return kStoppedExit;
  } catch (const std::bad_alloc&) {
    return fail("out of memory. Hint: a smaller --size, --count or batch", out_of_memory);
  } catch (const c10::Error& error) {
    // libtorch has no type of its own for a failed allocation on the processor.
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("can't allocate memory") != std::string::npos ||
                        what.find("out of memory") != std::string::npos;
    return fail("libtorch: " + what, memory ? out_of_memory : our_mistake);
  } catch (const std::filesystem::filesystem_error& error) {  // a path of too many characters, say
    return fail(error.what(), exit_code(ErrorCode::kIo));
  } catch (const std::exception& error) {
    return fail(std::string("internal: ") + error.what(), our_mistake);
  }
}

}  // namespace pangu::app
