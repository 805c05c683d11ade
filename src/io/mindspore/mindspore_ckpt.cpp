// Reads the wire format of MindSpore's checkpoints; mindspore_writer.cpp writes it. Every length is
// checked against the bytes that are left before it is used, so a false length never decides how
// much memory is allocated.
#include "io/mindspore/mindspore_ckpt.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "core/error.h"
#include "io/mindspore/mindspore_wire.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr size_t kMaxRank = 32;
constexpr size_t kMaxNameBytes = 4096;
using Bytes = std::span<const std::byte>;

// Reads one message field by field. next() is false at its end.
class WireReader {
 public:
  WireReader(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  struct Field {
    uint64_t number = 0, wire = 0;
    uint64_t value = 0;  // of a varint
    Bytes bytes;         // of a field with a length
  };

  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    field = {key >> 3, key & 7, 0, {}};
    if (field.number == 0) refuse("field number 0");
    switch (field.wire) {
      case kVarint:
        field.value = varint();
        return true;
      case kFixed64:
        take(8);
        return true;
      case kFixed32:
        take(4);
        return true;
      case kBytes:
        field.bytes = take(varint());
        return true;
      default:
        refuse("wire type " + std::to_string(field.wire));
    }
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint64_t>(take(1)[0]);
      if (shift == 63 && byte > 1) refuse("a number above 64 bits");
      value |= (byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    refuse("a number above 64 bits");
  }

  bool done() const { return at_ == bytes_.size(); }
  Bytes rest() const { return bytes_.subspan(at_); }

  [[noreturn]] void refuse(const std::string& found) const {
    throw bad_input(name_, "a well-formed MindSpore checkpoint", found,
                    "it is another format, or cut short");
  }

 private:
  Bytes take(uint64_t count) {
    if (count > bytes_.size() - at_) {
      refuse(std::to_string(count) + " bytes announced where " +
             std::to_string(bytes_.size() - at_) + " are left");
    }
    const Bytes taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  Bytes bytes_;
  const std::string& name_;
  size_t at_ = 0;
};

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct RawTensor {
  std::vector<int64_t> dims;
  std::optional<DType> dtype;
  std::optional<Bytes> content;
};

void add_dim(RawTensor& tensor, uint64_t value, const WireReader& reader) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    reader.refuse("a dimension of " + std::to_string(value));
  }
  if (tensor.dims.size() >= kMaxRank) reader.refuse("more than 32 dimensions");
  tensor.dims.push_back(static_cast<int64_t>(value));
}

RawTensor read_tensor(Bytes bytes, const std::string& name) {
  enum : uint64_t { kDims = 1, kType = 2, kContent = 3 };
  WireReader reader(bytes, name);
  WireReader::Field field;
  RawTensor tensor;
  while (reader.next(field)) {
    if (field.number == kDims && field.wire == kVarint) {
      add_dim(tensor, field.value, reader);
    } else if (field.number == kDims && field.wire == kBytes) {  // packed
      WireReader packed(field.bytes, name);
      while (!packed.done()) add_dim(tensor, packed.varint(), reader);
    } else if (field.number == kType && field.wire == kBytes) {
      for (const MindSporeType& type : kMindSporeTypes) {
        if (text_of(field.bytes) == type.mindspore) tensor.dtype = type.dtype;
      }
      if (!tensor.dtype) {
        throw bad_input(name, "a type such as Float32", short_quoted(text_of(field.bytes)));
      }
    } else if (field.number == kContent && field.wire == kBytes) {
      if (tensor.content) reader.refuse("the content twice");
      tensor.content = field.bytes;
    } else if (field.number <= kContent) {
      reader.refuse("field " + std::to_string(field.number) + " of another kind");
    }
  }
  return tensor;
}

