#include "serve/api.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/hash.h"
#include "core/json_reader.h"
#include "io/mapped_file.h"
#include "serve/metrics.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr int kLowestPriority = -10, kHighestPriority = 10;
constexpr int kMostPreviewSteps = 1000;
constexpr size_t kLongestIdempotencyKey = 200;
constexpr int kMostListed = 200, kUsuallyListed = 50;
constexpr size_t kMostPageBytes = size_t{32} << 20;
constexpr const char* kPlaceholder =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>pangu-draw</title>"
    "<p>The server runs. Its page is not there; the API is described in docs/api.md.</p></html>\n";
// Inline scripts and styles, since the page is one file; nothing of any other site.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src data:; connect-src 'self'; manifest-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

int whole_number_of(const std::string& what, const std::string& text, int low, int high) {
  int number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    throw bad_input(what, std::to_string(low) + " to " + std::to_string(high), "'" + text + "'");
  }
  return number;
}

NewJob job_of_body(const HttpRequest& request) {
  JsonReader body("body", json_body(request));
  NewJob job;
  json spec = json::object();
  const json recipe = body.get("recipe", json());
  if (!recipe.is_null()) {
    job.kind = "coop";
    if (!recipe.is_object()) throw body.error("recipe", "a JSON object", short_text(recipe));
    for (const char* other : {"request", "model", "load"}) {
      if (body.has(other)) throw body.error(other, "none beside a recipe", "one");
    }
    spec["recipe"] = recipe;
    spec["member_previews"] = body.get("member_previews", false);
    body.passes("request");
    body.passes("model");
    body.passes("load");
  } else {
    job.kind = "draw";
    spec["request"] = body.need<json>("request");
    spec["model"] = body.get("model", std::string());
    spec["load"] = body.get("load", json::object());
    body.passes("member_previews");
  }
  int preview_every = 1;
  body.read("preview_every", preview_every, 0, kMostPreviewSteps);
  spec["preview_every"] = preview_every;
  for (const char* how : {"output_format", "output_compression"}) {
    if (body.has(how)) spec[how] = body.get(how, json());
    body.passes(how);
  }
  body.read("priority", job.priority, kLowestPriority, kHighestPriority);
  body.refuse_unread();
  if (job.priority > 0 && !request.caller.admin) {
    throw HttpError(403, "forbidden",
                    "priority: expected 0 or less, found " + std::to_string(job.priority),
                    "an administrator's key may order");
  }
  job.spec = std::move(spec);
  job.idempotency.key = request.header("idempotency-key");
  if (job.idempotency.key.size() > kLongestIdempotencyKey) {
    throw bad_input("Idempotency-Key", "at most 200 bytes",
                    std::to_string(job.idempotency.key.size()));
  }
  if (!job.idempotency.key.empty()) job.idempotency.body_hash = sha256_hex(request.body);
  return job;
}

HttpResponse accepted(Api& api, const Job& job) {
  HttpResponse response = json_response(202, api.queue.shown(job));
  response.headers.emplace_back("Location", "/v1/jobs/" + job.id);
  return response;
}

// Answers that a worker gave to a question, as an error of ours if it is one.
std::optional<HttpError> refusal_in(const json& answer) {
  const auto error = answer.find("error");
  if (error == answer.end() || !error->is_object()) return {};
  const std::string code = error->value("code", "internal");
  const int status = code == "bad_input" ? 400 : code == "internal" ? 500 : 503;
  const json told = error_json(code, error->value("message", ""));
  return HttpError(status, code == "io" ? "unavailable" : code, told["message"], told["hint"]);
}

