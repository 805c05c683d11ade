#include "core/error.h"

#include <cstring>

#include "core/message.h"

namespace pangu {

Error bad_input(const std::string& what, const std::string& expected, const std::string& found,
                const std::string& hint) {
  std::string message = what;
  if (!expected.empty()) message += ": expected " + expected;
  if (!found.empty())
    message += std::string(expected.empty() ? ": " : ", ") + "found " + shortened(found);
  if (!hint.empty()) message += ". Hint: " + hint;
  return Error(ErrorCode::kBadInput, message);
}

Error io_error(const std::string& what, const std::string& path, int errno_value) {
  return Error(ErrorCode::kIo, what + " '" + path + "': " + std::strerror(errno_value));
}

Error while_doing(const std::string& doing, const Error& error) {
  return Error(error.code(), "while " + doing + ": " + error.what());
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput:
      return 2;
    case ErrorCode::kIo:
      return 3;
    case ErrorCode::kUnavailable:
      return 4;
    case ErrorCode::kInternal:
      return 1;
  }
  return 1;
}

}  // namespace pangu
