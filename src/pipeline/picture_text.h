// The text inside a PNG of this program: what was asked, so that a picture can be drawn again, and
// what other tools show of it. Not the request itself (request.h), not the PNG format (image/).
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/coop/recipe.h"
#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// Where the JSON of a PNG keeps diffusion::kStepNoiseVersion.
inline constexpr const char* kNoiseVersionKey = "noise_version";

// What a PNG of picture `index` carries: "parameters", as A1111's web UI writes it, and
// "pangu-draw", the request of this one picture with the model's name and fingerprint and the
// version of the noise, as JSON; where it was drawn together with others, also the seed and the
// count of the request that draws them, by which the picture is had again to the last bit.
std::map<std::string, std::string> png_text(const Model& model, const Request& request, int index);

// The request inside a PNG of this program. Error kBadInput if there is none.
Request request_of_png(const std::string& path);
// The recipe inside a PNG of `coop` or of `draw --with`, likewise.
Recipe recipe_of_png(const std::string& path);
// The type that its autoencoder computed in (LoadOptions::vae_dtype); empty if it does not say.
std::optional<std::string> vae_dtype_of_png(const std::string& path);
// Why drawing it again gives another picture, as a sentence; empty if nothing is known of that.
// Such is a sampler that adds noise whose version was another.
std::string difference_of_png(const std::string& path);
// The input files of that recipe that are no longer what they were, by their SHA-256 in the PNG and
// by `hash` of a file now; files that cannot be read are not among them.
std::vector<std::string> changed_inputs_of_png(
    const std::string& path, const std::function<std::string(const std::string& path)>& hash);

}  // namespace pangu::pipeline
