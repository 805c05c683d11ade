// `pangu-draw serve`: flags to a configuration, then serve/serve.h.
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/home.h"
#include "core/error.h"
#include "serve/serve.h"

namespace pangu::app {

int run_serve(const ServeArgs& args) {
  serve::ServeSetup setup;
  setup.config = serve::serve_config(args.config, args.sets);
  setup.version = PANGU_VERSION;
  setup.page = (home() / "web" / "dist" / "index.html").string();
  setup.worker = {std::filesystem::read_symlink("/proc/self/exe").string(), "worker"};
  setup.log = [](const std::string& line) { std::cerr << "pangu-draw: " << line << "\n"; };
  setup.listening = [](const std::string& address) {
    std::cout << "pangu-draw serves at " << address << "\n" << std::flush;
  };
  serve::serve(setup);
  return 0;
}

}  // namespace pangu::app
