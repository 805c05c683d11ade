#include "pipeline/coop/hires.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "diffusion/sigmas.h"
#include "pipeline/upscaler.h"

namespace pangu::pipeline {
namespace {

Member hires_member(const Model& model, const std::string& name, const Request& request,
                    const Pictures& pictures) {
  Member member;
  member.name = name;
  member.model = std::shared_ptr<const Model>(std::shared_ptr<const void>(), &model);
  member.request = request;
  member.pictures = pictures;
  member.weight = diffusion::WeightCurve::constant(1.0);
  member.end.name = name;
  member.end.space = model.latents.space;
  member.end.channels = model.latents.channels;
  member.end.downscale = model.latents.downscale;
  member.end.width = *request.width;
  member.end.height = *request.height;
  return member;
}

CoopStage hires_stage(Member member, diffusion::SigmaList sigmas) {
  CoopStage stage;
  stage.sigmas = std::move(sigmas);
  stage.bridges = {{PickedBridge()}};
  stage.members.push_back(std::move(member));
  return stage;
}

}  // namespace

std::pair<int, int> hires_size(const Request& request, const RequestRules& rules) {
  const auto side = [&](int base) {
    const int unit = rules.size_multiple;
    return std::max(unit, static_cast<int>(std::lround(base * request.hires_scale)) / unit * unit);
  };
  return {side(*request.width), side(*request.height)};
}

Cooperation hires_of(const Model& model, const Request& request, const Pictures& pictures,
                     const Watch& watch) {
  if (!request.mask_image.empty() || model.denoising.extra_channels > 0) {
    throw bad_input("hires_scale", "a drawing without a mask", "an inpainting");
  }
  if (!model.latents.encode) {
    throw bad_input("hires_scale", "a model whose autoencoder can encode", "a decoder alone");
  }
  Request large = request;
  std::tie(large.width, large.height) = hires_size(request, model.rules);
  try {
    validate(large, model.rules);
  } catch (const Error& error) {
    throw while_doing("enlarging by hires_scale", error);
  }
  const diffusion::Plan plan = plan_of(model, request);
  Cooperation coop;
  coop.request = request;
  coop.sigmas = plan.sigmas();
  coop.first_step = plan.first_step;
  const double end = diffusion::tail_of(coop.sigmas, request.hires_strength).front();
  if (!(end < coop.sigmas.front() && end > 0.0)) {
    throw bad_input("hires_strength", "a step in front of the second stage and one in it",
                    "none with " + std::to_string(coop.sigmas.size() - 1) + " steps");
  }
  const auto pieces = diffusion::cut_at(coop.sigmas, {end});
  CoopStage first = hires_stage(hires_member(model, "base", request, pictures), pieces[0]);
  first.carries.push_back(
      {BridgeKind::kExact, "decoded, enlarged and encoded",
       [&model, watch, height = *large.height, width = *large.width](const at::Tensor& x0) {
         const at::Tensor pixels = (model.latents.decode(x0, watch) * 0.5 + 0.5).clamp(0.0, 1.0);
         const at::Tensor more = enlarged(pixels, height, width, model.upscaler, watch);
         return model.latents.encode(more * 2 - 1, watch).mean;
       }});
  coop.stages.push_back(std::move(first));
  coop.stages.push_back(hires_stage(hires_member(model, "hires", large, pictures), pieces[1]));
  coop.hub = coop.stages.back().members.front().model;
  return coop;
}

Cooperation cooperation_of(const Model& model, const Request& request, const Pictures& pictures) {
  if (request.hires_scale > 1.0) return hires_of(model, request, pictures);
  const diffusion::Plan plan = plan_of(model, request);
  Cooperation coop;
  coop.request = request;
  coop.sigmas = plan.sigmas();
  coop.first_step = plan.first_step;
  coop.stages.push_back(
      hires_stage(hires_member(model, model.name, request, pictures), coop.sigmas));
  coop.hub = coop.stages.back().members.front().model;
  return coop;
}

}  // namespace pangu::pipeline
