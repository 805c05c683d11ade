#include "serve/openai.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "core/error.h"
#include "core/json_reader.h"
#include "image/image.h"
#include "image/mask.h"
#include "serve/keys.h"
#include "serve/multipart.h"
#include "serve/waiting.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr int kMostImages = 10, kMostPartials = 3;
constexpr WallMs kMsASecond = 1000;

// What a client asks for, beside what becomes the job.
struct ImagesAsked {
  NewJob job;
  std::string kind;  // "image_generation", "image_edit": of the events
  std::string format = "png";
  bool as_url = false, streams = false;
  int partials = 0;
  std::string host;     // of the request, for addresses
  std::string ignored;  // names of fields that change nothing here
};

// The API's own form. A client tries again by itself what may go better later, and nothing else.
HttpResponse openai_error(const HttpError& error) {
  const std::string message =
      std::string(error.what()) + (error.hint.empty() ? "" : ". Hint: " + error.hint);
  const bool later = error.status == 429 || error.status == 503;
  HttpResponse response = json_response(
      error.status, {{"error",
                      {{"message", message},
                       {"type", error.status < 500 ? "invalid_request_error" : "server_error"},
                       {"param", nullptr},
                       {"code", error.code}}}});
  response.headers.emplace_back("x-should-retry", later ? "true" : "false");
  if (later) response.headers.emplace_back("Retry-After", "5");
  return response;
}

// An answer of our own form in that of the API.
HttpResponse in_openai_form(const HttpResponse& response) {
  const json body = json::parse(response.body, nullptr, false);
  if (!body.is_object() || !body.contains("error")) return response;
  const json& error = body["error"];
  return openai_error({response.status, error.value("code", ""), error.value("message", ""),
                       error.value("hint", "")});
}

json form_value(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = failed == std::errc() && end == text.data() + text.size();
  if (!is_number || text.empty()) return text;
  const json parsed = json::parse(text, nullptr, false);
  return parsed.is_number() ? parsed : json(text);
}

// The fields of a form as the JSON that they stand for; files become ids of uploads.
json fields_of_form(Api& api, const HttpRequest& request) {
  json fields = json::object();
  for (const FormPart& part : form_parts(request.header("content-type"), request.body)) {
    const std::string name = part.name == "image[]" ? "image" : part.name;
    if (fields.contains(name)) {
      throw bad_input(name, "one of it", "several", "this server edits one picture at a time");
    }
    if (name == "image") {
      fields[name] = keep_upload(api, request.caller, part.value, nullptr).id;
    } else if (name == "mask") {
      // Where the mask is transparent the picture is drawn anew: white for us.
      const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(part.value.data()),
                                           part.value.size());
      picture_of_bytes(part.value, api.limits.pictures, 0);
      image::Image alpha = image::alpha_of(image::decode_image(bytes));
      for (uint8_t& level : alpha.pixels) level = static_cast<uint8_t>(255 - level);
      const image::Bytes mask = image::encode_png(alpha);
      fields[name] = keep_upload(api, request.caller,
                                 {reinterpret_cast<const char*>(mask.data()), mask.size()}, nullptr)
                         .id;
    } else if (!part.file_name.empty()) {
      throw bad_input(name, "a text", "a file");
    } else {
      fields[name] = name == "prompt" || name == "size" || name == "model" ? json(part.value)
                                                                           : form_value(part.value);
    }
  }
  return fields;
}

// Fields that change nothing here, and those that would and are refused.
void pass_ignored(JsonReader& fields, ImagesAsked& asked) {
  for (const char* name : {"quality", "user", "moderation", "input_fidelity"}) {
    if (fields.has(name)) asked.ignored += (asked.ignored.empty() ? "" : ", ") + std::string(name);
    fields.passes(name);
  }
  fields.only("background", {"auto", "opaque"});
  if (fields.has("style")) {
    throw bad_input("body, key 'style'", "none", "one", "the key styles has the model's own");
  }
  fields.passes("style");
}

