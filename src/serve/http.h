// A request and its answer as plain values, so that routing, policy and every route can be tested
// without a socket. Reading and writing the bytes of a connection is server.h.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pangu::serve {

// Who asks, as policy.h found out.
struct Caller {
  std::string name;    // owns what it makes
  bool admin = false;  // sees and orders all
};

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // percent-decoded, without the query
  std::map<std::string, std::string> query;    // decoded; of a name that comes twice the last
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::vector<std::string> path_parts;  // what "{...}" of the route's pattern stands for
  Caller caller;
  // Has `act` called, once at most, if the client goes away before it is answered. Empty where
  // there is no connection.
  std::function<void(std::function<void()> act)> when_gone;

  // The value of a header, "" if there is none. `name` in lower case.
  const std::string& header(const std::string& name) const;
};

// Takes the pieces of a stream of server-sent events on their way to a connection.
struct StreamSink {
  // Sends bytes; false: the connection is gone or too slow, and nothing more is wanted.
  // `droppable`: the bytes may be left out if the client does not keep up.
  std::function<bool(std::string bytes, bool droppable)> send;
  // Ends the answer.
  std::function<void()> close;
};
// Begins to send into the sink; what it returns is called once, when the connection is gone.
using StartStream = std::function<std::function<void()>(StreamSink sink)>;

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  StartStream stream = {};  // instead of a body; empty: none
};

// Answers one request, at once or later; called exactly once, on the front's thread.
using Respond = std::function<void(HttpResponse)>;

// Splits "/v1/jobs?state=queued" into path and query of `request`. False if an escape is broken,
// the path does not begin with "/", or holds a zero byte or bytes that are no UTF-8.
bool set_target(std::string_view target, HttpRequest& request);

// "%2F" and, in queries, "+" decoded; nothing for a broken escape.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank);

// A problem of a request with the status that it is answered with.
class HttpError : public std::runtime_error {
 public:
  HttpError(int status, std::string code, const std::string& message, std::string hint = "");
  int status;
  std::string code, hint;
};

// {"code", "message", "hint"} of a message "WHAT: expected E, found F. Hint: H".
nlohmann::json error_json(const std::string& code, const std::string& message);
// "bad_input", "io", "unavailable", "internal".
std::string code_name(ErrorCode code);

HttpResponse json_response(int status, const nlohmann::json& body);
HttpResponse error_response(const HttpError& error);
// What `action` answers; an HttpError or Error that it throws becomes the answer, and every other
// exception a 500 that says nothing of the server's inside.
HttpResponse answered(const std::function<HttpResponse()>& action);

// The JSON object of a body. HttpError 415 if the content type is another one, 400 if it is no
// object or is nested deeper than `max_depth`.
nlohmann::json json_body(const HttpRequest& request, int max_depth = 32);

// The media type of a header's value in lower case, without parameters.
std::string media_type(std::string_view content_type);

}  // namespace pangu::serve
