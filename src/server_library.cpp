// What the program looks up in the library libpangu_server.so (app/late_library.h): the commands of
// the server and of its workers.
#include "app/commands.h"
#include "app/serve/cmd_work.h"

#define PANGU_EXPORT extern "C" __attribute__((visibility("default")))

PANGU_EXPORT int pangu_serve(const pangu::app::ServeArgs& args) {
  return pangu::app::run_serve(args);
}

PANGU_EXPORT int pangu_worker(const pangu::app::WorkerArgs& args) {
  return pangu::app::run_worker(args);
}

PANGU_EXPORT int pangu_work(const pangu::app::ServeArgs& args) {
  return pangu::app::run_work(args);
}
