// An array is a magic, the length of a header, the header as a Python dict, and the numbers.
#include "io/python/npz.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/python/zip_archive.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMostArrayBytes = size_t{1} << 32;

struct NumpyType {
  std::string_view descr;
  DType dtype;
};
constexpr NumpyType kNumpyTypes[] = {
    {"<f8", DType::F64}, {"<f4", DType::F32}, {"<f2", DType::F16}, {"<i8", DType::I64},
    {"<i4", DType::I32}, {"<i2", DType::I16}, {"|i1", DType::I8},  {"<u8", DType::U64},
    {"<u4", DType::U32}, {"<u2", DType::U16}, {"|u1", DType::U8},  {"|b1", DType::BOOL}};

// What follows `'key':` in the header, without white space in front.
std::string_view value_in(std::string_view header, std::string_view key, const std::string& name) {
  const std::string sign = "'" + std::string(key) + "':";
  const size_t at = header.find(sign);
  if (at == std::string_view::npos) {
    throw bad_input(name, "a header with " + short_quoted(key), short_quoted(header));
  }
  std::string_view rest = header.substr(at + sign.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return rest;
}

std::vector<int64_t> shape_in(std::string_view text, const std::string& name) {
  const Error refusal = bad_input(name, "a shape", short_quoted(text));
  if (text.empty() || text[0] != '(') throw refusal;
  const size_t end = text.find(')');
  if (end == std::string_view::npos) throw refusal;
  text = text.substr(1, end - 1);
  std::vector<int64_t> shape;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" ,"), text.size()));
    if (text.empty()) return shape;
    int64_t size = -1;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (problem != std::errc() || size < 0 || shape.size() >= 32) throw refusal;
    shape.push_back(size);
    text.remove_prefix(static_cast<size_t>(stop - text.data()));
  }
}

// Fortran's order to C's, for matrices: what NumPy writes of a transposed one.
std::vector<std::byte> transposed(std::span<const std::byte> data, int64_t rows, int64_t columns,
                                  size_t item) {
  std::vector<std::byte> out(data.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      std::memcpy(out.data() + size_t(r * columns + c) * item,
                  data.data() + size_t(c * rows + r) * item, item);
    }
  }
  return out;
}

NumpyArray parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr size_t kVersionAt = 6, kLengthAt = 8;
  if (!text.starts_with(kMagic) || text.size() < kLengthAt + 4) {
    throw bad_input(name, "a NumPy array", "other bytes");
  }
  const bool is_long = text[kVersionAt] != 1;  // the length has four bytes since version 2
  uint32_t length = 0;
  std::memcpy(&length, text.data() + kLengthAt, is_long ? 4 : 2);
  const size_t begin = kLengthAt + (is_long ? 4 : 2);
  if (text.size() - begin < length) throw bad_input(name, "a whole header", "a cut one");
  const std::string_view header = text.substr(begin, length);

  NumpyArray array;
  const std::string_view descr = value_in(header, "descr", name);
  const auto type = std::find_if(
      std::begin(kNumpyTypes), std::end(kNumpyTypes),
      [&](const auto& t) { return descr.size() > 1 && descr.substr(1).starts_with(t.descr); });
  if (type == std::end(kNumpyTypes)) {
    throw bad_input(name, "little-endian numbers", short_quoted(descr.substr(0, 12)));
  }
  array.dtype = type->dtype;
  array.shape = shape_in(value_in(header, "shape", name), name);
  uint64_t wanted = size_of(array.dtype);
  for (const int64_t size : array.shape) {
    if (size > 0 && wanted > kMostArrayBytes / static_cast<uint64_t>(size)) {
      throw bad_input(name, "less than 4 GiB", "a larger shape");
    }
    wanted *= static_cast<uint64_t>(size);
  }
  const auto data = bytes.subspan(begin + length);
  if (data.size() != wanted) {
    throw bad_input(name, std::to_string(wanted) + " bytes of numbers",
                    std::to_string(data.size()));
  }
  const bool is_fortran = value_in(header, "fortran_order", name).starts_with("True");
  if (is_fortran && array.shape.size() == 2) {
    array.data = transposed(data, array.shape[0], array.shape[1], size_of(array.dtype));
  } else if (is_fortran && array.shape.size() > 2) {
    throw bad_input(name, "an array in C's order", "one in Fortran's");
  } else {
    array.data.assign(data.begin(), data.end());
  }
  return array;
}

std::string npy_of(const TensorView& view, const std::string& name) {
  const auto type = std::find_if(std::begin(kNumpyTypes), std::end(kNumpyTypes),
                                 [&](const auto& t) { return t.dtype == view.dtype; });
  if (type == std::end(kNumpyTypes)) {
    throw Error(ErrorCode::kInternal, "write_npz: NumPy has no type for " + name);
  }
  std::string header =
      "{'descr': '" + std::string(type->descr) + "', 'fortran_order': False, 'shape': (";
  for (const int64_t size : view.shape) header += std::to_string(size) + ", ";
  header += "), }";
  constexpr size_t kAlignment = 64, kFront = 10;
  header.append(kAlignment - (kFront + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string out(kMagic);
  out += '\x01';
  out += '\0';
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  out.append(reinterpret_cast<const char*>(view.data), view.size_bytes);
  return out;
}

}  // namespace

NumpyArrays parse_npz(std::span<const std::byte> bytes, const std::string& name) {
  NumpyArrays arrays;
  for (const ZipEntry& entry : read_zip(bytes, name)) {
    const std::string what = name + ", " + short_quoted(entry.name);
    const std::string key =
        entry.name.ends_with(".npy") ? entry.name.substr(0, entry.name.size() - 4) : entry.name;
    arrays[key] = parse_npy(contents_of(entry, kMostArrayBytes, name), what);
  }
  return arrays;
}

NumpyArrays read_npz(const std::string& path) {
  const MappedFile file(path);
  return parse_npz(file.bytes(), "file '" + path + "'");
}

void write_npz(const std::string& path, const TensorViews& arrays) {
  std::vector<std::string> contents;
  for (const auto& [name, view] : arrays) contents.push_back(npy_of(view, name));
  std::vector<ZipFile> files;
  for (const auto& [name, view] : arrays) {
    files.push_back({name + ".npy", contents[files.size()]});
  }
  write_file_atomic(path, zip_of(files));
}

}  // namespace pangu::io
