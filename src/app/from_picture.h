// --from: a picture's own words about its drawing, with its files and models found where they are
// now.
#pragma once
#include <map>
#include <string>

#include "app/warnings.h"
#include "pipeline/picture_story.h"

namespace pangu::app {

struct FromPicture {
  std::string path;  // of the picture; empty: there is none
  pipeline::PictureStory story;
  // Files that are no longer what they were, by the path that is used: what to say of it.
  std::map<std::string, std::string> changed;
};

// Files are looked for as they were named, then beside the picture; of both that which has the
// picture's mark is taken. Error kBadInput if the picture does not say how it was drawn.
FromPicture from_picture(const std::string& path);

// Says what makes another picture of it: changed files that `document` (the JSON of a request, a
// member or a recipe) still names, other noise, settings that have no counterpart here.
void warn_of_differences(const FromPicture& from, const nlohmann::json& document,
                         Warnings& warnings);

// The path of a model with the picture's fingerprint: as it was said, or by its name, or by its
// weights alone, in model_folders() (app/home.h) and beside the picture. Without a fingerprint the
// name decides. Error kBadInput if there is none hints at --model. `load`: what it is opened with.
std::string found_model(const pipeline::ModelMark& mark, const std::string& picture,
                        const pipeline::LoadOptions& load);
// The recipe's members with their models found.
// The hub's is `hub_model` if that is not empty.
pipeline::Recipe with_found_models(const FromPicture& from, const pipeline::LoadOptions& load,
                                   const std::string& hub_model = "");

}  // namespace pangu::app
