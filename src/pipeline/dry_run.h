// What a drawing will ask of each network, before it is drawn: the drawing itself runs, with
// networks that answer at once. Guidance, experts, samplers, controls, stages and bridges are
// therefore those of the drawing, and the counts are exact; operations and bytes are the estimates
// of model.h.
#pragma once
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/watch.h"
#include "pipeline/coop/coop.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {

enum class NetworkPart { kTextEncoder, kDenoiser, kControl, kEncoder, kDecoder, kUpscaler };
// "text encoder", "denoiser", "control", "encoder", "decoder", "upscaler".
std::string to_string(NetworkPart part);

// The forwards of one network.
struct NetworkUse {
  std::string member;  // whose network it is: the member's name, or the only model's
  std::string network;
  NetworkPart part = NetworkPart::kDenoiser;
  int64_t calls = 0;
  int64_t rows = 0;  // of all calls: guidance takes two rows for a picture, a style one more
  // 10^9 operations; 0 where that is not known. A ControlNet's are those of its denoiser.
  double gflop = 0.0;
};

// The crossings of one bridge between two members, in both of which autoencoders may work.
struct BridgeUse {
  std::string from, to;
  BridgeKind kind = BridgeKind::kExact;
  int64_t crossings = 0;
  double gflop = 0.0;  // 0 where that is not known: for tiny and learned bridges
};

struct DryRun {
  // Of one picture, in order of first use.
  std::vector<NetworkUse> networks;
  std::vector<BridgeUse> bridges;
  int pictures = 1;
  int64_t weight_bytes = 0;  // of all models together; activations come on top

  int64_t evaluations() const;  // rows of denoisers, for all pictures
  double gflop() const;         // of networks and bridges, for all pictures
};

// request: resolved. Errors are those of draw(). Throws Stopped when the watch wants to stop; its
// warnings are those of prompts that are not read to the end.
DryRun dry_run(const Model& model, const Request& request, const Pictures& pictures = {},
               const Watch& watch = {});
DryRun dry_run(const Cooperation& coop, const Watch& watch = {});

// An estimate of Cost for a picture of this size; 0 if the model has none.
double gflop_at(const std::function<double(int width, int height)>& estimate, int64_t width,
                int64_t height);

// {"pictures", "evaluations", "gflop", "weight_bytes", "networks": [...], "bridges": [...]}.
nlohmann::json to_json(const DryRun& run);
// The same as a few lines.
std::string to_table(const DryRun& run);

// The whole plan of a drawing. Of one model {"boundaries", "steps"} (diffusion::to_json of its
// plan), of several {"form", "handoff"}; of both {"stages", "cost"}, which are those of to_json of
// a Cooperation and of a DryRun. Arguments and errors as of dry_run.
nlohmann::json plan_json(const Model& model, const Request& request, const Pictures& pictures,
                         const Watch& watch = {});
nlohmann::json plan_json(const Cooperation& coop, const Watch& watch = {});

}  // namespace pangu::pipeline
