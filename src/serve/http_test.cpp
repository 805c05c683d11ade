#include "serve/http.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

TEST_CASE("a target is parted into its path and its decoded query") {
  HttpRequest request;
  REQUIRE(set_target("/v1/jobs?state=queued%2Crunning&q=a+b&flag", request));
  CHECK(request.path == "/v1/jobs");
  CHECK(request.query.at("state") == "queued,running");
  CHECK(request.query.at("q") == "a b");
  CHECK(request.query.at("flag") == "");
}

TEST_CASE("a broken escape, a zero byte and bytes that are no UTF-8 are no path") {
  HttpRequest request;
  for (const char* target : {"", "v1", "/%", "/%2", "/%zz", "/a%00b", "/%ff", "/?a=%ff"}) {
    CAPTURE(target);
    CHECK_FALSE(set_target(target, request));
  }
}

TEST_CASE("an error's hint stands apart from its message") {
  const auto told = error_json("bad_input", "steps: expected 1, found 2. Hint: less");
  CHECK(told["message"] == "steps: expected 1, found 2");
  CHECK(told["hint"] == "less");
  CHECK(error_json("bad_input", "no")["hint"] == "");
}

TEST_CASE("errors become answers of their status, and other exceptions say nothing of the inside") {
  const auto status = [](auto throwing) {
    return answered([&]() -> HttpResponse { throw throwing; }).status;
  };
  CHECK(status(bad_input("x")) == 400);
  CHECK(status(Error(ErrorCode::kIo, "disk full")) == 503);
  CHECK(status(HttpError(429, "too_many", "full")) == 429);
  const HttpResponse inside =
      answered([]() -> HttpResponse { throw std::runtime_error("secret"); });
  CHECK(inside.status == 500);
  CHECK_FALSE(contains(inside.body, "secret"));
}

TEST_CASE("a body is JSON only if its content type says so, whatever the case and charset") {
  HttpRequest request;
  request.body = R"({"a": 1})";
  const auto status = [&](const std::string& type) {
    request.headers["content-type"] = type;
    return answered([&] {
             json_body(request);
             return HttpResponse{};
           })
        .status;
  };
  CHECK(status("application/json") == 200);
  CHECK(status("Application/JSON; charset=utf-8") == 200);
  CHECK(status("text/plain") == 415);
  CHECK(status("") == 415);
  request.body = "[1]";
  CHECK(status("application/json") == 400);
  request.body = std::string(100, '[');
  CHECK(status("application/json") == 400);
}
