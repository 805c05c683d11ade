// A request of AUTOMATIC1111's web UI as a job of ours: names of fields, and what each means here.
// A field that is not served is refused by name where it would change the picture.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/job_queue.h"

namespace pangu::serve {

struct SdapiRequest {
  nlohmann::json spec;              // of a job; pictures are left to the caller
  std::vector<std::string> images;  // of img2img, in base64
  std::string mask;                 // likewise; empty: none
  bool inverts_mask = false;
  bool sends_images = true;
  std::vector<std::string> ignored;  // fields that are said and change nothing
};

// What a client has chosen by POST /sdapi/v1/options.
struct SdapiOptions {
  std::string model;  // name; empty: the server's default
  int clip_skip = 1;
};

// body: of txt2img or img2img. Error kBadInput names the field.
SdapiRequest sdapi_request(const nlohmann::json& body, bool is_img2img, const SdapiOptions& options,
                           const nlohmann::json& capabilities);

// The name of a model by what the web UI calls it: "mini", "mini.safetensors", "mini [hash]".
std::string sdapi_model_name(const std::string& title);

}  // namespace pangu::serve
