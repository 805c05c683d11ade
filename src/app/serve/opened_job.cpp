#include "app/serve/opened_job.h"

#include <tuple>

#include "app/coop_setup.h"
#include "core/error.h"
#include "image/image.h"
#include "pipeline/doubts.h"

namespace pangu::app {
namespace {

using nlohmann::json;

// Ids of pictures to their pixels.
class JobPictures {
 public:
  explicit JobPictures(const json& paths) : paths_(paths) {}

  image::Image read(const std::string& id) const {
    const auto found = paths_.find(id);
    if (found == paths_.end())
      throw bad_input("picture", "an id of POST /v1/pictures", "'" + id + "'");
    const std::string path = found->get<std::string>();
    try {
      return image::read_image(path);
    } catch (const Error& error) {  // which names the path
      std::string message = error.what();
      if (const size_t at = message.find(path); at != std::string::npos) {
        message.replace(at, path.size(), id);
      }
      throw Error(error.code(), message);
    }
  }

  pipeline::Pictures of(const pipeline::Request& request) const {
    pipeline::Pictures pictures;
    if (!request.init_image.empty()) pictures.init = read(request.init_image);
    if (!request.mask_image.empty()) pictures.mask = read(request.mask_image);
    if (!request.image_prompt.empty()) pictures.prompt = read(request.image_prompt);
    for (const pipeline::ControlUse& use : request.controls) {
      pictures.controls.push_back(read(use.image));
    }
    return pictures;
  }

 private:
  json paths_;
};

uint64_t fresh_seed_of(const json& frame) {
  return frame.at("spec").value("fresh_seed", uint64_t{0});
}

}  // namespace

OpenedDraw opened_draw(const DrawJob& job, const json& frame, const JobOpener& opener,
                       const Watch& watch) {
  OpenedDraw opened;
  opened.named = job.model;
  opened.named.load = load_options_of(job.model, job.request.prompt, opener.setup);
  opened.path = opener.names.path_of("model", opened.named.model);
  opened.model = opener.open_model(opened.path, opener.names.with_paths(opened.named.load));
  const pipeline::RequestRules& rules = opened.model->rules;
  pipeline::Request asked = job.request;
  opened.pictures = JobPictures(frame.at("pictures")).of(asked);
  if (opened.pictures.init && !asked.width && !asked.height) {
    std::tie(asked.width, asked.height) = pipeline::size_near(*opened.pictures.init, rules);
  }
  opened.request = pipeline::resolved(asked, rules, fresh_seed_of(frame));
  pipeline::warn_of_doubts(opened.named.load, watch);
  pipeline::warn_of_doubts(*opened.model, opened.request, {}, watch);
  return opened;
}

pipeline::Cooperation opened_recipe(const DrawJob& job, const json& frame, const JobOpener& opener,
                                    const Watch& watch) {
  pipeline::Recipe recipe = *job.recipe;
  pipeline::LoadOptions shared =
      load_options_of(pipeline::MemberSpec(), recipe.request.prompt, opener.setup);
  give_to_hub(recipe, "", shared);
  shared.loras.clear();
  const JobPictures pictures(frame.at("pictures"));
  pipeline::CoopSetup setup = coop_setup(recipe, shared, watch);
  setup.fresh_seed = fresh_seed_of(frame);
  setup.open_model = [&](const std::string& name, const pipeline::LoadOptions& options) {
    return *opener.open_model(opener.names.path_of("model", name),
                              opener.names.with_paths(options));
  };
  setup.read_picture = [&](const std::string& id) { return pictures.read(id); };
  return pipeline::assemble(recipe, setup);
}

}  // namespace pangu::app