HttpResponse list_jobs(Api& api, const HttpRequest& request) {
  JobFilter filter;
  if (!request.caller.admin) filter.owner = request.caller.name;
  filter.limit = kUsuallyListed;
  for (const auto& [name, value] : request.query) {
    if (name == "state") {
      std::string_view rest = value;
      while (!rest.empty()) {
        const size_t comma = std::min(rest.find(','), rest.size());
        const auto state = job_state_of(rest.substr(0, comma));
        if (!state) {
          throw bad_input("state", "some of queued,running,done,failed,cancelled",
                          "'" + value + "'");
        }
        filter.states.push_back(*state);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
      }
    } else if (name == "limit") {
      filter.limit = whole_number_of("limit", value, 1, kMostListed);
    } else if (name == "before") {
      filter.before = job_of(api, request.caller, value).number;
    } else {
      throw bad_input("query", "state, limit or before", "'" + name + "'");
    }
  }
  ++filter.limit;  // one more says whether there are more
  std::vector<Job> jobs = api.queue.list(filter);
  const bool more = static_cast<int>(jobs.size()) == filter.limit;
  if (more) jobs.pop_back();
  json list = json::array();
  for (const Job& job : jobs) list.push_back(api.queue.shown(job));
  return json_response(200, {{"jobs", list}, {"next", more ? json(jobs.back().id) : json()}});
}

HttpResponse picture_response(Api& api, const HttpRequest& request) {
  const StoredPicture picture = picture_of(api, request.caller, request.path_parts[0]);
  HttpResponse response;
  const std::string tag = "\"" + picture.id + "\"";
  response.headers = {{"Content-Type", picture.content_type},
                      {"ETag", tag},
                      {"Cache-Control", "private, max-age=31536000, immutable"},
                      {"Content-Security-Policy", "default-src 'none'"}};
  if (request.header("if-none-match").find(tag) != std::string::npos) {
    response.status = 304;
    return response;
  }
  response.body = api.files.read(picture.id);
  return response;
}

HttpResponse upload_response(Api& api, const HttpRequest& request) {
  const std::string type = media_type(request.header("content-type"));
  if (!type.starts_with("image/") && type != "application/octet-stream") {
    throw HttpError(
        415, "unsupported_media_type",
        "Content-Type: expected image/png, image/jpeg or image/webp, found '" + type + "'");
  }
  bool was_there = false;
  const StoredPicture picture = keep_upload(api, request.caller, request.body, &was_there);
  const std::string url = "/v1/pictures/" + picture.id;
  HttpResponse response =
      json_response(was_there ? 200 : 201, {{"id", picture.id},
                                            {"url", url},
                                            {"width", picture.width},
                                            {"height", picture.height},
                                            {"content_type", picture.content_type},
                                            {"bytes", picture.bytes}});
  response.headers.emplace_back("Location", url);
  return response;
}

HttpResponse page_response(const Api& api) {
  HttpResponse response;
  response.headers = {{"Content-Type", "text/html; charset=utf-8"},
                      {"Cache-Control", "no-cache"},
                      {"Content-Security-Policy", kPagePolicy}};
  try {
    response.body = io::read_text_file(api.page, kMostPageBytes);
  } catch (const Error&) {
    response.body = kPlaceholder;
  }
  return response;
}

json capabilities(const Api& api) {
  json all = api.queue.catalog().value("capabilities", json::object());
  all["version"] = api.version;
  all["limits"] = {{"body_bytes", api.limits.body_bytes},
                   {"pixels", api.limits.pictures.max_pixels},
                   {"count", api.limits.count},
                   {"queue", api.limits.queue},
                   {"queue_per_key", api.limits.queue_per_key}};
  return all;
}

// Lets a worker check a spec, and the store its pictures. `then` gets the worker's answer with the
// ids of "inputs"; what is wrong becomes the answer to the client.
void check_spec(Api& api, const Caller& caller, const std::string& kind, const json& spec,
                std::function<void(const json& answer)> then, const Respond& refused) {
  api.queue.ask({{"type", "check"}, {"kind", kind}, {"spec", spec}},
                [&api, caller, then = std::move(then), refused](const json& answer) {
                  HttpResponse failure = answered([&] {
                    if (const auto refusal = refusal_in(answer)) throw HttpError(*refusal);
                    for (const json& input : answer.value("inputs", json::array())) {
                      picture_of(api, caller, input.get<std::string>());
                    }
                    then(answer);
                    return HttpResponse{.status = 0};
                  });
                  if (failure.status != 0) refused(std::move(failure));
                });
}

