// Tensors by key that are slow to compute and never change, in a series of safetensors files of
// bounded size, PREFIX-HASH.safetensors in one folder. The files are mapped, not read: a training
// takes memory for the batches that it has at hand, not for its data. A key says what a tensor was
// made of (a hash of the caption, or of the picture and its size), `maker` what it was made with.
// Files appear whole (io/atomic_file.h), and several processes may write beside each other.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/mapped_file.h"

namespace pangu::train {

// A tensor in memory, or where it lies in a mapped file, which it shares with the other tensors of
// that file: the mapping ends with the last of them. Immutable, safe to read from several threads.
class KeptTensor {
 public:
  KeptTensor() = default;
  KeptTensor(at::Tensor tensor);  // NOLINT: a tensor in memory is one that is kept

  bool defined() const { return tensor_.defined() || file_ != nullptr; }
  // The tensor in memory, or a copy out of the file, whose pages are let go of afterwards.
  // REQUIRES: defined().
  at::Tensor load() const;

  at::IntArrayRef sizes() const;
  int64_t size(int64_t axis) const { return sizes()[static_cast<size_t>(axis)]; }
  at::ScalarType scalar_type() const;

 private:
  friend class TensorShards;
  struct Form {
    std::vector<int64_t> sizes;
    at::ScalarType type;
    uint64_t size_bytes = 0;
    bool operator<(const Form& other) const {
      return std::tie(sizes, type) < std::tie(other.sizes, other.type);
    }
  };
  at::Tensor tensor_;
  std::shared_ptr<const io::MappedFile> file_;
  std::shared_ptr<const Form> form_;  // one for all tensors of that shape
  uint64_t offset_ = 0;               // in the file
};

// Not thread-safe.
class TensorShards {
 public:
  // What could not be made of a picture, and why.
  struct Skipped {
    std::string name, reason;
  };

  // Opens what is in `folder`, also PREFIX.safetensors, which earlier versions wrote. Files of
  // another maker, or damaged, count as absent. Of an empty folder everything stays in memory.
  TensorShards(std::string folder, std::string prefix, std::string maker);

  // Opens files that others have written since.
  void refresh();

  KeptTensor find(const std::string& key) const;  // undefined if it is not there
  bool has(const std::string& key) const { return tensors_.count(key) > 0; }
  const Skipped* skipped(const std::string& key) const;  // null if it was not skipped

  // Held in memory until write(), which is called by itself when they are many (kMostBytes).
  void put(const std::string& key, const at::Tensor& tensor);
  void skip(const std::string& key, Skipped why);
  // Writes a file of what was put since, if anything was. Errors kIo.
  void write();

  static constexpr uint64_t kMostBytes = uint64_t{256} << 20;  // of a file, about

 private:
  void open(const std::string& path);

  std::string folder_, prefix_, maker_;
  std::unordered_map<std::string, KeptTensor> tensors_;
  std::unordered_map<std::string, Skipped> skipped_;
  std::unordered_set<std::string> opened_;  // files, those of other makers too
  std::map<KeptTensor::Form, std::shared_ptr<const KeptTensor::Form>> forms_;
  // What was put since the last file.
  std::map<std::string, at::Tensor> new_tensors_;
  std::map<std::string, Skipped> new_skipped_;
  uint64_t new_bytes_ = 0;
};

}  // namespace pangu::train
