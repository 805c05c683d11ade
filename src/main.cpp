// The program `pangu-draw`: everything is in app/.
#include "app/cli.h"
#if PANGU_MIMALLOC
#include <mimalloc.h>
#endif

int main(int argc, char** argv) {
#if PANGU_MIMALLOC
  // Activations are freed and asked for again every step: giving their pages back to the system and
  // faulting them in again costs a third of a training step.
#if MI_MALLOC_VERSION < 210
  mi_option_disable(mi_option_allow_decommit);
#else
  mi_option_set(mi_option_purge_delay, -1);
#endif
#endif
  return pangu::app::run_cli(argc, argv);
}
