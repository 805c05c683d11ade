// Files on web servers, read by ranges (RFC 9110, section 14) through libcurl. That library is
// loaded when the first URL is read, so nothing that reads none needs it; proxies and certificates
// are those of its environment (https_proxy, SSL_CERT_FILE, ...). A connection is kept open for
// each thread. Knows no format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pangu::io {

// Begins with "http://" or "https://".
bool is_url(std::string_view path);

struct HttpOptions {
  long connect_timeout_ms = 10'000;
  long stall_timeout_s = 30;  // of a transfer in which nothing arrives
  int attempts = 5;           // at one range
  int first_pause_ms = 500;   // before the second attempt; doubles each time
};

struct HttpFile {
  uint64_t size_bytes = 0;
  std::string version;  // ETag, else Last-Modified, else "": another one is another content
};

// What the server says of a file, asked by the range of its first byte. Connections that fail, and
// the answers 408, 425, 429 and 5xx, are tried again. Errors: kBadInput for other answers and for a
// server that gives no ranges; kIo when all attempts failed; kUnavailable without libcurl.
HttpFile http_file(const std::string& url, const HttpOptions& options = {});

// Fills `to_` with the bytes from `offset` on. Errors as http_file.
void http_read(const std::string& url, uint64_t offset, std::span<std::byte> to_,
               const HttpOptions& options = {});

// Copies the whole file to `path`, which appears complete (io/atomic_file.h). `file`: what the
// server said of it; kBadInput if it says another thing meanwhile.
void http_download(const std::string& url, const HttpFile& file, const std::string& path,
                   const HttpOptions& options = {});

}  // namespace pangu::io
