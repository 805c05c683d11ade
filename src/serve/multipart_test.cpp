#include "serve/multipart.h"

#include "core/testing.h"
#include "serve/http.h"

using namespace pangu;
using namespace pangu::serve;

namespace {
constexpr const char* kType = "multipart/form-data; boundary=\"a b\"";
}  // namespace

TEST_CASE("texts and files of a form are its parts, bytes as they are") {
  const std::string body =
      "--a b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na fox\r\nof ice\r\n"
      "--a b\r\ncontent-disposition: form-data; name=image; filename=\"../x \\\"y\\\".png\"\r\n"
      "Content-Type: image/PNG\r\n\r\n" +
      std::string("\0\r\n--a\r\n", 8) +
      "\r\n--a b\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--a b--\r\n";
  const auto parts = form_parts(kType, body);
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].name == "prompt");
  CHECK(parts[0].value == "a fox\r\nof ice");
  CHECK(parts[1].file_name == "../x \"y\".png");
  CHECK(parts[1].content_type == "image/png");
  CHECK(parts[1].value == std::string("\0\r\n--a\r\n", 8));
  CHECK(parts[2].value.empty());
}

TEST_CASE("a form that is broken is refused") {
  const std::string head = "Content-Disposition: form-data; name=\"a\"\r\n\r\n";
  for (const std::string& body : std::vector<std::string>{
           "", "--a b", "--a b\r\n" + head, "--a b\r\n" + head + "x\r\n--a",
           std::string("--a b\r\n\r\nx\r\n--a b--"), "--a bx\r\n" + head + "x\r\n--a b--",
           "--a b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a b--",
           "--a b\r\nX: " + std::string(5000, 'y') + "\r\n\r\nx\r\n--a b--"}) {
    CAPTURE(body.substr(0, 60));
    CHECK(contains(refusal_of([&] { form_parts(kType, body); }), "multipart"));
  }
  CHECK_THROWS_AS(form_parts("application/json", "{}"), HttpError);
  CHECK(contains(refusal_of([&] { form_parts("multipart/form-data", "--"); }), "boundary"));
}
