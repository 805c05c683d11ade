#include "serve/frames.h"

#include "core/error.h"
#include "core/json_reader.h"

namespace pangu::serve {
namespace {

constexpr size_t kHeadBytes = 8;

void append_number(std::string& bytes, size_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
}

size_t number_at(std::string_view bytes) {
  size_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

}  // namespace

std::string to_bytes(const Frame& frame) {
  const std::string head =
      frame.head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (head.size() > kMaxFrameJson || frame.bytes.size() > kMaxFrameBytes) {
    throw Error(ErrorCode::kInternal, "a frame of " + std::to_string(head.size()) + " and " +
                                          std::to_string(frame.bytes.size()) + " bytes");
  }
  std::string bytes;
  bytes.reserve(kHeadBytes + head.size() + frame.bytes.size());
  append_number(bytes, head.size());
  append_number(bytes, frame.bytes.size());
  return bytes + head + frame.bytes;
}

std::optional<Frame> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(read_);
  if (rest.size() < kHeadBytes) return {};
  const size_t head = number_at(rest), bytes = number_at(rest.substr(4));
  if (head > kMaxFrameJson || bytes > kMaxFrameBytes) {
    throw bad_input("frame",
                    "at most " + std::to_string(kMaxFrameJson) + " and " +
                        std::to_string(kMaxFrameBytes) + " bytes",
                    std::to_string(head) + " and " + std::to_string(bytes));
  }
  if (rest.size() < kHeadBytes + head + bytes) return {};
  Frame frame;
  frame.head = parse_json(rest.substr(kHeadBytes, head), "frame", {.max_bytes = kMaxFrameJson + 1});
  if (!frame.head.is_object()) throw bad_input("frame", "a JSON object");
  frame.bytes = rest.substr(kHeadBytes + head, bytes);
  read_ += kHeadBytes + head + bytes;
  if (read_ == buffer_.size()) {
    buffer_.clear();
    read_ = 0;
  } else if (read_ > buffer_.size() / 2) {
    buffer_.erase(0, read_);
    read_ = 0;
  }
  return frame;
}

}  // namespace pangu::serve
