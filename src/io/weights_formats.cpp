// What a file of weights is by its first bytes, and what to say of formats that are not read here.
#include <algorithm>
#include <cctype>
#include <cstring>

#include "core/error.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

constexpr const char* kConvertPickle =
    "convert it where you trust its source: python -c \"import torch, safetensors.torch as s; "
    "d = torch.load('IN.ckpt', map_location='cpu', weights_only=True); "
    "d = d.get('state_dict', d.get('string_to_param', d)); "
    "s.save_file({k: v.contiguous().clone() for k, v in d.items() if hasattr(v, 'shape')}, "
    "'OUT.safetensors')\"";

std::string_view text_of(std::span<const std::byte> bytes, size_t most) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

// The name of a zip's first entry is enough to know who wrote it.
std::string first_zip_entry(std::string_view text) {
  constexpr size_t kHeader = 30, kLengthAt = 26;
  if (text.size() < kHeader) return "";
  const auto low = static_cast<unsigned char>(text[kLengthAt]);
  const auto high = static_cast<unsigned char>(text[kLengthAt + 1]);
  return std::string(text.substr(kHeader, static_cast<size_t>(low) + 256 * high));
}

bool has_prefix_ignoring_case(std::string_view text, std::string_view wanted) {
  const size_t start = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (start == std::string_view::npos || text.size() - start < wanted.size()) return false;
  return std::equal(
      wanted.begin(), wanted.end(), text.begin() + static_cast<std::ptrdiff_t>(start),
      [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

// The first bytes of pickle protocols 2 to 5 as torch.save wrote them before version 1.6: the magic
// number as a long, or directly an object.
bool looks_like_pickle(std::string_view text) {
  constexpr char kProto = '\x80';
  if (text.size() < 3 || text[0] != kProto || text[1] < 2 || text[1] > 5) return false;
  constexpr std::string_view kFirstOpcodes =
      "\x8a\x8b}](cK\x95\x8c"
      "XM";
  return kFirstOpcodes.find(text[2]) != std::string_view::npos;
}

}  // namespace

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  if (bytes.size() <= sizeof length) return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length <= kMaxSafetensorsHeaderBytes && bytes[sizeof length] == std::byte{'{'};
}

void refuse_known_formats(std::span<const std::byte> bytes, const std::string& name) {
  if (looks_like_safetensors(bytes)) return;
  constexpr size_t kLooked = 512;
  const std::string_view text = text_of(bytes, kLooked);
  const std::string wanted = "weights as .safetensors or MindSpore .ckpt";
  const auto refuse = [&](const std::string& found, const std::string& hint) {
    throw bad_input(name, wanted, found, hint);
  };
  if (text.empty()) refuse("an empty file", "the download may have failed; fetch it again");
  if (text.starts_with("PK\x03\x04")) {
    const std::string entry = first_zip_entry(text);
    if (entry.ends_with(".npy")) refuse("a NumPy archive (.npz)", "save it as .safetensors");
    if (entry.ends_with("data.pkl") || entry.ends_with(".format_version") ||
        entry.ends_with("byteorder") || entry.ends_with("version")) {
      refuse("a pickled PyTorch file (zip)", kConvertPickle);
    }
    refuse("a zip archive", "unpack it first; a pickled PyTorch file must be converted: " +
                                std::string(kConvertPickle));
  }
  if (looks_like_pickle(text)) refuse("a pickled file", kConvertPickle);
  if (text.starts_with("GGUF")) {
    refuse("a GGUF file", "quantised GGUF is not supported; use the .safetensors it was made from");
  }
  if (text.starts_with("\x93NUMPY")) refuse("a NumPy array (.npy)", "save it as .safetensors");
  if (text.starts_with("version https://git-lfs")) {
    refuse("a Git-LFS pointer, not the file itself", "run `git lfs pull`, or download the file");
  }
  if (has_prefix_ignoring_case(text, "<!doctype html") || has_prefix_ignoring_case(text, "<html")) {
    refuse("a web page", "the download saved an error or login page; fetch the file again");
  }
  if (text.starts_with("\x89HDF")) refuse("an HDF5 file", "use the model's .safetensors");
  // ONNX: field 1 (ir_version, varint), then field 2 (producer_name) or field 8 (opset) as bytes.
  if (text.size() > 4 && text[0] == '\x08' && (text[2] == '\x12' || text[2] == '\x42')) {
    refuse("an ONNX model", "use the .safetensors it was exported from");
  }
  if (text.size() > 8 && text.substr(4, 4) == "TFL3") {
    refuse("a TensorFlow Lite model", "use the model's .safetensors");
  }
}

}  // namespace pangu::io
