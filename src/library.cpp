// What the program looks up in the library libpangu_draw.so: the one name that it exports.
#include "app/cli.h"

extern "C" __attribute__((visibility("default"))) int pangu_run(int argc, const char* const* argv) {
  return pangu::app::run_cli(argc, argv);
}
