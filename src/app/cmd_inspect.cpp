// `pangu-draw inspect`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_inspect(const InspectArgs&) {
  throw Error(ErrorCode::kUnavailable, "inspect: this build has no such room yet");
}

}  // namespace pangu::app
