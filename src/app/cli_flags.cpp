#include "app/cli_flags.h"

#include "app/threads.h"

namespace pangu::app {

CLI::Option* add_seed(CLI::App* cmd, uint64_t& seed, const char* what) {
  return cmd->add_option("--seed", seed, what)
      ->capture_default_str()
      ->check([](const std::string& word) {
        const bool digits = word.find_first_not_of("0123456789") == std::string::npos;
        return digits ? "" : "expected a whole number of 0 or more, found '" + word + "'";
      });
}

void add_threads(CLI::App* cmd) {
  cmd->add_option_function<int>("--threads", use_threads, "Threads (0: one a core)")
      ->check(CLI::NonNegativeNumber)
      ->default_str("0");
}

}  // namespace pangu::app