void tell_plan(Api& api, const HttpRequest& request, const Respond& respond) {
  const NewJob job = job_of_body(request);
  const auto ask = [&api, spec = job.spec, respond](const json& checked) {
    json paths = json::object();
    for (const json& input : checked.value("inputs", json::array())) {
      paths[input.get<std::string>()] = api.files.path_of(input.get<std::string>());
    }
    api.queue.ask({{"type", "plan"},
                   {"spec", spec},
                   {"pictures", std::move(paths)},
                   {"speeds", api.queue.speeds()}},
                  [respond](const json& answer) {
                    if (const auto refusal = refusal_in(answer)) {
                      respond(error_response(*refusal));
                    } else {
                      respond(json_response(200, answer.value("plan", json::object())));
                    }
                  });
  };
  check_spec(api, request.caller, job.kind, job.spec, ask, respond);
}

void make_control(Api& api, const HttpRequest& request, const Respond& respond) {
  JsonReader body("body", json_body(request));
  NewJob job{.kind = "control", .spec = json::object()};
  json options = body.json();
  body.need<std::string>("kind");
  const StoredPicture picture = picture_of(api, request.caller, request.path_parts[0]);
  job.spec = {{"source", picture.id}, {"options", options}};
  submit_checked(
      api, request.caller, std::move(job),
      [&api, respond](const Job& made) { respond(accepted(api, made)); }, respond);
}

void tell_settings(Api& api, const HttpRequest& request, const Respond& respond) {
  const StoredPicture picture = picture_of(api, request.caller, request.path_parts[0]);
  api.queue.ask({{"type", "settings"}, {"path", api.files.path_of(picture.id)}},
                [respond](const json& answer) {
                  if (const auto refusal = refusal_in(answer)) {
                    respond(error_response(*refusal));
                  } else {
                    respond(json_response(200, answer.value("settings", json::object())));
                  }
                });
}

std::vector<Route> session_routes(Api& api) {
  return {
      {.method = "POST",
       .pattern = "/v1/session",
       .answer =
           [&api](const HttpRequest& request) {
             JsonReader body("body", json_body(request));
             const std::string key = body.need<std::string>("key");
             body.refuse_unread();
             HttpResponse response{.status = 204};
             response.headers.emplace_back("Set-Cookie", api.policy.open_session(key));
             return response;
           },
       .needs_caller = false},
      {.method = "GET",
       .pattern = "/v1/session",
       .answer =
           [&api](const HttpRequest& request) {
             return json_response(200, {{"name", request.caller.name},
                                        {"admin", request.caller.admin},
                                        {"needs_key", api.policy.has_keys()}});
           }},
      {.method = "DELETE", .pattern = "/v1/session", .answer = [&api](const HttpRequest& request) {
         HttpResponse response{.status = 204};
         response.headers.emplace_back("Set-Cookie", api.policy.close_session(request));
         return response;
       }}};
}

