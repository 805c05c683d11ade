#include "app/cli_train.h"

#include <nlohmann/json.hpp>

namespace pangu::app {
namespace {

// A flag that is a key of the configuration by a shorter name: what --set would say.
template <class Value>
void add_key_flag(CLI::App* cmd, TrainArgs& args, const char* flag, const char* key,
                  const char* what) {
  cmd->add_option_function<Value>(
         flag,
         [&args, key](const Value& value) {
           args.sets.push_back(std::string(key) + "=" + nlohmann::json(value).dump());
         },
         what)
      ->allow_extra_args(false);
}

}  // namespace

void add_train(CLI::App& app, TrainArgs& args, void (*add_threads)(CLI::App* command)) {
  CLI::App* cmd = app.add_subcommand(
      "train", "Fine-tune a model on pictures, or train one as a TOML file says");
  cmd->add_option("config", args.config, "TOML configuration");
  cmd->add_option("--finetune,--model", args.finetune,
                  "Model to go on from: any that draws from text; needs --data and --out, and no "
                  "TOML file");
  cmd->add_flag("--lora", args.lora, "Train a LoRA of --model: its weights stay as they are");
  // Ahead of the flags that are keys: it sets the list that they add to.
  cmd->add_option("--set", args.sets, "key=value, over all other settings (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_flag_callback(
      "--controlnet", [&args] { args.sets.push_back("network_module=\"controlnet\""); },
      "Train a ControlNet for --model, which begins as a copy of its network");
  add_key_flag<std::string>(cmd, args, "--control", "control",
                            "Control pictures that are made of the pictures: canny");
  add_key_flag<std::vector<std::string>>(cmd, args, "--conditioning-data", "conditioning_data_dir",
                                         "Folder of control pictures, named as the pictures are");
  add_key_flag<std::string>(cmd, args, "--expert", "expert",
                            "structure or texture: one expert of the model, or one half of the "
                            "timesteps of a model that has one denoiser");
  cmd->add_option("--rank", args.rank, "Rank of the LoRA (default: 16)")
      ->check(CLI::Range(1, 1024))
      ->needs("--lora");
  cmd->add_option("--data", args.data, "Folder of pictures with captions (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option(
      "--out", args.out,
      "Folder for the model, which `draw --model` opens, or a .safetensors file for it, which "
      "other programs open too; with --lora a .safetensors file");
  cmd->add_option("--steps", args.steps,
                  "Steps of each expert (default: the file's, or 400 of our own models, or 1000)")
      ->check(CLI::PositiveNumber);
  cmd->add_option("--write-config", args.write_config,
                  "Write what would be trained as a TOML file, and stop");
  cmd->add_option("--minutes", args.minutes, "Stop after this long, with a checkpoint");
  cmd->add_option("--device", args.device, "cpu or cuda (default: the file's)");
  add_threads(cmd);
  CLI::Option* nproc = cmd->add_option(
      "--nproc", args.processes, "Processes of this machine that train together (default: 1)");
  nproc->check(CLI::Range(1, 1024));
  cmd->add_option("--max-restarts", args.max_restarts,
                  "Start all of --nproc again from the last checkpoint, so often, if one fails")
      ->check(CLI::Range(0, 1000))
      ->needs(nproc);
  cmd->add_option("--join-timeout", args.join_timeout_s,
                  "Seconds until all processes that train together must have come")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e6));
  CLI::Option* exported = cmd->add_option("--export-state", args.export_state,
                                          "Write the run's state into this folder, and stop");
  cmd->add_option("--import-state", args.import_state, "Read it back into output_dir, and stop")
      ->excludes(exported);
  cmd->add_option("--piece-mb", args.piece_megabytes, "Most that a file of --export-state has")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  cmd->add_flag("--fresh", args.fresh, "Begin anew, do not resume from the last checkpoint");
  cmd->add_flag("--keys", args.keys, "Print the table of configuration keys");
  cmd->add_flag("--dry-run", args.dry_run, "Check settings, data, device and disk, train nothing");
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

}  // namespace pangu::app
