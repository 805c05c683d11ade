// Turns a recipe into members with their prompts, sizes, weights and bridges.
#include "pipeline/coop/coop.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "core/error.h"
#include "core/message.h"
#include "diffusion/samplers/samplers.h"
#include "image/mask.h"
#include "pipeline/canvas.h"
#include "pipeline/latent_space.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

// The greatest factor between a model's default area and another model's size at which it may draw.
constexpr double kTrustedArea = 2.0;

// A model of the recipe, loaded once for all stages.
struct Loaded {
  const MemberSpec* spec;
  std::string name;
  std::shared_ptr<const Model> model, tiny;
};

std::string member_label(const Loaded& member) { return "member '" + member.name + "'"; }

// Returns what `call` returns; its errors get the member's name in front.
template <class Call>
auto naming(const Loaded& member, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    throw Error(error.code(), member_label(member) + ": " + error.what());
  }
}

std::vector<Loaded> load_members(const Recipe& recipe, const CoopSetup& setup) {
  std::vector<Loaded> members;
  std::unordered_map<LoadOptions, std::map<std::string, std::shared_ptr<const Model>>> known;
  const auto loaded = [&](const MemberSpec& spec, const std::string& vae) {
    LoadOptions options = spec.load;
    options.device = setup.load.device;
    options.dtype = setup.load.dtype;
    options.precision = setup.load.precision;
    options.experts_in_memory = setup.load.experts_in_memory;
    options.vae_tile = setup.load.vae_tile;
    options.packed_weights = setup.load.packed_weights;
    options.tokenizers = setup.load.tokenizers;
    if (!vae.empty()) options.vae = vae;
    auto& model = known[options][spec.model];
    if (!model) model = std::make_shared<const Model>(setup.open_model(spec.model, options));
    return model;
  };
  for (const MemberSpec& spec : recipe.members) {
    Loaded member{&spec, spec.name, loaded(spec, ""), nullptr};
    if (!spec.tiny_vae.empty()) member.tiny = loaded(spec, spec.tiny_vae);
    if (member.name.empty()) {
      member.name = member.model->name;
      for (int n = 2; std::any_of(members.begin(), members.end(),
                                  [&](const Loaded& m) { return m.name == member.name; });
           ++n) {
        member.name = member.model->name + " " + std::to_string(n);
      }
    }
    for (const Loaded& other : members) {
      if (other.name == member.name) {
        throw bad_input("recipe", "members of different names", "two '" + member.name + "'");
      }
    }
    members.push_back(std::move(member));
  }
  return members;
}

// Rounds `side` to the model's multiples, inside of its limits.
int fitted(double side, const RequestRules& rules) {
  const int unit = rules.size_multiple;
  const int low = (rules.min_side_px + unit - 1) / unit * unit;
  const int high = rules.max_side_px / unit * unit;
  return std::clamp(static_cast<int>(std::lround(side / unit)) * unit, low, high);
}

bool allows(const RequestRules& rules, int width, int height) {
  if (!rules.sizes.empty()) {
    return std::find(rules.sizes.begin(), rules.sizes.end(), std::pair(width, height)) !=
           rules.sizes.end();
  }
  return fitted(width, rules) == width && fitted(height, rules) == height;
}

std::pair<int, int> size_with_hub(int width, int height, const Model& model, const Model& hub) {
  const RequestRules& rules = model.rules;
  const double own = double(*rules.defaults.width) * *rules.defaults.height;
  const double area = double(width) * height;
  const bool trusted = area <= own * kTrustedArea && area >= own / kTrustedArea;
  const bool one_space = one_encoder(model.latents.space, hub.latents.space);
  if ((trusted || one_space) && allows(rules, width, height)) return {width, height};
  if (!rules.sizes.empty()) return nearest_size(width, height, rules);
  const double scale = trusted ? 1.0 : std::sqrt(own / area);
  return {fitted(width * scale, rules), fitted(height * scale, rules)};
}

json merged(const Request& shared, const json& own) {
  json request = to_json(shared);
  // A control picture belongs to the member that has the ControlNet.
  request.erase("controls");
  for (const auto& [key, value] : own.items()) request[key] = value;
  return request;
}

