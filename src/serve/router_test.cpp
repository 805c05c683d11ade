#include "serve/router.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

Router router_of_jobs() {
  Router router;
  for (const char* pattern : {"/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events", "/"}) {
    router.add(Route{.method = "GET", .pattern = pattern, .answer = {}});
  }
  router.add(Route{.method = "DELETE", .pattern = "/v1/jobs/{id}", .answer = {}});
  return router;
}

int refused_with(const Router& router, const std::string& method, const std::string& path) {
  std::vector<std::string> parts;
  try {
    router.find(method, path, parts);
    return 200;
  } catch (const HttpError& error) {
    return error.status;
  }
}

}  // namespace

TEST_CASE("a pattern's braces stand for one part of the path, whatever it is") {
  const Router router = router_of_jobs();
  std::vector<std::string> parts;
  CHECK(router.find("GET", "/v1/jobs/a b..", parts).pattern == "/v1/jobs/{id}");
  CHECK(parts == std::vector<std::string>{"a b.."});
  CHECK(router.find("GET", "/v1/jobs/a/events", parts).pattern == "/v1/jobs/{id}/events");
  CHECK(router.find("GET", "/", parts).pattern == "/");
  CHECK(router.find("HEAD", "/v1/jobs", parts).method == "GET");
}

TEST_CASE("paths that are longer, shorter or empty in between are unknown") {
  const Router router = router_of_jobs();
  for (const char* path : {"/v1", "/v1/", "/v1/jobs/", "/v1/jobs/a/", "/v1/jobs//events", "//",
                           "/v1/jobs/a/events/b"}) {
    CAPTURE(path);
    CHECK(refused_with(router, "GET", path) == 404);
  }
}

TEST_CASE("another method of a known path is 405 and names those that there are") {
  std::vector<std::string> parts;
  std::string allowed;
  CHECK_THROWS_AS(router_of_jobs().find("POST", "/v1/jobs/a", parts, &allowed), HttpError);
  CHECK(allowed == "GET, DELETE");
  CHECK(refused_with(router_of_jobs(), "POST", "/v1/jobs/a") == 405);
}

TEST_CASE("a route that answers later answers once, also if it throws behind its answer") {
  Route route{.method = "GET", .pattern = "/", .answer = {}};
  route.answer_later = [](const HttpRequest&, const Respond& respond) {
    respond(HttpResponse{.status = 202});
    throw std::runtime_error("too late");
  };
  std::vector<int> statuses;
  run_route(route, {}, [&](const HttpResponse& response) { statuses.push_back(response.status); });
  CHECK(statuses == std::vector<int>{202});
}
