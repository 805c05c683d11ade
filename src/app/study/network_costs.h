// The networks of strategies as callables of their cost: configurations in, operations out. No
// weight is made.
#pragma once
#include <cstdint>

#include "train/strategy_cost.h"

namespace pangu::app {

// Fills in the networks' part of the sources; context_length: tokens of a caption. Error kBadInput
// naming a network's configuration that cannot be read, when it is first asked for.
void add_network_costs(int64_t context_length, train::CostSources& sources_);

}  // namespace pangu::app
