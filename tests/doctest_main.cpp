// The one main() of every doctest executable, and the paths of core/testing.h.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/testing.h"

namespace pangu {

const char* const kSourceDir = PANGU_SOURCE_DIR;
const char* const kReferencePython = PANGU_PYTHON;

}  // namespace pangu
