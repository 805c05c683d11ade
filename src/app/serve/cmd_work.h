// `pangu-draw worker` that no server started: it draws the jobs of a shared queue.
#pragma once
#include "app/commands.h"

namespace pangu::app {

// Returns the exit code; throws pangu::Error.
int run_work(const ServeArgs& args);

}  // namespace pangu::app
