#include "app/cli_serve.h"

#include <nlohmann/json.hpp>

namespace pangu::app {

void add_serve(CLI::App& app, ServeArgs& args) {
  CLI::App* cmd = app.add_subcommand("serve", "Serve a web page and an HTTP API that draw");
  cmd->footer("Example: pangu-draw serve --port 7860 --data my_server");
  cmd->add_option("--config", args.config, "TOML file; docs/server.md lists its keys");
  // A flag is a key of the file; a text is written as TOML does.
  const auto text = [&](const char* flag, const char* key, const char* help) {
    return cmd->add_option_function<std::string>(
        flag,
        [&args, key](const std::string& value) {
          args.sets.push_back(std::string(key) + "=" + nlohmann::json(value).dump());
        },
        help);
  };
  const auto number = [&](const char* flag, const char* key, const char* help) {
    return cmd->add_option_function<int64_t>(
        flag,
        [&args, key](int64_t value) {
          args.sets.push_back(std::string(key) + "=" + std::to_string(value));
        },
        help);
  };
  const auto folders = [&](const char* flag, const char* key, const char* help) {
    return cmd
        ->add_option_function<std::vector<std::string>>(
            flag,
            [&args, key](const std::vector<std::string>& values) {
              args.sets.push_back(std::string(key) + "=" + nlohmann::json(values).dump());
            },
            help)
        ->allow_extra_args(false);
  };
  text("--host", "host", "Address to listen on")->default_str("127.0.0.1");
  number("--port", "port", "Port; 0: any free one")->default_str("7860");
  text("--data", "data", "Folder of the queue and its pictures")->default_str("pangu-serve");
  text("--api-key-file", "api_key_file", "File of keys, a line NAME KEY or NAME KEY admin each");
  number("--workers", "workers", "Processes that draw")->default_str("1");
  folders("--models", "models", "Folder of models (may be repeated)");
  folders("--loras", "loras", "Folder of LoRAs (may be repeated)");
  folders("--controlnets", "controlnets", "Folder of ControlNets (may be repeated)");
  folders("--embeddings", "embeddings", "Folder of textual inversions (may be repeated)");
  folders("--upscalers", "upscalers", "Folder of ESRGAN upscalers (may be repeated)");
  text("--default-model", "default_model", "Model of requests that name none")
      ->default_str("mini, the embedded model");
  text("--device", "device", "cpu or cuda")->default_str("cpu");
  text("--dtype", "dtype", "f32 or bf16")->default_str("the faster one here");
  number("--threads", "threads", "Threads of a worker (0: the cores shared out)")->default_str("0");
  // Not bound to the list itself, which CLI11 would empty first.
  cmd->add_option_function<std::vector<std::string>>(
         "--set",
         [&args](const std::vector<std::string>& values) {
           args.sets.insert(args.sets.end(), values.begin(), values.end());
         },
         "KEY=VALUE of the file (may be repeated)")
      ->allow_extra_args(false);
}

void add_worker(CLI::App& app, WorkerArgs& args) {
  CLI::App* cmd = app.add_subcommand("worker", "Draw for a server, which starts this by itself");
  cmd->add_option("--socket", args.socket, "Number of the open socket to the server")
      ->capture_default_str();
}

}  // namespace pangu::app
