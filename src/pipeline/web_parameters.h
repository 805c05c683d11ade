// A request as A1111's web UI writes it into its pictures ("parameters"), and such a text as a
// request: names and values of both sides. The text itself is text/infotext.h. What the names mean
// there: modules/processing.py and modules/infotext_utils.py of
// AUTOMATIC1111/stable-diffusion-webui.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "pipeline/picture_text.h"
#include "text/infotext.h"

namespace pangu::pipeline {

// request: resolved, of one picture. LoRAs that the prompt does not name are added to it, as the
// web UI names them.
text::Infotext web_parameters(const Model& model, const Request& request,
                              const PictureKeeps& keeps);

// A picture of the web UI.
struct WebRequest {
  Request request;
  std::string model, model_hash;       // its name and hash there; may be empty
  std::optional<Grid> grid;            // of an X/Y plot
  std::vector<std::string> unmatched;  // "Hires sampler: DDIM": what has no counterpart here
};
// Error kBadInput names a setting whose value is of the wrong kind.
WebRequest request_of_parameters(const text::Infotext& info);

}  // namespace pangu::pipeline