// Returns the member's request without the shared fields that the member's model cannot read.
Request readable_by(const Loaded& member, Request request, const Request& own) {
  const Model& model = *member.model;
  if (!model.quirks.reads_picture && own.image_prompt.empty()) request.image_prompt.clear();
  if (!model.rules.takes_clip_skip && own.clip_skip == Request().clip_skip) {
    request.clip_skip = own.clip_skip;
  }
  return request;
}

// Returns the member's request, resolved at the member's own size, or at `size`.
Request request_for(const Loaded& member, const Request& shared, std::pair<int, int> size) {
  Request request = request_from_json(merged(shared, member.spec->request));
  const Request own = request_from_json(member.spec->request);
  if (!own.width && !own.height) std::tie(request.width, request.height) = size;
  return naming(
      member, [&] { return resolved(readable_by(member, request, own), member.model->rules, 0); });
}

Pictures pictures_for(const Loaded& member, const Request& request, const CoopSetup& setup) {
  const Model& model = *member.model;
  if (!request.mask_image.empty()) {
    throw bad_input(member_label(member), "no mask_image (inpainting)",
                    "'" + request.mask_image + "'", "a member's region is its `mask`");
  }
  if (model.quirks.reads_picture == request.image_prompt.empty()) {
    throw bad_input(
        member_label(member) + ", image_prompt",
        model.quirks.reads_picture ? "a picture to vary" : "none, since it reads a text",
        model.quirks.reads_picture ? "none" : "'" + request.image_prompt + "'");
  }
  const size_t controls =
      model.denoising.control_channels > 0 ? 1 : model.denoising.controls.size();
  if (request.controls.size() != controls) {
    throw bad_input(member_label(member) + ", control_image",
                    std::to_string(controls) + (model.denoising.control_channels > 0
                                                    ? ", which this model draws from"
                                                    : ", one for each controlnet"),
                    std::to_string(request.controls.size()));
  }
  Pictures pictures;
  const auto read = [&](const std::string& path) {
    return naming(member, [&] { return setup.read_picture(path); });
  };
  if (!request.init_image.empty()) pictures.init = read(request.init_image);
  if (!request.image_prompt.empty()) pictures.prompt = read(request.image_prompt);
  for (const ControlUse& use : request.controls) pictures.controls.push_back(read(use.image));
  return pictures;
}

// A step belongs to the range in which it begins.
diffusion::WeightCurve weight_of(const MemberSpec& spec, const diffusion::SigmaList& sigmas) {
  diffusion::WeightCurve curve;
  curve.points = spec.weight_curve;
  if (curve.points.empty()) curve = diffusion::WeightCurve::constant(spec.weight);
  const size_t first = diffusion::step_of_share(sigmas, spec.from);
  const size_t end = diffusion::step_of_share(sigmas, spec.to);
  curve.sigma_low = spec.sigma_low;
  curve.sigma_high = spec.sigma_high;
  if (first > 0)
    curve.sigma_high = std::min(curve.sigma_high, diffusion::just_above(sigmas[first]));
  if (end + 1 < sigmas.size()) {
    curve.sigma_low = std::max(curve.sigma_low, diffusion::just_above(sigmas[end]));
  }
  return curve;
}

at::Tensor mask_of(const Loaded& member, const CoopSetup& setup, const Request& hub_request,
                   const Model& hub) {
  if (member.spec->mask.empty()) return {};
  const image::Image picture =
      naming(member, [&] { return image::mask_of(setup.read_picture(member.spec->mask)); });
  return fitted_pixels(picture, *hub_request.height / hub.latents.downscale,
                       *hub_request.width / hub.latents.downscale,
                       image::fit_from(hub_request.resize_mode), image::Filter::kBox)
      .mean(1, /*keepdim=*/true)
      .clamp(0, 1);
}

