// Python's pickles as plain data. Nothing of Python is run: a call that a pickle asks for becomes a
// node with the name of what is called and its arguments, so a file can do no harm whoever made it.
// Format: CPython's pickletools, protocols 0 to 5 without their opcodes for text lines and sets.
// What the calls mean is io/python/pytorch_file.h's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::io {

enum class PickleKind {
  kNone,
  kNumber,      // integers and truth values; floats have no meaning for tensors and are 0
  kText,        // text or bytes
  kList,        // lists, tuples and sets: items
  kDict,        // items: key, value, key, value, ...
  kGlobal,      // text: "module.name"
  kPersistent,  // item: the id that stands for something outside of the pickle
  kCall,        // items: callable, list of arguments, then the object's state if it has one
};

struct PickleNode {
  PickleKind kind = PickleKind::kNone;
  int64_t number = 0;
  std::string text;
  std::vector<uint32_t> items;  // numbers of nodes
  // What list-like and dict-like classes were filled with after their call: as items of a kDict.
  std::vector<uint32_t> entries = {};
};

// Nodes may be used several times, and may contain themselves: whoever walks them bounds the walk.
struct Pickle {
  std::vector<PickleNode> nodes;
  uint32_t root = 0;
  size_t size_bytes = 0;  // from the first opcode to the last

  const PickleNode& at(uint32_t node) const { return nodes[node]; }
  // The value of a text key of a kDict (or of the entries of a kCall), or null.
  const PickleNode* find(const PickleNode& dict, std::string_view key) const;
};

// Reads the pickle with which `bytes` begin. Error kBadInput, which calls it `name`.
Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& name);

}  // namespace pangu::io
