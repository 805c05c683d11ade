// A network with packed weights (nn/packed_weight.h) as tensors by name, and back, so that packing
// can be kept in a file. Where and for how long is for others to say.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "nn/packed_weight.h"
#include "nn/weights.h"

namespace pangu::nn {

// Parameters and buffers under their own names, "LAYER.weight:ORDER" for a packed weight in each of
// its orders. They share memory with the network. REQUIRES: no layer in int8.
TensorMap packed_tensors(const torch::nn::Module& network);

// Makes such tensors the weights of a network of the same shapes, made without initialisation;
// `dtype` and `packing` are those of the network that they come from. A packed weight stays a view
// of what is given. Returns false, with a part of it loaded, where they are not what this network
// would be packed to on this machine.
bool assign_packed(torch::nn::Module& network, TensorMap tensors, at::ScalarType dtype,
                   Packing packing);

// Tells apart what packing makes of weights: 16 hexadecimal digits, of what it makes of some here
// and now. They change with the processor's level, with PANGU_KERNELS and with the kernels.
std::string packing_mark(Packing packing);

}  // namespace pangu::nn
