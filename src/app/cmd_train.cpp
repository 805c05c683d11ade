// `pangu-draw train`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_train(const TrainArgs&) {
  throw Error(ErrorCode::kUnavailable, "train: this build has no such room yet");
}

}  // namespace pangu::app
