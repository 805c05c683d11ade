#include "io/http_file.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/curl_library.h"

namespace pangu::io {
namespace {

constexpr size_t kDownloadPiece = size_t{8} << 20;
constexpr long kMaxRedirects = 5;
constexpr long kHttpOk = 200, kHttpPartial = 206, kHttpTimeout = 408, kHttpRange = 416,
               kHttpTooEarly = 425, kHttpTooMany = 429, kHttpServerError = 500;

// A URL as messages show it: without the name and password that it may hold.
std::string shown(const std::string& url) {
  const size_t host = url.find("//") + 2;
  const size_t end = std::min(url.find_first_of("/?", host), url.size());
  const size_t at = url.rfind('@', end);
  if (at == std::string::npos || at < host) return url;
  return url.substr(0, host) + "..." + url.substr(at);
}

struct HttpAnswer {
  int code = 0;  // libcurl's
  long status = 0;
  std::string range, etag, last_modified;
  std::span<std::byte> to;
  size_t filled = 0;
  bool overflowed = false;
};

size_t take_body(char* bytes, size_t, size_t count, void* into) {
  auto& answer = *static_cast<HttpAnswer*>(into);
  const size_t taken = std::min(count, answer.to.size() - answer.filled);
  if (taken > 0) std::memcpy(answer.to.data() + answer.filled, bytes, taken);
  answer.filled += taken;
  answer.overflowed = answer.overflowed || taken < count;
  return taken;  // fewer than came end the transfer
}

size_t take_header(char* bytes, size_t, size_t count, void* into) {
  auto& answer = *static_cast<HttpAnswer*>(into);
  std::string_view line(bytes, count);
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) {
    line.remove_suffix(1);
  }
  if (line.starts_with("HTTP/")) {  // of a redirection, or of what it leads to
    answer.range = answer.etag = answer.last_modified = "";
    answer.filled = 0;
    return count;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (name == "content-range") answer.range = value;
  if (name == "etag") answer.etag = value;
  if (name == "last-modified") answer.last_modified = value;
  return count;
}

// The handle of this thread, which keeps its connection.
void* curl_handle(const CurlLibrary& curl) {
  using Handle = std::unique_ptr<void, void (*)(void*)>;
  thread_local Handle handle(curl.easy_init(), curl.easy_cleanup);
  if (!handle) throw Error(ErrorCode::kUnavailable, "reading a URL: libcurl gives no handle");
  curl.easy_reset(handle.get());
  return handle.get();
}

HttpAnswer ask_once(const std::string& url, uint64_t offset, std::span<std::byte> to,
                    const HttpOptions& options) {
  const CurlLibrary& curl = curl_library();
  void* const handle = curl_handle(curl);
  HttpAnswer answer;
  answer.to = to;
  const std::string range = std::to_string(offset) + "-" + std::to_string(offset + to.size() - 1);
  curl.easy_setopt(handle, kCurlUrl, url.c_str());
  curl.easy_setopt(handle, kCurlRange, range.c_str());
  curl.easy_setopt(handle, kCurlUserAgent, "pangu-draw");
  curl.easy_setopt(handle, kCurlNoSignal, 1L);
  curl.easy_setopt(handle, kCurlFollowLocation, 1L);
  curl.easy_setopt(handle, kCurlMaxRedirects, kMaxRedirects);
  curl.easy_setopt(handle, kCurlConnectTimeoutMs, options.connect_timeout_ms);
  curl.easy_setopt(handle, kCurlLowSpeedLimit, 1L);
  curl.easy_setopt(handle, kCurlLowSpeedTime, options.stall_timeout_s);
  curl.easy_setopt(handle, kCurlWriteFunction, &take_body);
  curl.easy_setopt(handle, kCurlWriteData, &answer);
  curl.easy_setopt(handle, kCurlHeaderFunction, &take_header);
  curl.easy_setopt(handle, kCurlHeaderData, &answer);
  answer.code = curl.easy_perform(handle);
  curl.easy_getinfo(handle, kCurlResponseCode, &answer.status);
  return answer;
}

// "" for an answer that serves; else why not, for another attempt. Error kBadInput where another
// one would be of no use.
std::string complaint(const std::string& url, const HttpAnswer& answer) {
  const bool known = answer.status >= kHttpOk;
  const auto refuse = [&](const std::string& expected, const std::string& found,
                          const std::string& hint = "") {
    return bad_input("'" + shown(url) + "'", expected, found, hint);
  };
  if (known && (answer.status == kHttpTimeout || answer.status == kHttpTooEarly ||
                answer.status == kHttpTooMany || answer.status >= kHttpServerError)) {
    return "HTTP " + std::to_string(answer.status);
  }
  if (answer.status == kHttpRange) throw refuse("so many bytes", "a shorter file, or an empty one");
  if (answer.status > kHttpPartial) {
    throw refuse("a file that its server gives", "HTTP " + std::to_string(answer.status));
  }
  if (known && answer.status != kHttpPartial && (answer.overflowed || answer.code == kCurlOk)) {
    throw refuse("a server that answers ranges (HTTP 206)", "HTTP " + std::to_string(answer.status),
                 "download the file and name its folder instead");
  }
  switch (answer.code) {
    case kCurlOk:
      break;
    case kCurlUnsupportedProtocol:
    case kCurlUrlMalformed:
    case kCurlTooManyRedirects:
    case kCurlPeerFailedVerification:
    case kCurlBadCaFile:
      throw refuse("a URL that can be read", curl_library().easy_strerror(answer.code));
    default:
      return curl_library().easy_strerror(answer.code);
  }
  if (answer.filled < answer.to.size()) return "a part of the bytes";
  return "";
}

// The total size out of "bytes 0-9/1234"; false if the range begins elsewhere or has no size.
bool read_range(const std::string& range, uint64_t offset, uint64_t& size_) {
  const std::string begin = "bytes " + std::to_string(offset) + "-";
  const size_t slash = range.find('/');
  if (!range.starts_with(begin) || slash == std::string::npos) return false;
  const std::string total = range.substr(slash + 1);
  if (total.empty() || total.size() > 18 ||
      !std::all_of(total.begin(), total.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  size_ = std::stoull(total);
  return true;
}

HttpFile ask(const std::string& url, uint64_t offset, std::span<std::byte> to,
             const HttpOptions& options) {
  std::string why;
  for (int attempt = 0; attempt < options.attempts; ++attempt) {
    if (attempt > 0) {
      std::this_thread::sleep_for(
          std::chrono::milliseconds(int64_t{options.first_pause_ms} << (attempt - 1)));
    }
    const HttpAnswer answer = ask_once(url, offset, to, options);
    why = complaint(url, answer);
    if (!why.empty()) continue;
    HttpFile file;
    if (!read_range(answer.range, offset, file.size_bytes)) {
      throw bad_input("'" + shown(url) + "'", "the range that was asked for, and a size",
                      "Content-Range '" + answer.range + "'");
    }
    file.version = answer.etag.empty() ? answer.last_modified : answer.etag;
    return file;
  }
  throw Error(ErrorCode::kIo, "cannot read '" + shown(url) + "': " + why + ", " +
                                  std::to_string(options.attempts) +
                                  " times. Hint: what was read before is kept; run it again when "
                                  "the server answers");
}

}  // namespace

bool is_url(std::string_view path) {
  return path.starts_with("http://") || path.starts_with("https://");
}

HttpFile http_file(const std::string& url, const HttpOptions& options) {
  std::byte first{};
  return ask(url, 0, {&first, 1}, options);
}

void http_read(const std::string& url, uint64_t offset, std::span<std::byte> to_,
               const HttpOptions& options) {
  if (!to_.empty()) ask(url, offset, to_, options);
}

void http_download(const std::string& url, const HttpFile& file, const std::string& path,
                   const HttpOptions& options) {
  AtomicWriter writer(path);
  std::vector<std::byte> piece(kDownloadPiece);
  for (uint64_t at = 0; at < file.size_bytes; at += piece.size()) {
    piece.resize(static_cast<size_t>(std::min<uint64_t>(kDownloadPiece, file.size_bytes - at)));
    const HttpFile now = ask(url, at, piece, options);
    if (now.size_bytes != file.size_bytes || now.version != file.version) {
      throw bad_input("'" + shown(url) + "'", "the file as it was when it was opened",
                      "another version of it", "run it again");
    }
    writer.write(std::span<const std::byte>(piece));
  }
  writer.commit();
}

}  // namespace pangu::io
