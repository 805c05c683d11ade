#include "serve/sdapi.h"

#include <algorithm>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/json_reader.h"
#include "image/image.h"
#include "serve/keys.h"
#include "serve/sdapi_request.h"
#include "serve/waiting.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr size_t kMostCallers = 1000;  // whose options are kept

// What clients have chosen, by their names. It lives as long as the routes.
using Chosen = std::map<std::string, SdapiOptions>;

HttpResponse sdapi_error(const HttpError& error) {
  const std::string message =
      std::string(error.what()) + (error.hint.empty() ? "" : ". Hint: " + error.hint);
  return json_response(
      error.status == 400 ? 422 : error.status,
      {{"error", error.code}, {"detail", message}, {"errors", message}, {"body", ""}});
}

HttpResponse in_sdapi_form(const HttpResponse& response) {
  const json body = json::parse(response.body, nullptr, false);
  if (!body.is_object() || !body.contains("error") || !body["error"].is_object()) return response;
  const json& error = body["error"];
  return sdapi_error({response.status, error.value("code", ""), error.value("message", ""),
                      error.value("hint", "")});
}

json models_of(const Api& api) { return api.queue.catalog().value("models", json::array()); }
json capability(const Api& api, const char* key) {
  const json all = api.queue.catalog().value("capabilities", json::object());
  return all.value(key, json::array());
}

std::string usual_model(const Api& api) {
  for (const json& model : models_of(api)) {
    if (model.value("default", false)) return model.value("name", "");
  }
  return "";
}

