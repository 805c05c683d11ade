// What a picture says of how it was drawn: one of this program, of A1111's web UI, or of ComfyUI.
// Writing is picture_text.h. Where the named files and models are now is the caller's to find.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/file_hash.h"
#include "pipeline/coop/recipe.h"
#include "pipeline/grid.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

// A model as a picture names it; empty where the picture does not say.
struct ModelMark {
  std::string path, name, fingerprint;
};

// A file that a picture was made of.
struct KeptInput {
  std::string path;      // as it was named
  std::string relative;  // to the picture's folder; may be empty
  std::optional<io::ContentMark> mark;
};
// The path to use for it.
using FindInput = std::function<std::string(const KeptInput& input)>;

inline constexpr const char* kOwnOrigin = "this program";

struct PictureStory {
  std::string origin;            // kOwnOrigin, "A1111's web UI", "ComfyUI"
  std::optional<Recipe> recipe;  // of several models; else:
  Request request;               // of one model,
  MemberSpec model;              // and its path as it was said, with what was loaded with it
  ModelMark mark;                // of that model
  std::map<std::string, ModelMark> marks;  // of a recipe's members, by their names
  LoadOptions load;                        // dtype and tiles, which all models share
  std::optional<Grid> grid;                // the picture is a table of several
  std::vector<std::string> unmatched;      // "Hires sampler: DDIM": what has no counterpart here
  // Why drawing it again gives another picture, as a sentence; empty if nothing is known of that.
  // Such is a sampler that adds noise whose version was another.
  std::string difference;
};

// Error kBadInput if the picture says nothing of its drawing, or something that cannot be read;
// kIo if it is no file. `find` is asked for every file but models.
PictureStory story_of_picture(const std::string& path, const FindInput& find = {});
// The same of its text; `name` is how errors call it.
PictureStory story_of_text(const std::map<std::string, std::string>& text, const std::string& name,
                           const FindInput& find = {});

}  // namespace pangu::pipeline
