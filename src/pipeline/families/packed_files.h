// Packed weights of denoisers (nn/packed_tensors.h), kept in files of a folder from one process to
// the next: a file is mapped, so that a network is there at once and programs that run side by side
// share its memory. Nothing but time depends on it: a file that is missing, damaged or of other
// weights is made anew.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "core/watch.h"
#include "nn/packed_weight.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"

namespace pangu::pipeline {

// The file in `folder` for a component, which is in it by the contents of its weights and its
// configuration, `dtype` and what packing makes of weights on this machine. Empty if there is no
// folder, for a component that is packed in less time than it takes to look for a file, and without
// kernels of our own.
std::string packed_file_of(const std::string& folder, const Component& component,
                           at::ScalarType dtype);

// Gives a network, made without initialisation, the weights of the file. Returns false if there is
// no such file, or if it does not fit, with nothing of use in the network.
bool read_packed_file(torch::nn::Module& network, const std::string& path, at::ScalarType dtype);

// Writes a network's file while others read the network, and removes the files of the folder that
// were used longest ago where all of them take more than 24 GiB. A file that cannot be written is
// no error.
class PackedFileWriter {
 public:
  // path: of packed_file_of. Nothing is written if it is empty, or if the file would take more than
  // half of what is free on the disk.
  PackedFileWriter(std::shared_ptr<const torch::nn::Module> network, std::string path);
  ~PackedFileWriter();  // waits until the file is whole

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace pangu::pipeline
