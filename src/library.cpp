// What the program looks up in the library libpangu_draw.so: the one name that it exports.
#include <iostream>

#include "app/cli.h"
#include "tensors/large_blocks.h"

extern "C" __attribute__((visibility("default"))) int pangu_run(int argc, const char* const* argv) {
  pangu::tensors::keep_large_blocks();
  const int code = pangu::app::run_cli(argc, argv);
  // The program ends without destructors (main.cpp).
  for (std::ostream* stream : {&std::cout, &std::cerr, &std::clog}) stream->flush();
  return code;
}