// "data:image/png;base64,..." or the digits alone, as an upload of the caller.
std::string upload_of(Api& api, const Caller& caller, const std::string& text, bool inverted) {
  const size_t comma = text.starts_with("data:") ? text.find(',') : std::string::npos;
  const auto bytes =
      base64_decoded(std::string_view(text).substr(comma == std::string::npos ? 0 : comma + 1));
  if (!bytes) throw bad_input("picture", "base64", "other text");
  if (!inverted) return keep_upload(api, caller, *bytes, nullptr).id;
  picture_of_bytes(*bytes, api.limits.pictures, 0);
  image::Image mask =
      image::decode_image({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    const bool is_alpha = mask.channels == 4 && i % 4 == 3;
    if (!is_alpha) mask.pixels[i] = static_cast<uint8_t>(255 - mask.pixels[i]);
  }
  const image::Bytes png = image::encode_png(mask);
  return keep_upload(api, caller, {reinterpret_cast<const char*>(png.data()), png.size()}, nullptr)
      .id;
}

// The text that the web UI would keep in this picture.
std::string infotext_of(const std::string& bytes) {
  try {
    const auto text =
        image::read_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    const auto found = text.find("parameters");
    return found == text.end() ? "" : found->second;
  } catch (const Error&) {
    return "";
  }
}

HttpResponse pictures_response(const Api& api, const json& parameters, const SdapiRequest& asked,
                               const Job& job) {
  // A client that interrupts gets what was finished.
  const bool interrupted = job.state == JobState::kCancelled;
  if (job.state != JobState::kDone && !interrupted) return sdapi_error(error_of_job(job));
  const json drawn = job.resolved.is_object() ? job.resolved : json::object();
  json images = json::array(), seeds = json::array(), texts = json::array();
  for (const JobPicture& picture : job.pictures) {
    if (picture.removed) continue;
    const std::string bytes = api.files.read(picture.id);
    texts.push_back(infotext_of(bytes));
    seeds.push_back(picture.seed);
    if (asked.sends_images) images.push_back(base64_encoded(bytes));
  }
  const size_t count = std::max<size_t>(1, seeds.size());
  const auto field = [&](const char* key) { return drawn.value(key, json()); };
  const json info = {{"prompt", field("prompt")},
                     {"all_prompts", std::vector<json>(count, field("prompt"))},
                     {"negative_prompt", field("negative")},
                     {"all_negative_prompts", std::vector<json>(count, field("negative"))},
                     {"seed", field("seed")},
                     {"all_seeds", seeds},
                     {"subseed", -1},
                     {"all_subseeds", std::vector<int>(count, -1)},
                     {"subseed_strength", 0},
                     {"width", field("width")},
                     {"height", field("height")},
                     {"sampler_name", field("sampler")},
                     {"cfg_scale", field("guidance")},
                     {"steps", field("steps")},
                     {"batch_size", field("count")},
                     {"denoising_strength", field("strength")},
                     {"clip_skip", field("clip_skip")},
                     {"sd_model_name", job.spec.value("model", "")},
                     {"index_of_first_image", 0},
                     {"infotexts", texts},
                     {"styles", json::array()},
                     {"job_timestamp", time_text(job.created)},
                     {"job_id", job.id},
                     {"warnings", job.warnings},
                     {"ignored_fields", asked.ignored}};
  return json_response(200,
                       {{"images", images}, {"parameters", parameters}, {"info", info.dump()}});
}

void draw_sdapi(Api& api, const Chosen& chosen, const HttpRequest& request, bool is_img2img,
                const Respond& respond) {
  const Respond refused = [respond](const HttpResponse& answer) { respond(in_sdapi_form(answer)); };
  HttpResponse failure = answered([&] {
    const json body = json_body(request);
    const auto options = chosen.find(request.caller.name);
    SdapiRequest asked =
        sdapi_request(body, is_img2img, options == chosen.end() ? SdapiOptions() : options->second,
                      api.queue.catalog().value("capabilities", json::object()));
    json& drawn = asked.spec["request"];
    if (is_img2img) {
      drawn["init_image"] = upload_of(api, request.caller, asked.images[0], false);
      if (!asked.mask.empty()) {
        drawn["mask_image"] = upload_of(api, request.caller, asked.mask, asked.inverts_mask);
      }
    }
    json parameters = body;
    for (const char* pictures : {"init_images", "mask"}) parameters.erase(pictures);
    submit_checked(
        api, request.caller, {.kind = "draw", .spec = asked.spec},
        [&api, asked, parameters, respond, request](const Job& job) {
          cancel_when_gone(api, request, job.id);
          when_ended(api, job.id, [&api, asked, parameters, respond](const Job& ended) {
            respond(in_sdapi_form(
                answered([&] { return pictures_response(api, parameters, asked, ended); })));
          });
        },
        refused);
    return HttpResponse{.status = 0};
  });
  if (failure.status != 0) refused(failure);
}

// The caller's own job that is drawn, or waits first.
std::optional<Job> current_job(Api& api, const Caller& caller) {
  for (const JobState state : {JobState::kRunning, JobState::kQueued}) {
    const auto jobs = api.queue.list({.owner = caller.name, .states = {state}, .limit = 200});
    if (!jobs.empty()) return jobs.back();
  }
  return {};
}

HttpResponse progress_response(Api& api, const HttpRequest& request) {
  const auto job = current_job(api, request.caller);
  const json shown = job ? api.queue.shown(*job) : json::object();
  const json progress = shown.value("progress", json());
  const double step = progress.is_object() ? progress.value("step", 0.0) : 0.0;
  const double steps = progress.is_object() ? progress.value("steps", 0.0) : 0.0;
  const json left = progress.is_object() ? progress.value("seconds_left", json()) : json();
  const auto preview = job ? api.events.last_preview(job->id) : std::nullopt;
  const auto skip = request.query.find("skip_current_image");
  const bool shows = preview && (skip == request.query.end() || skip->second != "true");
  return json_response(200,
                       {{"progress", steps > 0 ? step / steps : 0.0},
                        {"eta_relative", left.is_number() ? left : json(0.0)},
                        {"state",
                         {{"skipped", false},
                          {"interrupted", job && job->cancel_asked},
                          {"stopping_generation", job && job->cancel_asked},
                          {"job", job ? job->id : ""},
                          {"job_count", job ? 1 : 0},
                          {"job_timestamp", job ? time_text(job->created) : "0"},
                          {"job_no", 0},
                          {"sampling_step", step},
                          {"sampling_steps", steps}}},
                        {"current_image", shows ? preview->data.value("image", json()) : json()},
                        {"textinfo", job && job->state == JobState::kQueued ? "waiting" : ""}});
}

HttpResponse interrupt(Api& api, const HttpRequest& request) {
  if (const auto job = current_job(api, request.caller)) api.queue.cancel(*job);
  return json_response(200, json::object());
}

json options_json(const Api& api, const SdapiOptions& options) {
  return {{"sd_model_checkpoint", options.model.empty() ? usual_model(api) : options.model},
          {"CLIP_stop_at_last_layers", options.clip_skip},
          {"sd_vae", "Automatic"},
          {"samples_format", "png"},
          {"live_previews_enable", true}};
}

HttpResponse set_options(const Api& api, Chosen& chosen, const HttpRequest& request) {
  JsonReader body("options", json_body(request));
  SdapiOptions options = chosen[request.caller.name];
  if (body.has("sd_model_checkpoint")) {
    options.model = sdapi_model_name(body.need<std::string>("sd_model_checkpoint"));
    const json models = models_of(api);
    const bool known = std::any_of(models.begin(), models.end(), [&](const json& model) {
      return model.value("name", "") == options.model;
    });
    if (!known) {
      throw body.error("sd_model_checkpoint", "a title of GET /sdapi/v1/sd-models",
                       "'" + options.model + "'");
    }
  }
  body.read("CLIP_stop_at_last_layers", options.clip_skip, 1, 12);
  for (const char* name :
       {"sd_checkpoint_hash", "sd_vae", "samples_format", "live_previews_enable"}) {
    body.passes(name);
  }
  body.refuse_unread();
  if (chosen.size() > kMostCallers) chosen.clear();
  chosen[request.caller.name] = options;
  return json_response(200, nullptr);
}

json names_as(const json& names, const std::function<json(const std::string& name)>& entry) {
  json list = json::array();
  for (const json& name : names) list.push_back(entry(name.get<std::string>()));
  return list;
}

json network_names(const Api& api, const char* kind) {
  const json networks = capability(api, "networks");
  return networks.is_object() ? networks.value(kind, json::array()) : json::array();
}

json sampler_list(const Api& api, const char* of) {
  json list = json::array();
  for (const json& known : capability(api, of)) {
    const std::string name = known.value("name", ""), web = known.value("web_name", "");
    json aliases = known.value("aliases", json::array());
    aliases.push_back(name);
    list.push_back({{"name", web.empty() ? name : web},
                    {"label", web.empty() ? name : web},
                    {"aliases", aliases},
                    {"options", json::object()}});
  }
  return list;
}

json model_list(const Api& api) {
  json list = json::array();
  for (const json& model : models_of(api)) {
    const std::string name = model.value("name", ""), hash = model.value("fingerprint", "");
    list.push_back({{"title", name},
                    {"model_name", name},
                    {"hash", hash.substr(0, 10)},
                    {"sha256", nullptr},
                    {"filename", name},
                    {"config", nullptr}});
  }
  return list;
}

json memory_json(const Api& api) {
  int64_t bytes = 0;
  for (const json& facts : api.queue.worker_facts())
    bytes += facts.value("memory_bytes", int64_t{0});
  return {{"ram", {{"free", 0}, {"used", bytes}, {"total", 0}}}, {"cuda", json::object()}};
}

HttpResponse picture_info(const HttpRequest& request) {
  JsonReader body("png-info", json_body(request));
  const std::string text = body.need<std::string>("image");
  const size_t comma = text.starts_with("data:") ? text.find(',') : std::string::npos;
  const auto bytes =
      base64_decoded(std::string_view(text).substr(comma == std::string::npos ? 0 : comma + 1));
  if (!bytes) throw body.error("image", "base64", "other text");
  const auto all =
      image::read_text({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()});
  const auto found = all.find("parameters");
  return json_response(200, {{"info", found == all.end() ? "" : found->second},
                             {"items", all},
                             {"parameters", json::object()}});
}

}  // namespace

