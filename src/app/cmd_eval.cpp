// `pangu-draw eval`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_eval(const EvalArgs&) {
  throw Error(ErrorCode::kUnavailable, "eval: this build has no such room yet");
}

}  // namespace pangu::app
