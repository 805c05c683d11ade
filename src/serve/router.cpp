#include "serve/router.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace pangu::serve {
namespace {

// The parts that "{...}" stand for, or nothing if the path is another one.
std::optional<std::vector<std::string>> parts_of(std::string_view pattern, std::string_view path) {
  std::vector<std::string> parts;
  while (true) {
    const size_t pattern_end = std::min(pattern.find('/', 1), pattern.size());
    const size_t path_end = std::min(path.find('/', 1), path.size());
    const std::string_view wanted = pattern.substr(0, pattern_end),
                           found = path.substr(0, path_end);
    if (wanted.starts_with("/{")) {
      if (found.size() < 2) return {};
      parts.emplace_back(found.substr(1));
    } else if (wanted != found) {
      return {};
    }
    pattern.remove_prefix(pattern_end);
    path.remove_prefix(path_end);
    if (pattern.empty() || path.empty()) break;
  }
  if (!pattern.empty() || !path.empty()) return {};
  return parts;
}

}  // namespace

void Router::add(std::vector<Route> routes) {
  for (Route& route : routes) routes_.push_back(std::move(route));
}

const Route& Router::find(const std::string& method, const std::string& path,
                          std::vector<std::string>& parts, std::string* allowed) const {
  const std::string wanted = method == "HEAD" ? "GET" : method;
  std::string others;
  for (const Route& route : routes_) {
    auto found = parts_of(route.pattern, path);
    if (!found) continue;
    if (route.method == wanted) {
      parts = std::move(*found);
      return route;
    }
    others += (others.empty() ? "" : ", ") + route.method;
  }
  if (others.empty()) {
    throw HttpError(404, "not_found", "there is nothing at this path",
                    "docs/api.md lists all routes");
  }
  if (allowed) *allowed = others;
  throw HttpError(405, "method_not_allowed", "method: expected " + others + ", found " + method);
}

void run_route(const Route& route, const HttpRequest& request, const Respond& respond) {
  if (route.answer) {
    respond(answered([&] { return route.answer(request); }));
    return;
  }
  const auto done = std::make_shared<bool>(false);
  const Respond once = [respond, done](HttpResponse response) {
    if (std::exchange(*done, true)) return;
    respond(std::move(response));
  };
  HttpResponse failure = answered([&] {
    route.answer_later(request, once);
    return HttpResponse{.status = 0};
  });
  if (failure.status != 0) once(std::move(failure));
}

}  // namespace pangu::serve
