// `pangu-draw draw`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_draw(const DrawArgs&) {
  throw Error(ErrorCode::kUnavailable, "draw: this build has no such room yet");
}

}  // namespace pangu::app
