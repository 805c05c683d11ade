// Bodies of multipart/form-data (RFC 7578) as browsers and HTTP clients send them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pangu::serve {

struct FormPart {
  std::string name;          // of the field
  std::string file_name;     // as the client says it; never a path to open. Empty: a text
  std::string content_type;  // in lower case, without parameters; empty: none was said
  std::string value;
};

inline constexpr size_t kMostFormParts = 100;

// The parts of a body whose header Content-Type is `content_type`. HttpError 415 if that is another
// type, Error kBadInput for a body that is broken, has no end, or has more parts than the limit.
std::vector<FormPart> form_parts(std::string_view content_type, std::string_view body);

}  // namespace pangu::serve
