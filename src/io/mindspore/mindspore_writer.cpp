// Writes the wire format of MindSpore's checkpoints, one tensor after another.
#include <algorithm>

#include "core/error.h"
#include "io/mindspore/mindspore_ckpt.h"
#include "io/mindspore/mindspore_wire.h"

namespace pangu::io {
namespace {

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(static_cast<unsigned char>(value | 0x80));
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void put_bytes_key(std::string& out, uint64_t field, uint64_t size_bytes) {
  put_varint(out, field << 3 | kBytes);
  put_varint(out, size_bytes);
}

struct Head {
  std::string bytes;  // everything before the tensor's content
  uint64_t content_bytes = 0;
};

Head head_of(const MindSporeTensor& tensor) {
  const auto type = std::find_if(kMindSporeTypes.begin(), kMindSporeTypes.end(),
                                 [&](const MindSporeType& t) { return t.dtype == tensor.dtype; });
  if (type == kMindSporeTypes.end()) {
    throw Error(ErrorCode::kInternal,
                std::string("MindSpore checkpoints have no type ") + name_of(tensor.dtype));
  }
  uint64_t content = size_of(tensor.dtype);
  std::string inner;
  const std::vector<int64_t> scalar = {0};
  for (const int64_t dim : tensor.shape.empty() ? scalar : tensor.shape) {
    put_varint(inner, 1 << 3 | kVarint);
    put_varint(inner, static_cast<uint64_t>(dim));
  }
  for (const int64_t dim : tensor.shape) {
    if (dim < 0 || __builtin_mul_overflow(content, static_cast<uint64_t>(dim), &content)) {
      throw Error(ErrorCode::kInternal, "tensor '" + tensor.name + "' has an impossible shape");
    }
  }
  put_bytes_key(inner, 2, type->mindspore.size());
  inner += type->mindspore;
  put_bytes_key(inner, 3, content);
  std::string value;
  put_bytes_key(value, 1, tensor.name.size());
  value += tensor.name;
  put_bytes_key(value, 2, inner.size() + content);
  value += inner;
  Head head;
  put_bytes_key(head.bytes, 1, value.size() + content);
  head.bytes += value;
  head.content_bytes = content;
  return head;
}

}  // namespace

uint64_t mindspore_size_bytes(const std::vector<MindSporeTensor>& tensors) {
  uint64_t total = 0;
  for (const MindSporeTensor& tensor : tensors) {
    const Head head = head_of(tensor);
    total += head.bytes.size() + head.content_bytes;
  }
  return total;
}

namespace {

template <typename Write>
void write_all(const std::vector<MindSporeTensor>& tensors,
               const std::function<void(size_t, const ByteSink&)>& content, Write write) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Head head = head_of(tensors[i]);
    write(std::as_bytes(std::span(head.bytes)));
    uint64_t written = 0;
    content(i, [&](std::span<const std::byte> bytes) {
      written += bytes.size();
      write(bytes);
    });
    if (written != head.content_bytes) {
      throw Error(ErrorCode::kInternal,
                  "tensor '" + tensors[i].name + "' has a size other than its shape's");
    }
  }
}

std::vector<MindSporeTensor> heads_of(const TensorViews& tensors) {
  std::vector<MindSporeTensor> heads;
  for (const auto& [name, view] : tensors) heads.push_back({name, view.dtype, view.shape});
  return heads;
}

std::function<void(size_t, const ByteSink&)> contents_of(const TensorViews& tensors) {
  std::vector<std::span<const std::byte>> contents;
  for (const auto& [name, view] : tensors) contents.emplace_back(view.data, view.size_bytes);
  return [contents](size_t index, const ByteSink& out) { out(contents[index]); };
}

}  // namespace

void write_mindspore(const std::string& path, const std::vector<MindSporeTensor>& tensors,
                     const std::function<void(size_t index, const ByteSink& out)>& content) {
  AtomicWriter writer(path);
  write_all(tensors, content, [&](std::span<const std::byte> bytes) { writer.write(bytes); });
  writer.commit();
}

void write_mindspore(const std::string& path, const TensorViews& tensors) {
  write_mindspore(path, heads_of(tensors), contents_of(tensors));
}

std::string mindspore_bytes(const TensorViews& tensors) {
  std::string text;
  write_all(heads_of(tensors), contents_of(tensors), [&](std::span<const std::byte> bytes) {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  return text;
}

}  // namespace pangu::io
