// What the program looks up in the library libpangu_draw.so: the one name that it exports.
#include "app/cli.h"
#include "app/large_blocks.h"

namespace {

constexpr size_t kMostKept = size_t{512} << 20;  // bytes of freed tensors

}  // namespace

extern "C" __attribute__((visibility("default"))) int pangu_run(int argc, const char* const* argv) {
  pangu::app::keep_large_blocks(kMostKept);
  return pangu::app::run_cli(argc, argv);
}
