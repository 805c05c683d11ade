// Answers questions about the names and shapes of a checkpoint: whether a tensor is there, how
// large it is, how many entries a list has. Errors name the network and the tensor. It knows no
// architecture.
#pragma once
#include <algorithm>
#include <charconv>
#include <string>

#include "core/error.h"
#include "nn/weights.h"

namespace pangu::nn {

class ShapeReader {
 public:
  // `what` names the network in messages; `shapes` must outlive the reader.
  ShapeReader(std::string what, const TensorShapes& shapes)
      : what_(std::move(what)), shapes_(shapes) {}

  bool has(const std::string& name) const { return shapes_.contains(name); }

  // Whether any tensor's name begins with the prefix.
  bool has_prefix(const std::string& prefix) const {
    const auto it = shapes_.lower_bound(prefix);
    return it != shapes_.end() && it->first.starts_with(prefix);
  }

  // Throws kBadInput when the tensor is missing.
  size_t dims(const std::string& name) const { return find(name).size(); }

  // Returns size number `at` of a tensor with `dims` dimensions. Throws kBadInput when the tensor
  // is missing, has another number of dimensions, or a size there that is not plausible.
  int64_t size(const std::string& name, size_t dims, size_t at) const {
    const std::vector<int64_t>& shape = find(name);
    if (shape.size() != dims) {
      throw bad_input(what_ + ", tensor '" + name + "'", std::to_string(dims) + " dimensions",
                      std::to_string(shape.size()));
    }
    constexpr int64_t kLikely = int64_t{1} << 24;  // more than any vocabulary has rows
    if (shape[at] < 1 || shape[at] > kLikely) {
      throw bad_input(what_ + ", tensor '" + name + "'", "sizes of 1.." + std::to_string(kLikely),
                      std::to_string(shape[at]));
    }
    return shape[at];
  }

  // Returns how many children a list has: 1 + the greatest N of names that begin "PREFIXN.", or 0.
  // Throws kBadInput when one in between is missing.
  int64_t count(const std::string& prefix) const {
    int64_t found = 0;
    while (has_prefix(prefix + std::to_string(found) + ".")) ++found;
    for (auto it = shapes_.lower_bound(prefix);
         it != shapes_.end() && it->first.starts_with(prefix); ++it) {
      const char* begin = it->first.c_str() + prefix.size();
      int64_t index = -1;
      const auto [end, problem] =
          std::from_chars(begin, it->first.c_str() + it->first.size(), index);
      if (problem != std::errc() || *end != '.' || index >= found) {
        throw bad_input(what_, "tensors '" + prefix + "N.' with N from 0 without a gap",
                        "'" + it->first + "'");
      }
    }
    return found;
  }

 private:
  const std::vector<int64_t>& find(const std::string& name) const {
    const auto it = shapes_.find(name);
    if (it == shapes_.end()) throw bad_input(what_, "a tensor '" + name + "'", "none");
    return it->second;
  }

  std::string what_;
  const TensorShapes& shapes_;
};

}  // namespace pangu::nn
