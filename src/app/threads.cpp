#include "app/threads.h"

#include <ATen/Parallel.h>

namespace pangu::app {

void use_threads(int count) {
  if (count > 0) at::set_num_threads(count);
}

}  // namespace pangu::app
