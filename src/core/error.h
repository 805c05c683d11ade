// The one exception type of the project: everything that ends a request throws it.
// Rooms translate foreign exceptions (c10::Error, nlohmann, toml++) into it at their edge.
#pragma once
#include <stdexcept>
#include <string>

namespace pangu {

enum class ErrorCode {
  kBadInput,     // the user's flag, file, prompt or configuration; CLI exit code 2
  kIo,           // disk full, permission, vanished file; CLI exit code 3
  kUnavailable,  // a device, library or resource that this machine lacks; CLI exit code 4
  kInternal,     // our own mistake; CLI exit code 1
};

// The message has the form "WHAT: expected E, found F. Hint: H" (see bad_input). Layers above the
// thrower may add "while ..." in front of it (see while_doing).
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Builds a kBadInput error "what: expected E, found F. Hint: H"; an empty part is left out.
Error bad_input(const std::string& what, const std::string& expected = "",
                const std::string& found = "", const std::string& hint = "");
Error io_error(const std::string& what, const std::string& path, int errno_value);

// Returns the same error with "while DOING: " in front of its message.
Error while_doing(const std::string& doing, const Error& error);

// The exit code that the command line ends with for an error of this code.
int exit_code(ErrorCode code);

}  // namespace pangu
