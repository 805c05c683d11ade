#include "serve/multipart.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "core/error.h"
#include "serve/http.h"

namespace pangu::serve {
namespace {

constexpr size_t kLongestBoundary = 70;  // RFC 2046
constexpr size_t kMostHeadBytes = 4096;  // of one part
constexpr std::string_view kLineEnd = "\r\n";

Error broken(const char* expected) { return bad_input("multipart body", expected); }

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The value of `name=` behind the first ";", quoted or not; nothing if it is not there.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  size_t at = std::min(header.find(';'), header.size());
  while (at < header.size()) {
    ++at;
    const size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) return {};
    const bool is_it = lowered(trimmed(header.substr(at, equals - at))) == name;
    std::string value;
    at = equals + 1;
    if (at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && at + 1 < header.size()) ++at;
        value += header[at];
      }
      at = std::min(header.find(';', at), header.size());
    } else {
      const size_t end = std::min(header.find(';', at), header.size());
      value = trimmed(header.substr(at, end - at));
      at = end;
    }
    if (is_it) return value;
  }
  return {};
}

void read_head(std::string_view head, FormPart& part) {
  bool named = false;
  while (!head.empty()) {
    const size_t end = std::min(head.find(kLineEnd), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + kLineEnd.size(), head.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) throw broken("a colon in every header of a part");
    const std::string name = lowered(trimmed(line.substr(0, colon)));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (name == "content-disposition") {
      const auto field = parameter(value, "name");
      if (!field || media_type(value) != "form-data") throw broken("form-data with a name");
      part.name = *field;
      part.file_name = parameter(value, "filename").value_or("");
      named = true;
    } else if (name == "content-type") {
      part.content_type = media_type(value);
    }
  }
  if (!named) throw broken("Content-Disposition in every part");
}

}  // namespace

std::vector<FormPart> form_parts(std::string_view content_type, std::string_view body) {
  if (media_type(content_type) != "multipart/form-data") {
    throw HttpError(415, "unsupported_media_type",
                    "Content-Type: expected multipart/form-data, found '" +
                        media_type(content_type).substr(0, 100) + "'");
  }
  const std::string boundary = parameter(content_type, "boundary").value_or("");
  if (boundary.empty() || boundary.size() > kLongestBoundary) {
    throw broken("a boundary of 1 to 70 characters");
  }
  const std::string mark = "--" + boundary, next_mark = "\r\n" + mark;
  // What stands in front of the first mark is for readers that know no multipart.
  size_t at = body.starts_with(mark) ? 0 : body.find(next_mark);
  if (at == std::string_view::npos) throw broken("its boundary");
  at += at == 0 && body.starts_with(mark) ? mark.size() : next_mark.size();
  std::vector<FormPart> parts;
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with(kLineEnd)) throw broken("a line end behind the boundary");
    at += kLineEnd.size();
    const size_t head_end = body.substr(at, kMostHeadBytes).find("\r\n\r\n");
    if (head_end == std::string_view::npos) throw broken("a short head in every part");
    FormPart part;
    read_head(body.substr(at, head_end), part);
    at += head_end + 2 * kLineEnd.size();
    // An empty part's line end is that of its head.
    const size_t from = at - kLineEnd.size();
    const size_t end = body.find(next_mark, from);
    if (end == std::string_view::npos) throw broken("a boundary behind every part");
    if (end > at) part.value = body.substr(at, end - at);
    at = end + next_mark.size();
    if (parts.size() == kMostFormParts) {
      throw bad_input("multipart body", "at most " + std::to_string(kMostFormParts) + " parts");
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace pangu::serve
