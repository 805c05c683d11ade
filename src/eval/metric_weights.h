// Files of weights of the networks by which the field measures, as people have them: .pth, .pt,
// .bin of PyTorch and .safetensors. Nothing is fetched: whoever measures has the file, and its
// SHA-256 says which it is.
#pragma once
#include <string>

#include "nn/weights.h"

namespace pangu::eval {

struct MetricWeights {
  std::string path, sha256;
  nn::TensorMap tensors;
  bool is_script = false;  // a program of TorchScript
};

// Error kIo if it cannot be read, kBadInput, which names the flag `what`, if it holds no tensors.
MetricWeights open_metric_weights(const std::string& path, const std::string& what);

nn::TensorShapes shapes_of(const nn::TensorMap& tensors);

// The file that pytorch-fid calls pt_inception-2015-12-05-6726825d.pth and torch-fidelity
// weights-inception-2015-12-05-6726825d.pth: by PyTorch's custom the name ends with the beginning
// of the file's SHA-256.
inline constexpr const char* kFidWeightsBegin = "6726825d";

}  // namespace pangu::eval