std::vector<Route> job_routes(Api& api) {
  return {{.method = "POST",
           .pattern = "/v1/jobs",
           .answer = {},
           .answer_later =
               [&api](const HttpRequest& request, const Respond& respond) {
                 submit_checked(
                     api, request.caller, job_of_body(request),
                     [&api, respond](const Job& job) { respond(accepted(api, job)); }, respond);
               }},
          {.method = "POST",
           .pattern = "/v1/plan",
           .answer = {},
           .answer_later = [&api](const HttpRequest& request,
                                  const Respond& respond) { tell_plan(api, request, respond); }},
          {.method = "GET",
           .pattern = "/v1/jobs",
           .answer = [&api](const HttpRequest& request) { return list_jobs(api, request); }},
          {.method = "GET",
           .pattern = "/v1/jobs/{id}",
           .answer =
               [&api](const HttpRequest& request) {
                 const Job job = job_of(api, request.caller, request.path_parts[0]);
                 return json_response(200, api.queue.shown(job));
               }},
          {.method = "DELETE",
           .pattern = "/v1/jobs/{id}",
           .answer =
               [&api](const HttpRequest& request) {
                 api.queue.forget(job_of(api, request.caller, request.path_parts[0]));
                 return HttpResponse{.status = 204};
               }},
          {.method = "POST",
           .pattern = "/v1/jobs/{id}/cancel",
           .answer =
               [&api](const HttpRequest& request) {
                 const Job job = job_of(api, request.caller, request.path_parts[0]);
                 if (is_final(job.state)) return json_response(200, api.queue.shown(job));
                 return json_response(202, api.queue.shown(api.queue.cancel(job)));
               }},
          {.method = "GET",
           .pattern = "/v1/jobs/{id}/events",
           .answer = [&api](const HttpRequest& request) {
             const Job job = job_of(api, request.caller, request.path_parts[0]);
             std::string last = request.header("last-event-id");
             const auto asked = request.query.find("last_event_id");
             if (last.empty() && asked != request.query.end()) last = asked->second;
             HttpResponse response;
             response.headers = {{"Content-Type", "text/event-stream"},
                                 {"Cache-Control", "no-store"},
                                 {"X-Accel-Buffering", "no"}};
             response.stream = job_events(api, job, last);
             return response;
           }}};
}

std::vector<Route> picture_routes(Api& api) {
  return {
      {.method = "POST",
       .pattern = "/v1/pictures",
       .answer = [&api](const HttpRequest& request) { return upload_response(api, request); },
       .body_limit = api.limits.body_bytes},
      {.method = "GET",
       .pattern = "/v1/pictures/{id}",
       .answer = [&api](const HttpRequest& request) { return picture_response(api, request); }},
      {.method = "GET",
       .pattern = "/v1/pictures/{id}/settings",
       .answer = {},
       .answer_later = [&api](const HttpRequest& request,
                              const Respond& respond) { tell_settings(api, request, respond); }},
      {.method = "POST",
       .pattern = "/v1/pictures/{id}/controls",
       .answer = {},
       .answer_later = [&api](const HttpRequest& request, const Respond& respond) {
         make_control(api, request, respond);
       }}};
}

std::vector<Route> server_routes(Api& api) {
  return {{.method = "GET",
           .pattern = "/v1/models",
           .answer =
               [&api](const HttpRequest&) {
                 return json_response(
                     200, {{"object", "list"},
                           {"data", api.queue.catalog().value("models", json::array())}});
               }},
          {.method = "POST",
           .pattern = "/v1/models/refresh",
           .answer = {},
           .answer_later =
               [&api](const HttpRequest&, const Respond& respond) {
                 api.queue.refresh_catalog([&api, respond] {
                   respond(json_response(
                       200, {{"object", "list"},
                             {"data", api.queue.catalog().value("models", json::array())}}));
                 });
               }},
          {.method = "GET",
           .pattern = "/v1/capabilities",
           .answer = [&api](const HttpRequest&) { return json_response(200, capabilities(api)); }},
          {.method = "GET",
           .pattern = "/v1/queue",
           .answer =
               [&api](const HttpRequest&) {
                 return json_response(200, {{"waiting", api.queue.waiting_count()},
                                            {"running", api.queue.running_count()},
                                            {"limit", api.limits.queue},
                                            {"workers", api.queue.worker_count()},
                                            {"seconds_waited", api.queue.seconds_waited()}});
               }},
          {.method = "GET",
           .pattern = "/",
           .answer = [&api](const HttpRequest&) { return page_response(api); },
           .needs_caller = false}};
}

}  // namespace

Job job_of(Api& api, const Caller& caller, const std::string& id) {
  if (auto job = api.queue.find(caller, id)) return *std::move(job);
  throw HttpError(404, "not_found", "job: there is none of this id");
}

StoredPicture picture_of(Api& api, const Caller& caller, const std::string& id) {
  const auto picture = is_picture_id(id) ? api.store.find_picture(id) : std::nullopt;
  if (!picture || !(caller.admin || api.store.may_see(caller.name, id))) {
    throw HttpError(404, "not_found", "picture: there is none of this id");
  }
  if (picture->removed || !api.files.has(id)) {
    throw HttpError(410, "gone", "picture: it was removed for space");
  }
  return *picture;
}