ImagesAsked asked_of(const HttpRequest& request, json all, const std::string& kind) {
  JsonReader fields("body", std::move(all));
  ImagesAsked asked;
  asked.kind = kind;
  asked.host = request.header("host");
  int count = 1;
  fields.read("n", count, 1, kMostImages);
  fields.read("stream", asked.streams);
  fields.read("partial_images", asked.partials, 0, kMostPartials);
  fields.read("output_format", asked.format);
  if (asked.format != "png" && asked.format != "jpeg" && asked.format != "webp") {
    throw fields.error("output_format", "png, jpeg or webp", "'" + asked.format + "'");
  }
  const std::string as = fields.get("response_format", std::string("b64_json"));
  if (as != "url" && as != "b64_json") {
    throw fields.error("response_format", "url or b64_json", "'" + as + "'");
  }
  asked.as_url = as == "url";
  json drawn = json::object();
  const std::string size = fields.get("size", std::string("auto"));
  if (size != "auto") drawn["size"] = size;
  drawn["count"] = count;
  json spec = {{"model", fields.get("model", std::string())},
               {"load", json::object()},
               {"output_format", asked.format},
               {"preview_every", 0},
               {"previews", asked.streams ? asked.partials : 0}};
  int compression = -1;
  fields.read("output_compression", compression, 0, 100);
  if (compression >= 0) spec["output_compression"] = compression;
  pass_ignored(fields, asked);
  for (const char* picture : {"image", "mask"}) {
    const std::string id = fields.get(picture, std::string());
    if (!id.empty()) drawn[std::string(picture) == "mask" ? "mask_image" : "init_image"] = id;
  }
  // Our own fields may stand beside those of the API, as clients send them by `extra_body`.
  const json rest = fields.rest();
  for (const auto& [key, value] : rest.items()) drawn[key] = value;
  spec["request"] = std::move(drawn);
  asked.job = {.kind = "draw", .spec = std::move(spec)};
  return asked;
}

json facts_of(const Api& api, const ImagesAsked& asked, const Job& job) {
  json facts = {{"output_format", asked.format}, {"quality", "auto"}, {"background", "opaque"}};
  if (!job.pictures.empty()) {
    facts["size"] =
        std::to_string(job.pictures[0].width) + "x" + std::to_string(job.pictures[0].height);
  }
  const WallMs made = job.created ? job.created : api.clock.wall_ms();
  facts["created"] = made / kMsASecond;
  return facts;
}

HttpResponse images_response(const Api& api, const ImagesAsked& asked, const Job& job) {
  if (job.state != JobState::kDone) return openai_error(error_of_job(job));
  json body = facts_of(api, asked, job);
  body["data"] = json::array();
  for (const JobPicture& picture : job.pictures) {
    json one = {{"revised_prompt", nullptr}};
    if (asked.as_url) {
      one["url"] = "http://" + asked.host + "/v1/pictures/" + picture.id;
    } else {
      one["b64_json"] = base64_encoded(api.files.read(picture.id));
    }
    body["data"].push_back(std::move(one));
  }
  HttpResponse response = json_response(200, body);
  if (!asked.ignored.empty()) response.headers.emplace_back("X-Ignored-Fields", asked.ignored);
  return response;
}

std::string openai_event(const std::string& type, json data) {
  data["type"] = type;
  return "event: " + type + "\ndata: " + data.dump() + "\n\n";
}

// What of a job's events goes into a stream of this API.
class ImagesStream {
 public:
  ImagesStream(Api& api, ImagesAsked asked, std::string job, StreamSink sink)
      : api_(api), asked_(std::move(asked)), job_(std::move(job)), sink_(std::move(sink)) {}

  void hear(const Event& event) {
    if (event.name == "preview") {
      show(event.data);
    } else if (is_last(event)) {
      end();
    }
  }

  bool is_over() const { return over_; }

  void end() {
    if (over_) return;
    // All is read before anything is said: if a store is away, the end is told again.
    const auto job = api_.store.find(job_);
    std::vector<std::string> pictures;
    if (job && job->state == JobState::kDone) {
      for (const JobPicture& picture : job->pictures) {
        pictures.push_back(base64_encoded(api_.files.read(picture.id)));
      }
    }
    over_ = true;
    if (!job || job->state != JobState::kDone) {
      Job none;
      none.state = JobState::kCancelled;
      const HttpResponse error = openai_error(error_of_job(job ? *job : none));
      sink_.send("event: error\ndata: " + json::parse(error.body).dump() + "\n\n", false);
    } else {
      json facts = facts_of(api_, asked_, *job);
      facts["created_at"] = facts["created"];
      facts.erase("created");
      facts["usage"] = {{"input_tokens", 0},
                        {"output_tokens", 0},
                        {"total_tokens", 0},
                        {"input_tokens_details", {{"image_tokens", 0}, {"text_tokens", 0}}}};
      for (std::string& picture : pictures) {
        facts["b64_json"] = std::move(picture);
        sink_.send(openai_event(asked_.kind + ".completed", facts), false);
      }
      sink_.send("data: [DONE]\n\n", false);
    }
    sink_.close();
  }

 private:
  void show(const json& preview) {
    json data = {{"b64_json", preview.value("image", "")},
                 {"partial_image_index", sent_++},
                 {"created_at", api_.clock.wall_ms() / kMsASecond},
                 {"output_format", "jpeg"},
                 {"quality", "auto"},
                 {"background", "opaque"},
                 {"size", std::to_string(preview.value("width", 0)) + "x" +
                              std::to_string(preview.value("height", 0))}};
    sink_.send(openai_event(asked_.kind + ".partial_image", std::move(data)), false);
  }

