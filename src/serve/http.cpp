#include "serve/http.h"

#include <algorithm>
#include <cctype>

#include "core/json_reader.h"
#include "core/utf8.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr std::string_view kHint = ". Hint: ";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput:
      return 400;
    case ErrorCode::kIo:
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

bool read_query(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decoded(pair.substr(0, equals), true);
    const auto value = percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value || !is_utf8(*name) || !is_utf8(*value)) return false;
    query[*name] = *value;
  }
  return true;
}

}  // namespace

const std::string& HttpRequest::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return {};
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return {};
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += text[i] == '+' && plus_is_blank ? ' ' : text[i];
    }
  }
  return decoded;
}

bool set_target(std::string_view target, HttpRequest& request) {
  if (target.empty() || target.front() != '/') return false;
  target = target.substr(0, target.find('#'));
  const size_t question = std::min(target.find('?'), target.size());
  const auto path = percent_decoded(target.substr(0, question), false);
  if (!path || path->find('\0') != std::string::npos || !is_utf8(*path)) return false;
  request.path = *path;
  request.query.clear();
  return read_query(target.substr(std::min(question + 1, target.size())), request.query);
}

HttpError::HttpError(int status, std::string code, const std::string& message, std::string hint)
    : std::runtime_error(message), status(status), code(std::move(code)), hint(std::move(hint)) {}

json error_json(const std::string& code, const std::string& message) {
  const size_t hint = message.find(kHint);
  return {{"code", code},
          {"message", message.substr(0, hint)},
          {"hint", hint == std::string::npos ? "" : message.substr(hint + kHint.size())}};
}

std::string code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput:
      return "bad_input";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

HttpResponse json_response(int status, const json& body) {
  HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}};
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

HttpResponse error_response(const HttpError& error) {
  HttpResponse response = json_response(
      error.status,
      {{"error", {{"code", error.code}, {"message", error.what()}, {"hint", error.hint}}}});
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429) response.headers.emplace_back("Retry-After", "5");
  return response;
}

HttpResponse answered(const std::function<HttpResponse()>& action) {
  try {
    return action();
  } catch (const HttpError& error) {
    return error_response(error);
  } catch (const Error& error) {
    const json told = error_json(code_name(error.code()), error.what());
    return error_response(
        {status_of(error.code()),
         error.code() == ErrorCode::kIo ? "unavailable" : told["code"].get<std::string>(),
         told["message"], told["hint"]});
  } catch (const std::exception&) {
    return error_response({500, "internal", "the server made a mistake"});
  }
}

std::string media_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  while (!type.empty() && type.front() == ' ') type.remove_prefix(1);
  std::string lower(type);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

json json_body(const HttpRequest& request, int max_depth) {
  const std::string type = media_type(request.header("content-type"));
  if (type != "application/json") {
    throw HttpError(415, "unsupported_media_type",
                    "Content-Type: expected application/json, found '" + type + "'");
  }
  json body = parse_json(request.body, "body",
                         {.max_bytes = request.body.size() + 1, .max_depth = max_depth});
  if (!body.is_object()) throw bad_input("body", "a JSON object", short_text(body));
  return body;
}

}  // namespace pangu::serve