BridgeEnd end_of(const Loaded& member, const Request& request) {
  BridgeEnd end;
  const Model& model = *member.model;
  end.name = member.name;
  end.space = model.latents.space;
  end.channels = model.latents.channels;
  end.downscale = model.latents.downscale;
  end.width = *request.width;
  end.height = *request.height;
  if (model.latents.decode) {
    end.decode = [keep = member.model](const at::Tensor& z) { return keep->latents.decode(z, {}); };
  }
  if (model.latents.encode) {
    end.encode = [keep = member.model](const at::Tensor& pixels) {
      return keep->latents.encode(pixels, {}).mean;
    };
  }
  if (member.tiny) {
    if (member.tiny->latents.downscale != model.latents.downscale ||
        member.tiny->latents.channels != model.latents.channels) {
      throw bad_input(member_label(member) + ", tiny_vae",
                      std::to_string(model.latents.channels) + " channels and a factor of " +
                          std::to_string(model.latents.downscale),
                      std::to_string(member.tiny->latents.channels) + " and " +
                          std::to_string(member.tiny->latents.downscale));
    }
    end.tiny_decode = [keep = member.tiny](const at::Tensor& z) {
      return keep->latents.decode(z, {});
    };
    end.tiny_encode = [keep = member.tiny](const at::Tensor& pixels) {
      return keep->latents.encode(pixels, {}).mean;
    };
  }
  return end;
}

// Returns the members of one stage by number, its hub first.
std::vector<size_t> members_of(const StageSpec& spec, size_t number,
                               const std::vector<Loaded>& members) {
  std::vector<size_t> chosen;
  for (const std::string& name : spec.members) {
    const auto found = std::find_if(members.begin(), members.end(),
                                    [&](const Loaded& m) { return m.name == name; });
    if (found == members.end()) {
      std::string known;
      for (const Loaded& m : members) known += (known.empty() ? "one of " : ", ") + m.name;
      throw bad_input("stage " + std::to_string(number) + ", members", known, "'" + name + "'");
    }
    const auto k = static_cast<size_t>(found - members.begin());
    if (std::count(chosen.begin(), chosen.end(), k)) {
      throw bad_input("stage " + std::to_string(number) + ", members", "each once",
                      "'" + name + "' twice");
    }
    chosen.push_back(k);
  }
  std::stable_partition(chosen.begin(), chosen.end(),
                        [&](size_t k) { return members[k].spec->hub; });
  return chosen;
}

std::vector<std::vector<PickedBridge>> bridges_of(const Recipe& recipe,
                                                  const std::vector<Member>& members,
                                                  const CoopSetup& setup) {
  const size_t n = members.size();
  std::vector<std::vector<PickedBridge>> bridges(n, std::vector<PickedBridge>(n));
  const bool symmetric = recipe.form == "symmetric", one_way = recipe.form == "one_way";
  for (size_t from = 0; from < n; ++from) {
    for (size_t to = 0; to < n; ++to) {
      if (from == to) continue;
      const bool used = symmetric || to == 0 || (from == 0 && !one_way);
      if (!used) continue;
      bridges[from][to] =
          pick_bridge(recipe.bridge, members[from].end, members[to].end, setup.learned);
    }
  }
  return bridges;
}

// Returns the recipe's request with the common noise levels, sampler and seed as the hub resolved
// them.
Request shared_of(const Recipe& recipe, const Request& hub) {
  Request shared = recipe.request;
  shared.width = hub.width;
  shared.height = hub.height;
  shared.steps = hub.steps;
  shared.sampler = hub.sampler;
  shared.schedule = hub.schedule;
  shared.noise = hub.noise;
  shared.seed = hub.seed;
  shared.init_image = hub.init_image;
  shared.strength = hub.strength;
  return shared;
}

Request hub_request_of(const Recipe& recipe, const Loaded& hub, const CoopSetup& setup) {
  Request request = request_from_json(merged(recipe.request, hub.spec->request));
  if (!request.init_image.empty() && !request.width && !request.height) {
    const image::Image picture =
        naming(hub, [&] { return setup.read_picture(request.init_image); });
    std::tie(request.width, request.height) = size_near(picture, hub.model->rules);
  }
  request = readable_by(hub, std::move(request), request_from_json(hub.spec->request));
  return naming(hub, [&] { return resolved(request, hub.model->rules, setup.fresh_seed); });
}

// Returns the recipe's stages; a recipe without stages has one, of all members.
std::vector<StageSpec> stage_specs(const Recipe& recipe, const std::vector<Loaded>& members) {
  if (!recipe.stages.empty()) return recipe.stages;
  StageSpec all;
  for (const Loaded& m : members) all.members.push_back(m.name);
  return {all};
}

