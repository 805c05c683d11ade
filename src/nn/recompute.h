// Parts of a network that are computed twice in a training, so that what lies inside of them takes
// no memory meanwhile (activation checkpointing, Chen et al. 2016).
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace pangu::nn {

using NetworkPart = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Returns part(inputs). Of its insides nothing is kept: the part runs again when the gradient of
// the result is known. It must compute the same both times, and must outlive the gradient.
// Gradients go to the inputs and to every parameter that the part uses. REQUIRES:
// defined inputs. Where no gradient is asked for, the part runs once.
at::Tensor recomputed(const NetworkPart& part, const std::vector<at::Tensor>& inputs);

}  // namespace pangu::nn
