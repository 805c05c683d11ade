// Which route answers a request: a table of methods and patterns.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "serve/http.h"

namespace pangu::serve {

struct Route {
  std::string method;
  std::string pattern;  // "/v1/jobs/{id}/cancel": "{...}" stands for one part of the path
  // Answers a request whose path_parts are set. It may throw HttpError and Error.
  std::function<HttpResponse(const HttpRequest&)> answer;
  // Instead of `answer`: one that answers later.
  std::function<void(const HttpRequest&, Respond)> answer_later = {};
  // Bytes that the body may have; 0: the server's limit for JSON.
  size_t body_limit = 0;
  bool needs_caller = true;  // a valid key, where the server has keys
};

class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }
  void add(std::vector<Route> routes);

  // The route for a method and path, whose parts are written into `parts`; HEAD is served by GET.
  // HttpError 404 for an unknown path, 405 for another method; `allowed` then names the methods.
  const Route& find(const std::string& method, const std::string& path,
                    std::vector<std::string>& parts, std::string* allowed = nullptr) const;

 private:
  std::vector<Route> routes_;
};

// Runs a route; every exception becomes an answer.
void run_route(const Route& route, const HttpRequest& request, const Respond& respond);

}  // namespace pangu::serve
