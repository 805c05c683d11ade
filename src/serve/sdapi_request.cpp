#include "serve/sdapi_request.h"

#include <algorithm>

#include "core/error.h"
#include "core/json_reader.h"

namespace pangu::serve {
namespace {

using nlohmann::json;

constexpr int kMostPicturesAsked = 10000;
constexpr const char* kResizeModes[] = {"stretch", "crop", "pad"};  // by the number of the web UI

bool is_nothing(const json& value) {
  return value.is_null() || value == false || value == "" || value == 0 || value == -1 ||
         value == "None" || value == "none" || (value.is_structured() && value.empty());
}

// Fields that would change the picture and are not served: allowed where they say nothing.
void refuse_said(JsonReader& body, const std::vector<const char*>& names) {
  for (const char* name : names) {
    const json value = body.get(name, json());
    if (!is_nothing(value))
      throw body.error(name, "none: this server does not serve it", short_text(value));
  }
}

void pass(JsonReader& body, const std::vector<const char*>& names, SdapiRequest& asked) {
  for (const char* name : names) {
    const json value = body.get(name, json());
    if (!is_nothing(value)) asked.ignored.push_back(name);
  }
}

// {"ControlNet": {"args": []}}: extensions, each of which may be there with nothing to do.
void refuse_scripts(JsonReader& body) {
  const json scripts = body.get("alwayson_scripts", json::object());
  if (!scripts.is_object())
    throw body.error("alwayson_scripts", "a JSON object", short_text(scripts));
  for (const auto& [name, script] : scripts.items()) {
    const json arguments = script.is_object() ? script.value("args", json::array()) : json::array();
    const bool idle =
        !arguments.is_array() || std::all_of(arguments.begin(), arguments.end(), is_nothing);
    if (!idle)
      throw body.error("alwayson_scripts." + name, "no arguments: there are no extensions", "some");
  }
}

bool takes_eta(const json& capabilities, const std::string& sampler) {
  for (const json& known : capabilities.value("samplers", json::array())) {
    if (known.value("name", "") == sampler || known.value("web_name", "") == sampler) {
      return known.value("takes_eta", false);
    }
  }
  return false;
}

void read_sampler(JsonReader& body, const json& capabilities, json& request, SdapiRequest& asked) {
  std::string sampler = body.get("sampler_name", std::string());
  const std::string by_index = body.get("sampler_index", std::string());
  if (sampler.empty()) sampler = by_index;
  if (!sampler.empty()) request["sampler"] = sampler;
  const std::string scheduler = body.get("scheduler", std::string());
  if (!scheduler.empty() && scheduler != "Automatic" && scheduler != "automatic") {
    request["schedule"] = scheduler;
  }
  const json eta = body.get("eta", json());
  if (eta.is_number() && takes_eta(capabilities, sampler)) {
    request["eta"] = eta;
  } else if (eta.is_number()) {
    asked.ignored.push_back("eta");
  }
  const double s_noise = body.get("s_noise", 1.0);
  if (s_noise != 1.0) request["s_noise"] = s_noise;
}

void read_hires(JsonReader& body, json& request, SdapiRequest& asked) {
  const double scale = body.get("hr_scale", 2.0);
  const double strength = body.get("denoising_strength", 0.7);
  if (!body.get("enable_hr", false)) {
    for (const char* name : {"hr_upscaler", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y",
                             "hr_checkpoint_name", "hr_sampler_name", "hr_scheduler", "hr_prompt",
                             "hr_negative_prompt", "firstphase_width", "firstphase_height"}) {
      body.passes(name);
    }
    return;
  }
  refuse_said(body, {"hr_second_pass_steps", "hr_resize_x", "hr_resize_y", "hr_checkpoint_name",
                     "hr_sampler_name", "hr_scheduler", "hr_prompt", "hr_negative_prompt",
                     "firstphase_width", "firstphase_height"});
  pass(body, {"hr_upscaler"}, asked);
  request["hires_scale"] = scale;
  request["hires_strength"] = strength;
}

void read_start_pictures(JsonReader& body, json& request, SdapiRequest& asked) {
  asked.images = body.get("init_images", std::vector<std::string>());
  if (asked.images.size() != 1) {
    throw body.error("init_images", "one picture", std::to_string(asked.images.size()));
  }
  asked.mask = body.get("mask", std::string());
  int mode = 0;
  body.read("resize_mode", mode, 0, 2);
  request["resize_mode"] = kResizeModes[mode];
  request["strength"] = body.get("denoising_strength", 0.75);
  int blur = 4;
  body.read("mask_blur", blur, 0, 256);
  if (!asked.mask.empty()) request["mask_blur"] = blur;
  asked.inverts_mask = body.get("inpainting_mask_invert", 0) != 0;
  const int fill = body.get("inpainting_fill", 1);
  if (fill > 1) {
    throw body.error("inpainting_fill", "0 or 1: the picture itself is drawn over",
                     std::to_string(fill));
  }
  if (fill == 0 && !asked.mask.empty()) asked.ignored.push_back("inpainting_fill");
  if (!asked.mask.empty()) pass(body, {"inpaint_full_res"}, asked);
  for (const char* name :
       {"inpaint_full_res", "inpaint_full_res_padding", "mask_blur_x", "mask_blur_y", "mask_round",
        "initial_noise_multiplier", "image_cfg_scale", "include_init_images", "latent_mask"}) {
    body.passes(name);
  }
}

// Settings that a request brings along.
void read_settings(JsonReader& body, SdapiOptions& options, SdapiRequest& asked) {
  JsonReader settings("override_settings", body.get("override_settings", json::object()));
  const std::string model = settings.get("sd_model_checkpoint", std::string());
  if (!model.empty()) options.model = sdapi_model_name(model);
  settings.read("CLIP_stop_at_last_layers", options.clip_skip, 1, 12);
  const json rest = settings.rest();
  for (const auto& [name, value] : rest.items()) {
    const bool of_files =
        name.starts_with("save") || name.starts_with("samples") || name == "sd_vae";
    if (!of_files) {
      throw settings.error(name, "sd_model_checkpoint or CLIP_stop_at_last_layers",
                           short_text(value));
    }
    asked.ignored.push_back("override_settings." + name);
  }
  body.passes("override_settings_restore_afterwards");
}

}  // namespace

std::string sdapi_model_name(const std::string& title) {
  std::string name = title.substr(0, title.rfind(" ["));
  for (const char* suffix : {".safetensors", ".ckpt"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - std::string_view(suffix).size());
  }
  return name;
}

SdapiRequest sdapi_request(const json& all, bool is_img2img, const SdapiOptions& chosen,
                           const json& capabilities) {
  JsonReader body(is_img2img ? "img2img" : "txt2img", all);
  SdapiOptions options = chosen;
  SdapiRequest asked;
  json request = json::object();
  read_settings(body, options, asked);
  request["prompt"] = body.get("prompt", std::string());
  request["negative"] = body.get("negative_prompt", std::string());
  request["seed"] = body.get("seed", json(-1));
  request["steps"] = body.get("steps", 50);
  request["guidance"] = body.get("cfg_scale", 7.0);
  request["width"] = body.get("width", 512);
  request["height"] = body.get("height", 512);
  int batch = 1, batches = 1;
  body.read("batch_size", batch, 1, kMostPicturesAsked);
  body.read("n_iter", batches, 1, kMostPicturesAsked);
  request["count"] = int64_t{batch} * batches;
  if (options.clip_skip != 1) request["clip_skip"] = options.clip_skip;
  read_sampler(body, capabilities, request, asked);
  if (is_img2img) {
    read_start_pictures(body, request, asked);
  } else {
    read_hires(body, request, asked);
  }
  if (body.get("subseed_strength", 0.0) > 0.0) {
    throw body.error("subseed_strength", "0: this server does not serve it", "more");
  }
  body.passes("subseed");
  refuse_said(body, {"styles", "tiling", "restore_faces", "script_name", "s_churn", "s_tmin",
                     "refiner_checkpoint", "seed_resize_from_w", "seed_resize_from_h", "comments",
                     "firstpass_image", "s_min_uncond"});
  refuse_scripts(body);
  asked.sends_images = body.get("send_images", true);
  pass(body,
       {"save_images", "s_tmax", "force_task_id", "infotext", "script_args", "refiner_switch_at"},
       asked);
  for (const char* name : {"do_not_save_samples", "do_not_save_grid", "disable_extra_networks"}) {
    body.passes(name);
  }
  body.refuse_unread();
  asked.spec = {{"request", request},
                {"model", options.model},
                {"load", json::object()},
                {"preview_every", 1}};
  return asked;
}

}  // namespace pangu::serve
