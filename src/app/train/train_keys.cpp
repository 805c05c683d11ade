// `pangu-draw train --keys`: the table of configuration keys, as docs/training.md has it.
#include <iostream>

#include "app/commands.h"
#include "train/config.h"

namespace pangu::app {

int print_training_keys() {
  DocFieldWriter writer;
  train::TrainConfig defaults;
  defaults.visit_fields(writer);
  std::cout << writer.table;
  return 0;
}

}  // namespace pangu::app
