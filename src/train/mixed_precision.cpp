#include "train/mixed_precision.h"

#include "core/processor.h"

namespace pangu::train {

std::string fastest_mixed_precision(const std::string& device) {
  return device != "cpu" || processor_multiplies_bf16() ? "bf16" : "no";
}

}  // namespace pangu::train
