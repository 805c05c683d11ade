// `pangu-draw doctor`.
#include "app/commands.h"
#include "core/error.h"

namespace pangu::app {

int run_doctor(const DoctorArgs&) {
  throw Error(ErrorCode::kUnavailable, "doctor: this build has no such room yet");
}

}  // namespace pangu::app
