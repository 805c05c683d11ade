// Reader and writer of safetensors. The reader trusts nothing: the header is taken event by event
// (no recursion, no tree), and no view is made before all offsets are known to tile the data.
#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

namespace pangu::io {
namespace {

struct DTypeInfo {
  DType dtype;
  const char* name;
  size_t size_bytes;
};

constexpr std::array<DTypeInfo, 15> kDTypes = {{{DType::F64, "F64", 8},
                                                {DType::F32, "F32", 4},
                                                {DType::F16, "F16", 2},
                                                {DType::BF16, "BF16", 2},
                                                {DType::I64, "I64", 8},
                                                {DType::I32, "I32", 4},
                                                {DType::I16, "I16", 2},
                                                {DType::I8, "I8", 1},
                                                {DType::U64, "U64", 8},
                                                {DType::U32, "U32", 4},
                                                {DType::U16, "U16", 2},
                                                {DType::U8, "U8", 1},
                                                {DType::BOOL, "BOOL", 1},
                                                {DType::F8_E4M3, "F8_E4M3", 1},
                                                {DType::F8_E5M2, "F8_E5M2", 1}}};

constexpr size_t kMaxRank = 32;
constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";

const DTypeInfo& info_of(DType dtype) {
  const auto found = std::find_if(kDTypes.begin(), kDTypes.end(),
                                  [dtype](const DTypeInfo& info) { return info.dtype == dtype; });
  if (found == kDTypes.end()) throw Error(ErrorCode::kInternal, "dtype without a name");
  return *found;
}

// Names out of hostile files end up in messages: keep them short.
std::string in_quotes(const std::string& text) {
  constexpr size_t kShown = 80;
  return "'" + (text.size() <= kShown ? text : text.substr(0, kShown) + "...") + "'";
}

// Element count times element size; nothing if it does not fit or a dimension is negative.
std::optional<size_t> byte_count(DType dtype, const std::vector<int64_t>& shape) {
  size_t total = size_of(dtype);
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    if (dim == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(total, static_cast<size_t>(dim), &total)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : total;
}

struct Entry {
  std::optional<DType> dtype;
  std::optional<std::vector<uint64_t>> shape, data_offsets;
};

// The events of a header's JSON, held against the one form that is allowed.
class HeaderSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderSax(const std::string& file) : file_(file) {}
  std::map<std::string, Entry> entries;
  Metadata metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_float(double, const std::string&) override { unexpected("a fraction"); }
  bool binary(binary_t&) override { unexpected("binary"); }
  bool number_integer(int64_t) override { unexpected("a negative number"); }

  bool number_unsigned(uint64_t value) override {
    if (!numbers_) unexpected("a number");
    if (numbers_->size() >= kMaxRank) refuse("more than 32 numbers");
    numbers_->push_back(value);
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      if (!metadata.emplace(field_, text).second)
        refuse("metadata key " + in_quotes(field_) + " twice");
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") unexpected("text");
    const auto found = std::find_if(kDTypes.begin(), kDTypes.end(),
                                    [&](const DTypeInfo& info) { return info.name == text; });
    if (found == kDTypes.end()) refuse("unknown dtype " + in_quotes(text));
    if (entry_->dtype) refuse("dtype twice");
    entry_->dtype = found->dtype;
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ > 1 || (depth_ == 1 && numbers_)) unexpected("an object");
    ++depth_;
    return true;
  }

  bool key(std::string& name) override {
    if (depth_ == 2) {
      field_ = name;
      return true;
    }
    tensor_ = name;
    in_metadata_ = name == kMetadataKey;
    if (in_metadata_) {
      if (std::exchange(metadata_seen_, true)) refuse("metadata twice");
      return true;
    }
    const auto [place, fresh] = entries.try_emplace(name);
    if (!fresh) refuse("the name appears twice");
    entry_ = &place->second;
    return true;
  }

  bool end_object() override {
    --depth_;
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || numbers_) unexpected("a list");
    auto* target = field_ == "shape"          ? &entry_->shape
                   : field_ == "data_offsets" ? &entry_->data_offsets
                                              : nullptr;
    if (!target) refuse("unknown field " + in_quotes(field_));
    if (*target) refuse(field_ + " twice");
    numbers_ = &target->emplace();
    return true;
  }

  bool end_array() override {
    numbers_ = nullptr;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& cause) override {
    throw bad_input(file_, "a JSON header",
                    std::string(cause.what()).substr(0, 200) + " at byte " +
                        std::to_string(position + kLengthBytes));
  }

 private:
  [[noreturn]] void refuse(const std::string& found) {
    throw bad_input(file_, "a well-formed header", found + " (tensor " + in_quotes(tensor_) + ")");
  }
  [[noreturn]] void unexpected(const char* kind) {
    refuse(std::string("unexpected ") + kind + (depth_ == 2 ? " as " + in_quotes(field_) : ""));
  }

  const std::string& file_;
  int depth_ = 0;
  bool in_metadata_ = false, metadata_seen_ = false;
  std::string tensor_, field_;
  Entry* entry_ = nullptr;
  std::vector<uint64_t>* numbers_ = nullptr;  // the list that is open
};

