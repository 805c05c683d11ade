// The border of the server: any bytes as a request's target, headers, form, JSON for the web UI's
// adapter, id of an event or frame of a worker are read or refused with an error of our own.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/json_reader.h"
#include "require.h"
#include "serve/events.h"
#include "serve/frames.h"
#include "serve/http.h"
#include "serve/keys.h"
#include "serve/multipart.h"
#include "serve/picture_files.h"
#include "serve/policy.h"
#include "serve/sdapi_request.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

template <class Call>
void refused_or_read(Call&& call) {
  try {
    call();
  } catch (const HttpError& error) {
    require(error.status >= 400 && error.status < 500);
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kBadInput);
  }
}

void read_request(const std::string& text) {
  HttpRequest request;
  if (set_target(text, request)) require(request.path.find('\0') == std::string::npos);
  const Policy policy({hosts_of("127.0.0.1", 80, {}), {{"ann", "0123456789abcdef", false}}});
  for (const char* header : {"host", "origin", "cookie", "authorization"}) {
    request.headers = {{"host", "localhost"}, {header, text}};
    refused_or_read([&] { policy.check_origin(request); });
    refused_or_read([&] { policy.caller_of(request); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read_request(text);
  // The first line is the content type, the rest the body.
  const size_t line = std::min(text.find('\n'), text.size());
  refused_or_read([&] {
    for (const FormPart& part :
         form_parts(text.substr(0, line), std::string_view(text).substr(line))) {
      require(part.value.size() <= text.size());
    }
  });
  refused_or_read([&] { form_parts("multipart/form-data; boundary=b", text); });
  if (const auto id = event_id_of(text)) require(event_id_of(text_of(*id)).has_value());
  if (const auto bytes = base64_decoded(text)) {
    require(base64_decoded(base64_encoded(*bytes)) == *bytes);
  }
  refused_or_read([&] { keys_from_text(text, "keys"); });
  if (is_picture_id(text)) require(text.find('/') == std::string::npos);
  refused_or_read([&] {
    FrameReader reader;
    reader.add(text);
    while (const auto frame = reader.next()) require(frame->head.is_object());
  });
  refused_or_read([&] {
    const auto body = parse_json(text, "body", {.max_bytes = 8192, .max_depth = 16});
    if (!body.is_object()) return;
    for (const bool is_img2img : {false, true}) {
      refused_or_read([&] { sdapi_request(body, is_img2img, {}, nlohmann::json::object()); });
    }
  });
  return 0;
}
