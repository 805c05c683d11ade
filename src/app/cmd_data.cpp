// `pangu-draw data`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_data(const DataArgs&) {
  throw Error(ErrorCode::kUnavailable, "data: this build has no such room yet");
}

}  // namespace pangu::app
