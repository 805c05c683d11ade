// Against a server of a few lines, which answers what the test says. nginx: tests/e2e.
#include "io/http_file.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "core/testing.h"
#include "io/curl_library.h"
#include "io/mapped_file.h"

#if __has_include(<curl/curl.h>)
#include <curl/curl.h>
#endif

using namespace pangu;
using namespace pangu::io;

namespace {

// Answers one request a connection, until it is destroyed.
class ToyServer {
 public:
  using Answer = std::function<std::string(int request_number, const std::string& request)>;

  explicit ToyServer(Answer answer) : answer_(std::move(answer)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&here), size) == 0);
    REQUIRE(::listen(socket_, 8) == 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &size);
    port_ = ntohs(here.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~ToyServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  std::string url(const std::string& name = "shard.tar") const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/" + name;
  }
  int requests() const { return requests_; }

 private:
  void serve() {
    for (;;) {
      const int connection = ::accept(socket_, nullptr, nullptr);
      if (connection < 0) return;
      std::string request;
      char bytes[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = ::recv(connection, bytes, sizeof bytes, 0);
        if (count <= 0) break;
        request.append(bytes, static_cast<size_t>(count));
      }
      const std::string answer = answer_(requests_++, request);
      ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(connection);
    }
  }

  Answer answer_;
  int socket_ = -1, port_ = 0;
  std::atomic<int> requests_ = 0;
  std::thread thread_;
};

constexpr const char* kContent = "0123456789abcdef";

std::string answer_of(const std::string& status, const std::string& headers,
                      const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// As a server of files does it.
std::string range_of(const std::string& request, const std::string& version = "\"v1\"") {
  const std::string content = kContent;
  const size_t at = request.find("Range: bytes=") + 13, dash = request.find('-', at);
  const size_t first = std::stoul(request.substr(at)), last = std::stoul(request.substr(dash + 1));
  return answer_of("206 Partial Content",
                   "ETag: " + version + "\r\nContent-Range: bytes " + std::to_string(first) + "-" +
                       std::to_string(last) + "/" + std::to_string(content.size()) + "\r\n",
                   content.substr(first, last - first + 1));
}

const HttpOptions kImpatient{
    .connect_timeout_ms = 1000, .stall_timeout_s = 1, .attempts = 3, .first_pause_ms = 1};

std::string read_text(const std::string& url, uint64_t offset, size_t size) {
  std::string text(size, '?');
  http_read(url, offset, std::as_writable_bytes(std::span(text)), kImpatient);
  return text;
}

}  // namespace

TEST_CASE("a file is read by ranges, and copied whole") {
  const ToyServer server([](int, const std::string& request) { return range_of(request); });
  const HttpFile file = http_file(server.url(), kImpatient);
  CHECK(file.size_bytes == 16);
  CHECK(file.version == "\"v1\"");
  CHECK(read_text(server.url(), 10, 4) == "abcd");
  CHECK(read_text(server.url(), 0, 16) == kContent);
  const TestFolder folder;
  http_download(server.url(), file, folder.file("copy"), kImpatient);
  CHECK(read_text_file(folder.file("copy")) == kContent);
}

TEST_CASE("failures that may pass are tried again, and end with what the server said") {
  const ToyServer server([](int number, const std::string& request) -> std::string {
    if (number == 0) return answer_of("503 Service Unavailable", "", "later");
    if (number == 1) return range_of(request).substr(0, 100);  // the connection breaks
    return range_of(request);
  });
  CHECK(read_text(server.url(), 2, 3) == "234");
  CHECK(server.requests() == 3);

  const ToyServer broken([](int, const std::string&) { return answer_of("500 Error", "", ""); });
  std::string why;
  try {
    read_text(broken.url(), 0, 1);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    why = error.what();
  }
  CHECK(contains(why, "HTTP 500, 3 times"));
  CHECK(broken.requests() == 3);
}

