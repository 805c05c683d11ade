// A server as a whole: store, queue, workers and HTTP on one event loop, until a signal. With a
// store that several processes share, a server takes requests and other processes draw.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "serve/config.h"

namespace pangu::serve {

struct ServeSetup {
  ServeConfig config;
  std::string version;
  std::string page;                 // file of the page, unless the configuration names one
  std::vector<std::string> worker;  // the command of a worker process
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& address)> listening;  // told once connections are accepted
};

// Serves until SIGINT or SIGTERM; then running jobs are stopped, and wait for the next start. A
// second signal ends the process at once. Error kBadInput for a configuration that cannot be, kIo
// if the folder cannot be written or another server uses it, kUnavailable if the port is taken.
void serve(const ServeSetup& setup);

// Draws the jobs of a queue that several processes share, with the workers of this machine, until
// SIGINT or SIGTERM; then it ends its running jobs first. A second signal ends the process at once:
// the jobs are drawn elsewhere. `listening` is told nothing once it works. Errors as of serve();
// kBadInput for a queue that is not shared.
void work(const ServeSetup& setup);

}  // namespace pangu::serve