std::vector<double> ends_of(const std::vector<StageSpec>& specs, const Model& hub,
                            const diffusion::SigmaList& sigmas) {
  std::vector<double> ends;
  for (size_t i = 0; i + 1 < specs.size(); ++i) {
    if (specs[i].until.empty()) {
      throw bad_input("stage " + std::to_string(i + 1) + ", until",
                      "the noise level where the next takes over", "none", "for example t=500");
    }
    ends.push_back(diffusion::sigma_from(specs[i].until, hub.denoising.schedule, sigmas));
  }
  if (!specs.back().until.empty()) {
    throw bad_input("the last stage, until", "none, since it goes to the end",
                    "'" + specs.back().until + "'");
  }
  return ends;
}

// calls_last_level: whether the denoiser is called at the last level too, for the next stage.
void check(const CoopStage& stage, bool calls_last_level) {
  std::vector<diffusion::CoopMember> members;
  for (const Member& m : stage.members) members.push_back({m.name, {}, m.weight, m.mask});
  diffusion::SigmaList sigmas = stage.sigmas;
  if (calls_last_level) sigmas.push_back(0.0);
  diffusion::check_weights(members, sigmas);
}

void check_kept(const CoopStage& stage, const CoopStage& next) {
  bool equal = next.members.size() == stage.members.size();
  for (size_t k = 0; equal && k < next.members.size(); ++k) {
    const BridgeEnd &a = stage.members[k].end, &b = next.members[k].end;
    equal = a.space == b.space && a.width == b.width && a.height == b.height;
  }
  if (!equal) {
    throw bad_input("handoff 'keep'", "stages of members with equal latents, one by one", "others",
                    "\"fresh\" is the paper's");
  }
}

// Throws if a member with weight takes part in no step; the drawing would leave it out silently
// otherwise.
void check_all_take_part(const Cooperation& coop, const std::vector<Loaded>& members) {
  for (const Loaded& loaded : members) {
    const auto& curve = loaded.spec->weight_curve;
    const bool has_weight =
        curve.empty()
            ? loaded.spec->weight > 0.0
            : std::any_of(curve.begin(), curve.end(), [](const auto& p) { return p.second > 0.0; });
    const bool takes_part =
        std::any_of(coop.stages.begin(), coop.stages.end(), [&](const CoopStage& stage) {
          return std::any_of(stage.members.begin(), stage.members.end(),
                             [&](const Member& m) { return m.name == loaded.name; });
        });
    if (has_weight && !takes_part) {
      throw bad_input(member_label(loaded), "a stage, and a step inside of its range", "none",
                      "weight = 0 leaves it out");
    }
  }
}

// Adds how each stage's guess is carried to the members of the next stage.
void add_carries(Cooperation& coop, const CoopSetup& setup) {
  for (size_t i = 0; i + 1 < coop.stages.size(); ++i) {
    CoopStage& stage = coop.stages[i];
    const Member& hub = stage.members.front();
    for (const Member& next : coop.stages[i + 1].members) {
      if (coop.handoff == diffusion::Handoff::kNaive) {
        // Between spaces of different channels, the noisy latent is decoded as if it were a clean
        // one.
        if (next.end.channels != hub.end.channels) {
          stage.carries.push_back(pick_bridge("exact", hub.end, next.end, {}, stage.upscale));
          continue;
        }
        const int64_t h = next.end.height / next.end.downscale;
        const int64_t w = next.end.width / next.end.downscale;
        stage.carries.push_back({BridgeKind::kIdentity, "the noisy latent, upsampled",
                                 [h, w, filter = stage.upscale](const at::Tensor& x) {
                                   return resampled(x, h, w, filter);
                                 }});
        continue;
      }
      stage.carries.push_back(
          pick_bridge(coop.recipe.bridge, hub.end, next.end, setup.learned, stage.upscale));
      if (coop.handoff == diffusion::Handoff::kKeepNoise &&
          stage.carries.back().kind != BridgeKind::kIdentity) {
        throw bad_input("handoff 'keep' from '" + hub.name + "' to '" + next.name + "'",
                        "one latent space at one size", "two");
      }
    }
    if (coop.handoff == diffusion::Handoff::kKeepNoise) check_kept(stage, coop.stages[i + 1]);
  }
}