TensorView view_of(const std::string& file, const std::string& name, const Entry& entry,
                   std::span<const std::byte> data) {
  const std::string tensor = file + ", tensor " + in_quotes(name);
  if (!entry.dtype || !entry.shape || !entry.data_offsets) {
    throw bad_input(tensor, "dtype, shape and data_offsets", "one of them missing");
  }
  TensorView view;
  view.dtype = *entry.dtype;
  for (const uint64_t dim : *entry.shape) {
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw bad_input(tensor, "dimensions below 2^63", std::to_string(dim));
    }
    view.shape.push_back(static_cast<int64_t>(dim));
  }
  if (entry.data_offsets->size() != 2) {
    throw bad_input(tensor, "two data_offsets", std::to_string(entry.data_offsets->size()));
  }
  const uint64_t begin = (*entry.data_offsets)[0], end = (*entry.data_offsets)[1];
  if (begin > end || end > data.size()) {
    throw bad_input(tensor, "offsets within " + std::to_string(data.size()) + " bytes of data",
                    std::to_string(begin) + ".." + std::to_string(end),
                    "the file may be cut short; fetch or write it again");
  }
  const auto wanted = byte_count(view.dtype, view.shape);
  if (!wanted || *wanted != end - begin) {
    throw bad_input(tensor,
                    wanted ? std::to_string(*wanted) + " bytes for its shape" : "a possible shape",
                    std::to_string(end - begin) + " bytes");
  }
  view.data = data.data() + begin;
  view.size_bytes = end - begin;
  return view;
}

// The format forbids gaps and overlaps: sorted by start, each tensor begins where the last one
// ended.
void check_tiling(const std::string& file, const TensorViews& tensors,
                  std::span<const std::byte> data) {
  std::vector<const TensorViews::value_type*> order;
  for (const auto& item : tensors) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.data, a->second.size_bytes) <
           std::pair(b->second.data, b->second.size_bytes);
  });
  size_t at = 0;
  for (const auto* item : order) {
    const auto begin = static_cast<size_t>(item->second.data - data.data());
    if (begin != at) {
      throw bad_input(file + ", tensor " + in_quotes(item->first),
                      "data from byte " + std::to_string(at), "byte " + std::to_string(begin),
                      begin < at ? "two tensors overlap" : "bytes that belong to no tensor");
    }
    at = begin + item->second.size_bytes;
  }
  if (at != data.size()) {
    throw bad_input(file, std::to_string(at) + " bytes of data", std::to_string(data.size()),
                    "bytes after the last tensor");
  }
}

}  // namespace

size_t size_of(DType dtype) { return info_of(dtype).size_bytes; }

const char* name_of(DType dtype) { return info_of(dtype).name; }

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kLengthBytes) {
    throw bad_input(name, "a safetensors file", std::to_string(bytes.size()) + " bytes");
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeaderBytes || length > bytes.size() - kLengthBytes) {
    throw bad_input(name, "a safetensors header within the file",
                    "a header length of " + std::to_string(length),
                    "it is another format, or cut short");
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + kLengthBytes;
  if (length == 0 || text[0] != '{') {
    throw bad_input(name, "a header that begins with '{'", "another byte",
                    "it is another format than safetensors");
  }
  HeaderSax sax(name);
  nlohmann::json::sax_parse(text, text + length, &sax);

  const auto data = bytes.subspan(kLengthBytes + length);
  SafetensorsContent content;
  content.metadata = std::move(sax.metadata);
  for (const auto& [tensor, entry] : sax.entries) {
    content.tensors.emplace(tensor, view_of(name, tensor, entry, data));
  }
  check_tiling(name, content.tensors, data);
  return content;
}

SafetensorsFile::SafetensorsFile(MappedFile file, SafetensorsContent content)
    : file_(std::move(file)), content_(std::move(content)) {}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  MappedFile file(path);
  SafetensorsContent content = parse_safetensors(file.bytes(), "file '" + path + "'");
  return {std::move(file), std::move(content)};
}

SafetensorsLayout safetensors_layout(const TensorViews& tensors, const Metadata& metadata) {
  SafetensorsLayout layout;
  for (const auto& item : tensors) {
    const auto wanted = byte_count(item.second.dtype, item.second.shape);
    if (!wanted || *wanted != item.second.size_bytes || item.first == kMetadataKey) {
      throw Error(ErrorCode::kInternal,
                  "tensor " + in_quotes(item.first) + " has a size other than its shape's");
    }
    layout.order.push_back(&item);
  }
  std::sort(layout.order.begin(), layout.order.end(), [](const auto* a, const auto* b) {
    const size_t size_a = size_of(a->second.dtype), size_b = size_of(b->second.dtype);
    return size_a != size_b ? size_a > size_b : a->first < b->first;
  });
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json[kMetadataKey] = metadata;
  size_t at = 0;
  for (const auto* item : layout.order) {
    const TensorView& view = item->second;
    // push_back on the underlying vector: operator[] would search all names for each name.
    json.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {item->first,
         {{"dtype", name_of(view.dtype)},
          {"shape", view.shape},
          {"data_offsets", std::array<size_t, 2>{at, at + view.size_bytes}}}});
    at += view.size_bytes;
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception& cause) {
    throw Error(ErrorCode::kInternal, std::string("names must be UTF-8: ") + cause.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  layout.header.assign(reinterpret_cast<const char*>(&length), kLengthBytes);
  layout.header += text;
  return layout;
}

void write_safetensors(const std::string& path, const TensorViews& tensors,
                       const Metadata& metadata) {
  const SafetensorsLayout layout = safetensors_layout(tensors, metadata);
  AtomicWriter writer(path);
  writer.write(layout.header);
  for (const auto* item : layout.order) {
    writer.write(std::span(item->second.data, item->second.size_bytes));
  }
  writer.commit();
}

std::string safetensors_bytes(const TensorViews& tensors, const Metadata& metadata) {
  const SafetensorsLayout layout = safetensors_layout(tensors, metadata);
  std::string bytes = layout.header;
  for (const auto* item : layout.order) {
    bytes.append(reinterpret_cast<const char*>(item->second.data), item->second.size_bytes);
  }
  return bytes;
}

}  // namespace pangu::io
