// The protocol between the front and its workers: frames of a JSON object and bytes, over a socket
// pair. A frame is two big-endian numbers of 32 bits, the lengths of the JSON and of the bytes,
// then both. The JSON has a "type"; docs/server.md lists the types.
#pragma once
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace pangu::serve {

struct Frame {
  nlohmann::json head;
  std::string bytes;
};

inline constexpr size_t kMaxFrameJson = size_t{8} << 20;
inline constexpr size_t kMaxFrameBytes = size_t{512} << 20;

std::string to_bytes(const Frame& frame);

// Takes pieces of a stream as they come and gives its frames.
class FrameReader {
 public:
  void add(std::string_view piece) { buffer_.append(piece); }
  // The next whole frame, or nothing until more has come. Error kBadInput if the stream is broken:
  // a length above the limits, or no JSON object. What follows can then not be read either.
  std::optional<Frame> next();

 private:
  std::string buffer_;
  size_t read_ = 0;  // bytes of buffer_ that are done with
};

}  // namespace pangu::serve
