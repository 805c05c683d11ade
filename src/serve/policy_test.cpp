#include "serve/policy.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

constexpr const char *kAnn = "0123456789abcdef-ann", *kRoot = "0123456789abcdef-root";

Policy policy_with_keys() {
  return Policy({hosts_of("127.0.0.1", 7860, {"Example.org"}),
                 {{"ann", kAnn, false}, {"root", kRoot, true}}});
}

HttpRequest request_with(std::map<std::string, std::string> headers) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/v1/jobs";
  request.headers = std::move(headers);
  return request;
}

template <class Act>
int status_of(const Act& act) {
  try {
    act();
    return 200;
  } catch (const HttpError& error) {
    return error.status;
  }
}

}  // namespace

TEST_CASE("only the server's own names are a Host, so that a rebound name reaches nothing") {
  const Policy policy = policy_with_keys();
  const auto status = [&](const std::string& host) {
    return status_of([&] { policy.check_origin(request_with({{"host", host}})); });
  };
  for (const char* host : {"127.0.0.1:7860", "localhost:7860", "LOCALHOST:7860", "[::1]:7860",
                           "example.org", "example.org:443"}) {
    CAPTURE(host);
    CHECK(status(host) == 200);
  }
  for (const char* host : {"", "evil.test", "evil.test:7860", "127.0.0.1:80", "127.0.0.1",
                           "localhost.evil.test:7860", "example.org.evil.test"}) {
    CAPTURE(host);
    CHECK(status(host) == 403);
  }
}

TEST_CASE("a page of another site cannot ask, whether its browser sends Origin or Sec-Fetch-Site") {
  const Policy policy = policy_with_keys();
  const auto status = [&](const std::string& name, const std::string& value) {
    return status_of(
        [&] { policy.check_origin(request_with({{"host", "localhost:7860"}, {name, value}})); });
  };
  CHECK(status("origin", "http://localhost:7860") == 200);
  CHECK(status("origin", "https://example.org") == 200);
  CHECK(status("origin", "null") == 403);
  CHECK(status("origin", "http://localhost:3000") == 403);
  CHECK(status("origin", "http://evil.test") == 403);
  CHECK(status("sec-fetch-site", "same-origin") == 200);
  CHECK(status("sec-fetch-site", "cross-site") == 403);
  CHECK(status("sec-fetch-site", "same-site") == 403);
}

TEST_CASE("a link of another site may open the page") {
  HttpRequest request =
      request_with({{"host", "localhost:7860"}, {"sec-fetch-site", "cross-site"}});
  request.method = "GET";
  request.path = "/";
  CHECK(status_of([&] { policy_with_keys().check_origin(request); }) == 200);
}

TEST_CASE("a key is taken as Bearer, as the password of Basic and as X-Api-Key") {
  const Policy policy = policy_with_keys();
  const auto name = [&](const std::string& header, const std::string& value) {
    return policy.caller_of(request_with({{header, value}})).name;
  };
  CHECK(name("authorization", std::string("Bearer ") + kAnn) == "ann");
  CHECK(name("authorization", "bearer " + std::string(kRoot)) == "root");
  CHECK(name("authorization", "Basic " + base64_encoded("any:" + std::string(kAnn))) == "ann");
  CHECK(name("x-api-key", kAnn) == "ann");
  CHECK(policy.caller_of(request_with({{"x-api-key", kRoot}})).admin);
  for (const char* wrong : {"Bearer x", "Bearer ", "Basic !", "Basic eA==", "Digest x"}) {
    CAPTURE(wrong);
    CHECK(status_of([&] { policy.caller_of(request_with({{"authorization", wrong}})); }) == 401);
  }
  CHECK(status_of([&] { policy.caller_of(request_with({})); }) == 401);
}

TEST_CASE("a session is worth its key until it is closed") {
  Policy policy = policy_with_keys();
  CHECK(status_of([&] { policy.open_session("wrong"); }) == 401);
  const std::string cookie = policy.open_session(kAnn);
  CHECK(contains(cookie, "HttpOnly; SameSite=Strict"));
  const HttpRequest request =
      request_with({{"cookie", "a=b; " + cookie.substr(0, cookie.find(';'))}});
  CHECK(policy.caller_of(request).name == "ann");
  policy.close_session(request);
  CHECK(status_of([&] { policy.caller_of(request); }) == 401);
}

TEST_CASE("without keys whoever may connect is the administrator") {
  const Policy policy({hosts_of("127.0.0.1", 1, {}), {}});
  CHECK(policy.caller_of(request_with({})).admin);
}

TEST_CASE("a file of keys names the line that is wrong") {
  const auto refused = [](const std::string& text) {
    return refusal_of([&] { keys_from_text(text, "keys"); });
  };
  const auto keys =
      keys_from_text("# us\n\nann 0123456789abcdef\nroot 0123456789abcdeg admin\n", "k");
  REQUIRE(keys.size() == 2);
  CHECK(keys[0].name == "ann");
  CHECK_FALSE(keys[0].admin);
  CHECK(keys[1].admin);
  CHECK(contains(refused("a short"), "keys:1"));
  CHECK(contains(refused("a 0123456789abcdef\na 0123456789abcdeg"), "keys:2"));
  CHECK(contains(refused("a 0123456789abcdef boss"), "keys:1"));
  CHECK(contains(refused("a/b 0123456789abcdef"), "keys:1"));
  CHECK(contains(refused("# none"), "NAME KEY"));
}

TEST_CASE("base64 gives back the bytes, and other texts are none") {
  for (const std::string& bytes :
       std::vector<std::string>{"", "a", "ab", "abc", std::string("\0\xff\x80", 3)}) {
    CHECK(base64_decoded(base64_encoded(bytes)) == bytes);
  }
  CHECK(base64_encoded("Ma") == "TWE=");
  CHECK_FALSE(base64_decoded("a"));
  CHECK_FALSE(base64_decoded("ab c"));
}