TEST_CASE("answers that will not change are refused at once") {
  const auto refusal = [](const std::string& answer) {
    const ToyServer server([&](int, const std::string&) { return answer; });
    const std::string why = refusal_of([&] { read_text(server.url(), 1, 4); });
    CHECK(server.requests() == 1);
    return why;
  };
  CHECK(contains(refusal(answer_of("404 Not Found", "", "no")), "HTTP 404"));
  CHECK(contains(refusal(answer_of("200 OK", "", kContent)), "answers ranges"));
  CHECK(contains(refusal(answer_of("416 Range Not Satisfiable", "", "")), "shorter file"));
  CHECK(
      contains(refusal(answer_of("206 Partial Content", "Content-Range: bytes 0-3/16\r\n", "0123")),
               "the range that was asked for"));
  CHECK(contains(refusal_of([] { http_file("https://", kImpatient); }), "a URL"));
}

TEST_CASE("a file that changes while it is copied is refused, and nothing appears") {
  const ToyServer server([](int number, const std::string& request) {
    return range_of(request, number == 0 ? "\"v1\"" : "\"v2\"");
  });
  const TestFolder folder;
  const HttpFile file = http_file(server.url(), kImpatient);
  CHECK(contains(
      refusal_of([&] { http_download(server.url(), file, folder.file("copy"), kImpatient); }),
      "another version"));
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("messages do not show what a URL says of its user") {
  const ToyServer server([](int, const std::string&) { return answer_of("403 No", "", ""); });
  std::string url = server.url();
  url.insert(url.find("//") + 2, "me:secret@");
  const std::string why = refusal_of([&] { http_file(url, kImpatient); });
  CHECK(contains(why, "HTTP 403"));
  CHECK(!contains(why, "secret"));
}

TEST_CASE("URLs are told from paths") {
  CHECK(is_url("http://a/b.tar"));
  CHECK(is_url("https://a/b.tar"));
  CHECK(!is_url("https:/a"));
  CHECK(!is_url("data/http"));
}

#if __has_include(<curl/curl.h>)
TEST_CASE("the numbers of libcurl's interface are those of its header") {
  CHECK(int{kCurlNoSignal} == int{CURLOPT_NOSIGNAL});
  CHECK(int{kCurlMaxRedirects} == int{CURLOPT_MAXREDIRS});
  CHECK(int{kCurlFollowLocation} == int{CURLOPT_FOLLOWLOCATION});
  CHECK(int{kCurlConnectTimeoutMs} == int{CURLOPT_CONNECTTIMEOUT_MS});
  CHECK(int{kCurlLowSpeedLimit} == int{CURLOPT_LOW_SPEED_LIMIT});
  CHECK(int{kCurlLowSpeedTime} == int{CURLOPT_LOW_SPEED_TIME});
  CHECK(int{kCurlWriteData} == int{CURLOPT_WRITEDATA});
  CHECK(int{kCurlUrl} == int{CURLOPT_URL});
  CHECK(int{kCurlRange} == int{CURLOPT_RANGE});
  CHECK(int{kCurlHeaderData} == int{CURLOPT_HEADERDATA});
  CHECK(int{kCurlUserAgent} == int{CURLOPT_USERAGENT});
  CHECK(int{kCurlWriteFunction} == int{CURLOPT_WRITEFUNCTION});
  CHECK(int{kCurlHeaderFunction} == int{CURLOPT_HEADERFUNCTION});
  CHECK(kCurlResponseCode == int{CURLINFO_RESPONSE_CODE});
  CHECK(kCurlGlobalDefault == long{CURL_GLOBAL_DEFAULT});
  CHECK(int{kCurlUnsupportedProtocol} == int{CURLE_UNSUPPORTED_PROTOCOL});
  CHECK(int{kCurlUrlMalformed} == int{CURLE_URL_MALFORMAT});
  CHECK(int{kCurlTooManyRedirects} == int{CURLE_TOO_MANY_REDIRECTS});
  CHECK(int{kCurlPeerFailedVerification} == int{CURLE_PEER_FAILED_VERIFICATION});
  CHECK(int{kCurlBadCaFile} == int{CURLE_SSL_CACERT_BADFILE});
}
#endif
