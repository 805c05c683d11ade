// The tensors of files that torch.save and TorchScript wrote (.pth, .pt, .bin, .ckpt), as views of
// the mapped bytes: zip archives, and the older form before PyTorch 1.6. No code of the file is run
// (io/python/pickle.h). Format: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace pangu::io {

// Whether bytes begin as such a file does.
bool looks_like_pytorch(std::span<const std::byte> bytes);

// Movable; the views live as long as it.
class PytorchFile {
 public:
  // Error kIo if it cannot be read; kBadInput if it is no such file, damaged, or holds tensors of a
  // kind that is not read (sparse, quantised).
  static PytorchFile open(const std::string& path);

  // Names of nested dicts and modules are joined by dots. Of a dict with "state_dict" that is
  // meant.
  const TensorViews& tensors() const { return tensors_; }
  // A program of TorchScript, as OpenAI distributes CLIP.
  bool is_script() const { return is_script_; }

 private:
  explicit PytorchFile(MappedFile file) : file_(std::move(file)) {}
  MappedFile file_;
  std::deque<std::vector<std::byte>> copies_;  // of tensors that are not contiguous in the file
  TensorViews tensors_;
  bool is_script_ = false;
};

// The same of bytes in memory, which the views point into, but for copies that `copies_` takes.
struct PytorchContent {
  TensorViews tensors;
  bool is_script = false;
};
PytorchContent parse_pytorch(std::span<const std::byte> bytes, const std::string& name,
                             std::deque<std::vector<std::byte>>& copies_);

}  // namespace pangu::io
