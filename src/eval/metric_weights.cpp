#include "eval/metric_weights.h"

#include <torch/types.h>

#include "core/error.h"
#include "io/file_hash.h"
#include "io/python/pytorch_file.h"
#include "io/weights_file.h"

namespace pangu::eval {

MetricWeights open_metric_weights(const std::string& path, const std::string& what) {
  MetricWeights weights{path, "", {}, false};
  try {
    bool is_pytorch = false;
    {
      const io::MappedFile file(path);
      is_pytorch = io::looks_like_pytorch(file.bytes());
    }
    if (is_pytorch) {
      const io::PytorchFile file = io::PytorchFile::open(path);
      weights.tensors = tensors::copied(file.tensors());
      weights.is_script = file.is_script();
    } else {
      weights.tensors = tensors::copied(io::WeightsFile::open(path).tensors());
    }
  } catch (const Error& error) {
    throw while_doing("reading " + what, error);
  }
  if (weights.tensors.empty()) throw bad_input(what + " '" + path + "'", "tensors", "none");
  weights.sha256 = io::sha256_of_file(path);
  return weights;
}

nn::TensorShapes shapes_of(const nn::TensorMap& tensors) {
  nn::TensorShapes shapes;
  for (const auto& [name, tensor] : tensors) shapes[name] = tensor.sizes().vec();
  return shapes;
}

}  // namespace pangu::eval