StoredPicture keep_upload(Api& api, const Caller& caller, std::string_view bytes, bool* was_there) {
  const WallMs now = api.clock.wall_ms();
  const StoredPicture picture = picture_of_bytes(bytes, api.limits.pictures, now);
  const bool known = api.store.may_see(caller.name, picture.id) && api.files.has(picture.id);
  if (was_there) *was_there = known;
  api.files.write(picture, bytes);
  constexpr WallMs kForEver = WallMs{1} << 53;
  api.store.add_upload(caller.name, picture,
                       api.retention_ms > 0 ? now + api.retention_ms : kForEver);
  return picture;
}

void submit_checked(Api& api, const Caller& caller, NewJob job, std::function<void(Job)> then,
                    const Respond& refused) {
  const std::string kind = job.kind;
  const json spec = job.spec;
  check_spec(
      api, caller, kind, spec,
      [&api, caller, job = std::move(job), then = std::move(then)](const json& answer) {
        NewJob checked = job;
        checked.spec["inputs"] = answer.value("inputs", json::array());
        checked.spec["fresh_seed"] = answer.value("fresh_seed", uint64_t{0});
        then(api.queue.submit(caller, std::move(checked)));
      },
      refused);
}

StartStream job_events(Api& api, const Job& job, const std::string& last_event_id) {
  return [&api, id = job.id, last_event_id](StreamSink sink) -> std::function<void()> {
    const auto shared = std::make_shared<StreamSink>(std::move(sink));
    const auto send = [&api, shared](const Event& event) {
      const bool sent =
          shared->send(sse_text({api.events.start(), event.number}, event), is_droppable(event));
      if (!sent || is_last(event)) shared->close();
    };
    // The number is read before the job, so that nothing happens unheard between the two.
    const int64_t number = api.events.last_number(id);
    const auto last = event_id_of(last_event_id);
    const auto missed = last ? api.events.since(id, *last) : std::nullopt;
    const auto job_now = api.store.find(id);
    const bool is_over = !job_now || is_final(job_now->state);
    if (missed && !(is_over && missed->empty())) {
      for (const Event& event : *missed) send(event);
      if (!missed->empty() && is_last(missed->back())) return [] {};
      return api.events.listen(id, send, missed->empty() ? last->number : missed->back().number);
    }
    send({number, "state", job_now ? api.queue.shown(*job_now) : json::object()});
    if (is_over) {
      send({number, job_now ? name_of(job_now->state) : "cancelled",
            job_now ? api.queue.shown(*job_now) : json::object()});
      return [] {};
    }
    for (const Event& preview : api.events.last_previews(id)) send(preview);
    return api.events.listen(id, send, number);
  };
}

std::vector<Route> health_routes(Api& api) {
  return {{.method = "GET",
           .pattern = "/healthz",
           .answer = [](const HttpRequest&) { return json_response(200, {{"status", "ok"}}); },
           .needs_caller = false},
          {.method = "GET",
           .pattern = "/readyz",
           .answer =
               [&api](const HttpRequest&) {
                 if (!api.queue.is_ready()) {
                   throw HttpError(503, "unavailable", "no worker is ready, or the disk is full");
                 }
                 return json_response(200, {{"status", "ready"}});
               },
           .needs_caller = false},
          {.method = "GET", .pattern = "/metrics", .answer = [&api](const HttpRequest& request) {
             if (!request.caller.admin) {
               throw HttpError(403, "forbidden", "metrics: expected an administrator's key");
             }
             HttpResponse response;
             response.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}};
             response.body = metrics_text(api.queue, api.store);
             return response;
           }}};
}

std::vector<Route> api_routes(Api& api) {
  std::vector<Route> all;
  for (auto part : {session_routes(api), job_routes(api), picture_routes(api), server_routes(api),
                    health_routes(api)}) {
    for (Route& route : part) all.push_back(std::move(route));
  }
  return all;
}

}  // namespace pangu::serve