CoopStage stage_of(const StageSpec& spec, size_t number, const Cooperation& coop,
                   const std::vector<Loaded>& members, diffusion::SigmaList sigmas, bool last,
                   const CoopSetup& setup) {
  const std::vector<size_t> chosen = members_of(spec, number, members);
  const Loaded& hub = members[chosen.front()];
  if (last && !hub.spec->hub) {
    throw bad_input("the last stage", "the hub among its members", "'" + hub.name + "' alone");
  }
  const Request shared = shared_of(coop.recipe, coop.request);
  const std::pair<int, int> whole = {*coop.request.width, *coop.request.height};
  std::pair<int, int> size = whole;
  if (!last) size = size_with_hub(whole.first, whole.second, *hub.model, *coop.hub);
  if (spec.size) size = *spec.size;
  CoopStage stage;
  stage.sigmas = std::move(sigmas);
  stage.upscale = filter_from(spec.upscale);
  for (const size_t k : chosen) {
    const bool is_hub = k == chosen.front();
    Member member;
    member.name = members[k].name;
    member.model = members[k].model;
    member.weight = weight_of(*members[k].spec, coop.sigmas);
    member.weight.validate(member_label(members[k]));
    const bool takes_part =
        std::any_of(stage.sigmas.begin(), stage.sigmas.end() - 1,
                    [&](double sigma) { return member.weight.at(sigma) > 0.0; });
    if (!takes_part && !is_hub) continue;
    const auto own_size =
        is_hub ? size : size_with_hub(size.first, size.second, *member.model, *hub.model);
    member.request = request_for(members[k], shared, own_size);
    const json& own = members[k].spec->request;
    member.own_prompt = own.contains("prompt") && !own["prompt"].is_null();
    member.pictures = pictures_for(members[k], member.request, setup);
    member.end = end_of(members[k], member.request);
    const Request& hub_request = is_hub ? member.request : stage.members.front().request;
    member.mask = mask_of(members[k], setup, hub_request, *hub.model);
    stage.members.push_back(std::move(member));
  }
  const Request& drawn_request = stage.members.front().request;
  if (last && std::pair(*drawn_request.width, *drawn_request.height) != whole) {
    throw bad_input(
        "the last stage, size", std::to_string(whole.first) + "x" + std::to_string(whole.second),
        std::to_string(*drawn_request.width) + "x" + std::to_string(*drawn_request.height));
  }
  stage.bridges = bridges_of(coop.recipe, stage.members, setup);
  check(stage, !last && coop.handoff != diffusion::Handoff::kNaive);
  return stage;
}

}  // namespace

Cooperation assemble(const Recipe& recipe, const CoopSetup& setup) {
  if (recipe.request.hires_scale > 1.0) {
    throw bad_input("recipe, key 'hires_scale'", "none with several models",
                    number_text(recipe.request.hires_scale),
                    "[[stage]] tables draw from low to high resolution");
  }
  const std::vector<Loaded> members = load_members(recipe, setup);
  const auto hub =
      std::find_if(members.begin(), members.end(), [](const Loaded& m) { return m.spec->hub; });
  Cooperation coop;
  coop.recipe = recipe;
  for (size_t i = 0; i < members.size(); ++i) coop.recipe.members[i].name = members[i].name;
  coop.hub = hub->model;
  coop.handoff = diffusion::handoff_from(recipe.handoff);
  diffusion::coop_form_from(recipe.form);
  coop.request = hub_request_of(recipe, *hub, setup);
  const diffusion::Plan plan = plan_of(*hub->model, coop.request);
  coop.sigmas = plan.sigmas();
  coop.first_step = plan.first_step;
  const std::vector<StageSpec> specs = stage_specs(recipe, members);
  const auto pieces = diffusion::cut_at(coop.sigmas, ends_of(specs, *hub->model, coop.sigmas));
  for (size_t i = 0; i < specs.size(); ++i) {
    coop.stages.push_back(
        stage_of(specs[i], i + 1, coop, members, pieces[i], i + 1 == specs.size(), setup));
  }
  check_all_take_part(coop, members);
  add_carries(coop, setup);
  return coop;
}

}  // namespace pangu::pipeline