  Api& api_;
  ImagesAsked asked_;
  std::string job_;
  StreamSink sink_;
  int sent_ = 0;
  bool over_ = false;
};

HttpResponse stream_of(Api& api, const ImagesAsked& asked, const Job& job) {
  HttpResponse response;
  response.headers = {{"Content-Type", "text/event-stream"}, {"X-Accel-Buffering", "no"}};
  response.stream = [&api, asked, id = job.id](StreamSink sink) -> std::function<void()> {
    const auto stream = std::make_shared<ImagesStream>(api, asked, id, std::move(sink));
    const auto now = api.store.find(id);
    if (!now || is_final(now->state)) {
      stream->end();
      return [] {};
    }
    const auto leave = api.events.listen(id, [stream](const Event& event) { stream->hear(event); });
    return [&api, stream, leave, id] {
      leave();
      if (stream->is_over()) return;
      // The client went away, and nobody else knows of this job.
      try {
        if (const auto job = api.store.find(id)) api.queue.cancel(*job);
      } catch (const Error&) {
        // The store is away: it is drawn for nobody.
      }
    };
  };
  return response;
}

void draw_images(Api& api, const HttpRequest& request, const std::string& kind,
                 const std::function<json()>& fields, const Respond& respond) {
  const Respond refused = [respond](const HttpResponse& answer) {
    respond(in_openai_form(answer));
  };
  HttpResponse failure = answered([&] {
    ImagesAsked asked = asked_of(request, fields(), kind);
    NewJob job = asked.job;
    submit_checked(
        api, request.caller, std::move(job),
        [&api, asked, respond, request](const Job& made) {
          if (asked.streams) return respond(stream_of(api, asked, made));
          cancel_when_gone(api, request, made.id);
          when_ended(api, made.id, [&api, asked, respond](const Job& ended) {
            respond(in_openai_form(answered([&] { return images_response(api, asked, ended); })));
          });
        },
        refused);
    return HttpResponse{.status = 0};
  });
  if (failure.status != 0) refused(failure);
}

// A model that varies pictures reads the picture instead of a text; others start from it.
json variation_fields(Api& api, const HttpRequest& request) {
  json fields = fields_of_form(api, request);
  if (!fields.contains("image")) throw bad_input("image", "a picture to vary", "none");
  const std::string model = fields.value("model", "");
  for (const json& known : api.queue.catalog().value("models", json::array())) {
    if (known.value("name", "") == model && known.value("image_prompt", false)) {
      fields["image_prompt"] = fields["image"];
      fields.erase("image");
    }
  }
  return fields;
}

}  // namespace

std::vector<Route> openai_routes(Api& api) {
  const auto form_limit = api.limits.body_bytes * 2;  // a picture and a mask
  return {
      {.method = "POST",
       .pattern = "/v1/images/generations",
       .answer = {},
       .answer_later =
           [&api](const HttpRequest& request, const Respond& respond) {
             draw_images(
                 api, request, "image_generation",
                 [&] {
                   json fields = json_body(request);
                   for (const char* picture : {"image", "mask"}) {
                     if (fields.contains(picture)) {
                       throw bad_input(picture, "none", "one", "POST /v1/images/edits takes it");
                     }
                   }
                   return fields;
                 },
                 respond);
           }},
      {.method = "POST",
       .pattern = "/v1/images/edits",
       .answer = {},
       .answer_later =
           [&api](const HttpRequest& request, const Respond& respond) {
             draw_images(
                 api, request, "image_edit",
                 [&] {
                   json fields = fields_of_form(api, request);
                   if (!fields.contains("image")) {
                     throw bad_input("image", "a picture to edit", "none");
                   }
                   return fields;
                 },
                 respond);
           },
       .body_limit = form_limit},
      {.method = "POST",
       .pattern = "/v1/images/variations",
       .answer = {},
       .answer_later =
           [&api](const HttpRequest& request, const Respond& respond) {
             draw_images(
                 api, request, "image_variation", [&] { return variation_fields(api, request); },
                 respond);
           },
       .body_limit = form_limit},
      {.method = "GET", .pattern = "/v1/models/{id}", .answer = [&api](const HttpRequest& request) {
         for (const json& model : api.queue.catalog().value("models", json::array())) {
           if (model.value("id", "") == request.path_parts[0]) return json_response(200, model);
         }
         throw HttpError(404, "not_found", "model: there is none of this name");
       }}};
}

}  // namespace pangu::serve