std::vector<Route> sdapi_routes(Api& api) {
  const auto chosen = std::make_shared<Chosen>();
  std::vector<Route> routes;
  const auto get = [&](const char* name, std::function<json(const HttpRequest&)> body) {
    routes.push_back({.method = "GET",
                      .pattern = std::string("/sdapi/v1/") + name,
                      .answer = [body](const HttpRequest& request) {
                        return in_sdapi_form(
                            answered([&] { return json_response(200, body(request)); }));
                      }});
  };
  const auto post = [&](const char* name, std::function<HttpResponse(const HttpRequest&)> act) {
    routes.push_back({.method = "POST",
                      .pattern = std::string("/sdapi/v1/") + name,
                      .answer =
                          [act](const HttpRequest& request) {
                            return in_sdapi_form(answered([&] { return act(request); }));
                          },
                      .body_limit = api.limits.body_bytes * 2});
  };
  for (const bool is_img2img : {false, true}) {
    routes.push_back(
        {.method = "POST",
         .pattern = is_img2img ? "/sdapi/v1/img2img" : "/sdapi/v1/txt2img",
         .answer = {},
         .answer_later =
             [&api, chosen, is_img2img](const HttpRequest& request, const Respond& respond) {
               draw_sdapi(api, *chosen, request, is_img2img, respond);
             },
         .body_limit = api.limits.body_bytes * 3});
  }
  routes.push_back(
      {.method = "GET",
       .pattern = "/sdapi/v1/progress",
       .answer = [&api](const HttpRequest& request) { return progress_response(api, request); }});
  post("interrupt", [&api](const HttpRequest& request) { return interrupt(api, request); });
  post("skip", [&api](const HttpRequest& request) { return interrupt(api, request); });
  post("options",
       [&api, chosen](const HttpRequest& request) { return set_options(api, *chosen, request); });
  post("png-info", picture_info);
  for (const char* refreshed : {"refresh-checkpoints", "refresh-loras"}) {
    routes.push_back({.method = "POST",
                      .pattern = std::string("/sdapi/v1/") + refreshed,
                      .answer = {},
                      .answer_later = [&api](const HttpRequest&, const Respond& respond) {
                        api.queue.refresh_catalog(
                            [respond] { respond(json_response(200, json::object())); });
                      }});
  }
  for (const char* nothing : {"unload-checkpoint", "reload-checkpoint"}) {
    post(nothing, [](const HttpRequest&) { return json_response(200, json::object()); });
  }
  get("options", [&api, chosen](const HttpRequest& request) {
    const auto found = chosen->find(request.caller.name);
    return options_json(api, found == chosen->end() ? SdapiOptions() : found->second);
  });
  get("cmd-flags", [](const HttpRequest&) { return json{{"api", true}}; });
  get("samplers", [&api](const HttpRequest&) { return sampler_list(api, "samplers"); });
  get("schedulers", [&api](const HttpRequest&) { return sampler_list(api, "schedules"); });
  get("sd-models", [&api](const HttpRequest&) { return model_list(api); });
  get("memory", [&api](const HttpRequest&) { return memory_json(api); });
  get("loras", [&api](const HttpRequest&) {
    return names_as(network_names(api, "lora"), [](const std::string& name) {
      return json{{"name", name}, {"alias", name}, {"path", name}, {"metadata", json::object()}};
    });
  });
  get("sd-vae", [&api](const HttpRequest&) {
    return names_as(network_names(api, "vae"), [](const std::string& name) {
      return json{{"model_name", name}, {"filename", name}};
    });
  });
  get("upscalers", [&api](const HttpRequest&) {
    return names_as(network_names(api, "upscaler"), [](const std::string& name) {
      return json{{"name", name},
                  {"model_name", name},
                  {"model_path", nullptr},
                  {"model_url", nullptr},
                  {"scale", nullptr}};
    });
  });
  get("embeddings", [&api](const HttpRequest&) {
    json loaded = json::object();
    for (const json& name : network_names(api, "embedding")) {
      loaded[name.get<std::string>()] = {{"step", nullptr}, {"shape", 0}, {"vectors", 0}};
    }
    return json{{"loaded", loaded}, {"skipped", json::object()}};
  });
  for (const char* empty : {"prompt-styles", "hypernetworks", "face-restorers", "realesrgan-models",
                            "latent-upscale-modes", "script-info"}) {
    get(empty, [](const HttpRequest&) { return json::array(); });
  }
  get("scripts", [](const HttpRequest&) {
    return json{{"txt2img", json::array()}, {"img2img", json::array()}};
  });
  return routes;
}

}  // namespace pangu::serve
