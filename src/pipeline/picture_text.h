// What is written into a picture of this program: what was asked, so that it can be drawn again,
// and what other tools show of it. Reading it is picture_story.h; the format of files is image/.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "io/file_hash.h"
#include "pipeline/coop/recipe.h"
#include "pipeline/grid.h"
#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// Where the JSON of a picture keeps diffusion::kStepNoiseVersion, and its grid.
inline constexpr const char* kNoiseVersionKey = "noise_version";
inline constexpr const char* kGridKey = "grid";
// The keys of a picture's text: our JSON, and A1111's web UI's.
inline constexpr const char* kJsonText = "pangu-draw";
inline constexpr const char* kParametersText = "parameters";

// What a picture keeps beside its request and what the model knows itself.
struct PictureKeeps {
  MemberSpec model;    // the path as it was said, and what was loaded with it
  std::string folder;  // where the picture goes, which paths of files are kept relative to
  // The picture is a table of all cells of a grid, the request that of the first; and what all
  // cells share, before a model's defaults are in it.
  std::optional<Grid> grid;
  Request of_grid;
  // Of input files and of weights that were loaded. Empty: none are kept.
  std::function<io::ContentMark(const std::string& path)> mark;
  // Digits by which A1111's web UI tells a file of weights apart. Empty: none are written.
  std::function<std::string()> model_hash;
  std::function<std::string(const std::string& path)> lora_hash;
};

// What a picture `index` carries: "parameters", as A1111's web UI writes it
// (pipeline/web_parameters.h), and "pangu-draw", as JSON: the request of this one picture; the
// model's path, name, fingerprint and type of numbers, and what was loaded with it; the files with
// their marks; and the version of the noise. Where it was drawn together with others, also the seed
// and the count of the request that draws them, by which the picture is had again to the last bit.
std::map<std::string, std::string> png_text(const Model& model, const Request& request, int index,
                                            const PictureKeeps& keeps = {});

// {path: {"sha256" or "ends": digits, "relative": path}} of every file but models that the JSON of
// a request, a member or a recipe names; files that cannot be read are left out.
nlohmann::json kept_files(const nlohmann::json& document, const PictureKeeps& keeps);

// Puts what `with` returns in the place of every path in such JSON, but for models'.
void replace_paths(nlohmann::json& document,
                   const std::function<std::string(const std::string& path)>& with);

}  // namespace pangu::pipeline
