#include "app/cli_serve.h"

#include <nlohmann/json.hpp>

#include "app/late_library.h"

namespace pangu::app {

namespace {

// Flags that are keys of the file; a text is written as TOML does.
struct KeyFlags {
  CLI::App* cmd;
  ServeArgs& args;

  CLI::Option* text(const char* flag, const char* key, const char* help) const {
    return cmd->add_option_function<std::string>(
        flag,
        [&args = args, key](const std::string& value) {
          args.sets.push_back(std::string(key) + "=" + nlohmann::json(value).dump());
        },
        help);
  }
  CLI::Option* number(const char* flag, const char* key, const char* help) const {
    return cmd->add_option_function<int64_t>(
        flag,
        [&args = args, key](int64_t value) {
          args.sets.push_back(std::string(key) + "=" + std::to_string(value));
        },
        help);
  }
  void folders(const char* flag, const char* key, const char* help) const {
    cmd->add_option_function<std::vector<std::string>>(
           flag,
           [&args = args, key](const std::vector<std::string>& values) {
             args.sets.push_back(std::string(key) + "=" + nlohmann::json(values).dump());
           },
           help)
        ->allow_extra_args(false);
  }
};

// What every process of a server may be told.
void add_shared_flags(const KeyFlags& flags) {
  flags.cmd->add_option("--config", flags.args.config, "TOML file; docs/server.md lists its keys");
  flags.text("--queue", "queue_url", "sqlite:FILE, or postgres://USER@HOST/DATABASE");
  flags.text("--pictures", "pictures_url", "Folder of the pictures, or s3://BUCKET/PREFIX");
  flags.number("--workers", "workers", "Processes that draw")->default_str("1");
  flags.folders("--models", "models", "Folder of models (may be repeated)");
  flags.folders("--loras", "loras", "Folder of LoRAs (may be repeated)");
  flags.folders("--controlnets", "controlnets", "Folder of ControlNets (may be repeated)");
  flags.folders("--embeddings", "embeddings", "Folder of textual inversions (may be repeated)");
  flags.folders("--upscalers", "upscalers", "Folder of ESRGAN upscalers (may be repeated)");
  flags.text("--default-model", "default_model", "Model of requests that name none")
      ->default_str("mini, the embedded model");
  flags.text("--device", "device", "cpu or cuda")->default_str("cpu");
  flags.text("--dtype", "dtype", "f32 or bf16")->default_str("the faster one here");
  flags.number("--threads", "threads", "Threads of a worker (0: the cores shared out)")
      ->default_str("0");
  // Not bound to the list itself, which CLI11 would empty first.
  flags.cmd
      ->add_option_function<std::vector<std::string>>(
          "--set",
          [&args = flags.args](const std::vector<std::string>& values) {
            args.sets.insert(args.sets.end(), values.begin(), values.end());
          },
          "KEY=VALUE of the file (may be repeated)")
      ->allow_extra_args(false);
}

}  // namespace

void add_serve(CLI::App& app, ServeArgs& args) {
  CLI::App* cmd = app.add_subcommand("serve", "Serve a web page and an HTTP API that draw");
  cmd->footer("Example: pangu-draw serve --port 7860 --data my_server");
  const KeyFlags flags{cmd, args};
  flags.text("--host", "host", "Address to listen on")->default_str("127.0.0.1");
  flags.number("--port", "port", "Port; 0: any free one")->default_str("7860");
  flags.text("--data", "data", "Folder of the queue and its pictures")->default_str("pangu-serve");
  flags.text("--api-key-file", "api_key_file",
             "File of keys, a line NAME KEY or NAME KEY admin each");
  add_shared_flags(flags);
}

void add_worker(CLI::App& app, WorkerArgs& args, ServeArgs& node) {
  CLI::App* cmd =
      app.add_subcommand("worker", "Draw the jobs of servers that share a queue in PostgreSQL");
  cmd->footer("Example: pangu-draw worker --queue postgres://draw@db/draw --pictures s3://draw");
  cmd->add_option("--socket", args.socket,
                  "Open file that leads to the server which started this worker by itself");
  add_shared_flags({cmd, node});
}

int run_worker_of(const CLI::App& app, const WorkerArgs& args, const ServeArgs& node) {
  if (app.get_subcommand("worker")->count("--socket") > 0) {
    return run_late(kServer, "pangu_worker", args);
  }
  return run_late(kServer, "pangu_work", node);
}

}  // namespace pangu::app