TensorView view_of(const RawTensor& raw, const std::string& name) {
  if (!raw.dtype || !raw.content) throw bad_input(name, "a type and a content", "one missing");
  TensorView view{*raw.dtype, raw.dims, raw.content->data(), raw.content->size()};
  const size_t element = size_of(view.dtype);
  // Scalars have the dims [0] in the released files, with the bytes of one element.
  if (view.shape == std::vector<int64_t>{0} && view.size_bytes == element) view.shape.clear();
  size_t wanted = element;
  for (const int64_t dim : view.shape) {
    if (__builtin_mul_overflow(wanted, static_cast<size_t>(dim), &wanted)) {
      throw bad_input(name, "a possible shape", "a product above 64 bits");
    }
  }
  if (wanted != view.size_bytes) {
    throw bad_input(name, std::to_string(wanted) + " bytes for its shape",
                    std::to_string(view.size_bytes) + " bytes", "the file may be cut short");
  }
  return view;
}

struct RawValue {
  std::string tag;
  Bytes tensor;
};

RawValue read_value(Bytes bytes, const std::string& name) {
  enum : uint64_t { kTag = 1, kTensor = 2 };
  WireReader reader(bytes, name);
  WireReader::Field field;
  RawValue value;
  bool tensor_seen = false;
  while (reader.next(field)) {
    if (field.number == kTag && field.wire == kBytes) {
      if (field.bytes.size() > kMaxNameBytes) reader.refuse("a name of over 4096 bytes");
      value.tag = text_of(field.bytes);
    } else if (field.number == kTensor && field.wire == kBytes) {
      if (tensor_seen) reader.refuse("two tensors under one name");
      tensor_seen = true;
      value.tensor = field.bytes;
    } else {
      // Newer versions add a map (field 3) for parameters that other files hold.
      reader.refuse("tensor " + short_quoted(value.tag) + " with field " +
                    std::to_string(field.number));
    }
  }
  if (value.tag.empty() || !tensor_seen) reader.refuse("a value without name or tensor");
  return value;
}

}  // namespace

bool looks_like_mindspore(std::span<const std::byte> bytes) {
  const std::string name;
  try {
    // Only the beginning is checked, so that a file that is cut short is reported as such and not
    // as another format.
    constexpr size_t kLooked = 64;
    WireReader head(bytes.first(std::min(bytes.size(), kLooked)), name);
    constexpr uint64_t kFirstField = 1 << 3 | kBytes;
    if (head.varint() != kFirstField) return false;
    const uint64_t value_bytes = head.varint();
    if (head.varint() != kFirstField) return false;
    const uint64_t tag_bytes = head.varint();
    if (tag_bytes == 0 || tag_bytes > kMaxNameBytes || tag_bytes >= value_bytes) return false;
    const std::string_view tag = text_of(head.rest()).substr(0, tag_bytes);
    return !tag.empty() &&
           std::all_of(tag.begin(), tag.end(), [](char c) { return c > ' ' && c < '\x7F'; });
  } catch (const Error&) {
    return false;
  }
}

TensorViews parse_mindspore(std::span<const std::byte> bytes, const std::string& name) {
  TensorViews tensors;
  WireReader reader(bytes, name);
  WireReader::Field field;
  while (reader.next(field)) {
    if (field.number != 1 || field.wire != kBytes) {
      reader.refuse("field " + std::to_string(field.number) + " between the tensors");
    }
    const RawValue value = read_value(field.bytes, name);
    const std::string tensor = name + ", tensor " + short_quoted(value.tag);
    const auto [place, fresh] = tensors.try_emplace(value.tag);
    if (!fresh) {
      throw bad_input(tensor, "one piece", "a second one",
                      "tensors that MindSpore has sliced (above 512 MiB) are not supported");
    }
    place->second = view_of(read_tensor(value.tensor, tensor), tensor);
  }
  return tensors;
}

std::string torch_name_of(const std::string& mindspore_name) {
  for (const auto& [ending, renamed] :
       {std::pair<std::string_view, const char*>{".gamma", ".weight"},
        {".beta", ".bias"},
        {".embedding_table", ".weight"}}) {
    if (mindspore_name.ends_with(ending)) {
      return mindspore_name.substr(0, mindspore_name.size() - ending.size()) + renamed;
    }
  }
  return mindspore_name;
}

}  // namespace pangu::io
