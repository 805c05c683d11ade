// `pangu-draw serve` and `pangu-draw worker`: flags to a configuration, then serve/serve.h.
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/home.h"
#include "app/serve/cmd_work.h"
#include "core/error.h"
#include "serve/serve.h"
#include "serve/worker_pool.h"

namespace pangu::app {

namespace {

serve::ServeSetup serve_setup(const ServeArgs& args) {
  serve::ServeSetup setup;
  setup.config = serve::serve_config(args.config, args.sets);
  setup.version = PANGU_VERSION;
  setup.page = (home() / "web" / "dist" / "index.html").string();
  setup.worker = {std::filesystem::read_symlink("/proc/self/exe").string(), "worker", "--socket",
                  std::to_string(serve::kWorkerSocket)};
  setup.log = [](const std::string& line) { std::cerr << "pangu-draw: " << line << "\n"; };
  return setup;
}

}  // namespace

int run_serve(const ServeArgs& args) {
  serve::ServeSetup setup = serve_setup(args);
  setup.listening = [](const std::string& address) {
    std::cout << "pangu-draw serves at " << address << "\n" << std::flush;
  };
  serve::serve(setup);
  return 0;
}

int run_work(const ServeArgs& args) {
  serve::ServeSetup setup = serve_setup(args);
  setup.listening = [](const std::string&) {
    std::cout << "pangu-draw draws the jobs of the queue\n" << std::flush;
  };
  serve::work(setup);
  return 0;
}

}  // namespace pangu::app
