// How many threads the process computes with: the one place that changes it.
#pragma once

namespace pangu::app {

// 0: as many as libtorch takes by itself, one a core. REQUIRES: nothing has been computed yet.
void use_threads(int count);

}  // namespace pangu::app
