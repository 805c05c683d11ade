#include "pipeline/dry_run.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "pipeline/coop/hires.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

template <class Use, class IsSame>
Use& found_or_added(std::vector<Use>& uses, const IsSame& is_same, const Use& fresh) {
  const auto found = std::find_if(uses.begin(), uses.end(), is_same);
  return found != uses.end() ? *found : uses.emplace_back(fresh);
}

// Counts the forwards of one member's networks.
class MemberCount {
 public:
  MemberCount(DryRun& run, std::string member) : run_(&run), member_(std::move(member)) {}

  void add(NetworkPart part, const std::string& network, int64_t rows, double row_gflop) const {
    NetworkUse& use =
        found_or_added(run_->networks,
                       [&](const NetworkUse& one) {
                         return one.member == member_ && one.network == network && one.part == part;
                       },
                       {.member = member_, .network = network, .part = part});
    ++use.calls;
    use.rows += rows;
    use.gflop += row_gflop * static_cast<double>(rows);
  }

 private:
  DryRun* run_;
  std::string member_;
};

void load_nothing(const Watch&) {}

void count_text_sides(Model& model, const MemberCount& count) {
  for (TextSide& side : model.denoising.text_sides) {
    side.load = load_nothing;
    side.encode = [count](const PromptRows& rows, const Watch&) {
      count.add(NetworkPart::kTextEncoder, to_string(NetworkPart::kTextEncoder),
                static_cast<int64_t>(rows.prompts.size()), 0.0);
      return Conditions();
    };
  }
}

void count_denoisers(Model& model, const MemberCount& count) {
  const int f = model.latents.downscale;
  for (Expert& expert : model.denoising.experts) {
    expert.load = load_nothing;
    expert.hold = {};
    expert.prepare = {};
    // The answer is the input, since one without variance could not be rescaled (guidance.h).
    expert.predict = [count, f, name = expert.name, gflop = model.cost.row_gflop](
                         const at::Tensor& x, double, const NetInputs&, const Watch&) {
      count.add(NetworkPart::kDenoiser, name, x.size(0),
                gflop_at(gflop, x.size(3) * f, x.size(2) * f));
      return x;
    };
  }
  for (Control& control : model.denoising.controls) {
    control.load = load_nothing;
    control.predict = [count, name = control.name](const at::Tensor& x, double, const Conditions&,
                                                   const at::Tensor&, int64_t, const Watch&) {
      count.add(NetworkPart::kControl, name, x.size(0), 0.0);
      return Residuals{{}, at::zeros({1, 1})};
    };
  }
}

void count_autoencoder(Model& model, const MemberCount& count) {
  LatentCodec& latents = model.latents;
  const int64_t f = latents.downscale, channels = latents.channels;
  latents.load = load_nothing;
  latents.decode = [count, f, gflop = model.cost.decode_gflop](const at::Tensor& z, const Watch&) {
    const int64_t width = z.size(3) * f, height = z.size(2) * f;
    count.add(NetworkPart::kDecoder, "decoder", z.size(0), gflop_at(gflop, width, height));
    return at::zeros({z.size(0), 3, height, width});
  };
  if (!latents.encode) return;
  latents.encode = [count, f, channels, gflop = model.cost.encode_gflop](const at::Tensor& pixels,
                                                                         const Watch&) {
    const int64_t width = pixels.size(3), height = pixels.size(2);
    count.add(NetworkPart::kEncoder, "encoder", pixels.size(0), gflop_at(gflop, width, height));
    const at::Tensor zeros = at::zeros({pixels.size(0), channels, height / f, width / f});
    return Posterior{zeros, zeros};
  };
}

void count_upscaler(Model& model, const MemberCount& count) {
  if (!model.upscaler) return;
  model.upscaler->enlarge = [count, name = model.upscaler->name, by = model.upscaler->factor](
                                const at::Tensor& pixels, const Watch&) {
    count.add(NetworkPart::kUpscaler, name, pixels.size(0), 0.0);
    return at::zeros({1, 1, 1, 1})
        .expand({pixels.size(0), pixels.size(1), pixels.size(2) * by, pixels.size(3) * by});
  };
}

// The model with networks that only count. The count's run outlives it.
Model counting(const Model& model, const MemberCount& count) {
  Model counted = model;
  count_text_sides(counted, count);
  count_denoisers(counted, count);
  count_autoencoder(counted, count);
  count_upscaler(counted, count);
  return counted;
}

// A bridge that only counts. Those that need no network are crossed as they are.
void count_bridge(PickedBridge& bridge, const Member& from, const Member& to, DryRun& run) {
  if (!bridge.cross || bridge.kind == BridgeKind::kIdentity) return;
  double gflop = 0.0;
  if (bridge.kind == BridgeKind::kExact) {
    gflop = gflop_at(from.model->cost.decode_gflop, from.end.width, from.end.height) +
            gflop_at(to.model->cost.encode_gflop, to.end.width, to.end.height);
  }
  const BridgeUse fresh{from.name, to.name, bridge.kind, 0, 0.0};
  const std::vector<int64_t> shape = {to.end.channels, to.end.height / to.end.downscale,
                                      to.end.width / to.end.downscale};
  bridge.cross = [&run, fresh, shape, gflop](const at::Tensor& x0) {
    BridgeUse& use = found_or_added(
        run.bridges,
        [&](const BridgeUse& one) {
          return one.from == fresh.from && one.to == fresh.to && one.kind == fresh.kind;
        },
        fresh);
    ++use.crossings;
    use.gflop += gflop * static_cast<double>(x0.size(0));
    return at::zeros({x0.size(0), shape[0], shape[1], shape[2]});
  };
}

DrawHooks counting_hooks(const Watch& watch) {
  DrawHooks hooks;
  hooks.watch = watch;
  hooks.on_picture = [](int, const image::Image&) {};
  return hooks;
}

void check_finished(const Drawing& drawing) {
  if (drawing.stopped) throw Stopped("stopped while a drawing was counted");
}

std::string rounded_text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

std::string to_string(NetworkPart part) {
  switch (part) {
    case NetworkPart::kTextEncoder:
      return "text encoder";
    case NetworkPart::kDenoiser:
      return "denoiser";
    case NetworkPart::kControl:
      return "control";
    case NetworkPart::kEncoder:
      return "encoder";
    case NetworkPart::kDecoder:
      return "decoder";
    case NetworkPart::kUpscaler:
      return "upscaler";
  }
  return "";
}

double gflop_at(const std::function<double(int width, int height)>& estimate, int64_t width,
                int64_t height) {
  return estimate ? estimate(static_cast<int>(width), static_cast<int>(height)) : 0.0;
}

int64_t DryRun::evaluations() const {
  int64_t rows = 0;
  for (const NetworkUse& use : networks) {
    if (use.part == NetworkPart::kDenoiser) rows += use.rows;
  }
  return rows * pictures;
}

double DryRun::gflop() const {
  double sum = 0.0;
  for (const NetworkUse& use : networks) sum += use.gflop;
  for (const BridgeUse& use : bridges) sum += use.gflop;
  return sum * pictures;
}

DryRun dry_run(const Model& model, const Request& request, const Pictures& pictures,
               const Watch& watch) {
  validate(request, model.rules);
  DryRun run;
  const MemberCount count(run, model.name);
  Request one = request;
  one.count = 1;
  one.upscale = 1.0;  // enlarging zeros would take its time and tell nothing
  check_finished(draw(counting(model, count), one, counting_hooks(watch), pictures));
  if (request.upscale > 1.0 && model.upscaler) {
    count.add(NetworkPart::kUpscaler, model.upscaler->name, 1, 0.0);
  }
  run.pictures = request.count;
  run.weight_bytes = model.cost.weight_bytes;
  return run;
}

DryRun dry_run(const Cooperation& coop, const Watch& watch) {
  DryRun run;
  run.pictures = coop.request.count;
  Cooperation counted = coop;
  counted.request.count = 1;
  counted.request.upscale = 1.0;
  std::set<const Model*> models;
  for (size_t s = 0; s < counted.stages.size(); ++s) {
    CoopStage& stage = counted.stages[s];
    for (size_t from = 0; from < stage.members.size(); ++from) {
      for (size_t to = 0; to < stage.members.size(); ++to) {
        count_bridge(stage.bridges[from][to], stage.members[from], stage.members[to], run);
      }
    }
    for (size_t k = 0; k < stage.carries.size(); ++k) {
      count_bridge(stage.carries[k], stage.members.front(), counted.stages[s + 1].members[k], run);
    }
  }
  for (CoopStage& stage : counted.stages) {
    for (Member& member : stage.members) {
      if (models.insert(member.model.get()).second) {
        run.weight_bytes += member.model->cost.weight_bytes;
      }
      member.request.upscale = 1.0;
      member.model =
          std::make_shared<const Model>(counting(*member.model, MemberCount(run, member.name)));
    }
  }
  check_finished(draw(counted, counting_hooks(watch)));
  const Member& last = coop.stages.back().members.front();
  if (last.request.upscale > 1.0 && last.model->upscaler) {
    MemberCount(run, last.name).add(NetworkPart::kUpscaler, last.model->upscaler->name, 1, 0.0);
  }
  return run;
}

json plan_json(const Model& model, const Request& request, const Pictures& pictures,
               const Watch& watch) {
  std::vector<std::string> names;
  for (const Expert& expert : model.denoising.experts) names.push_back(expert.name);
  json plan = json::parse(diffusion::to_json(plan_of(model, request), names));
  plan["cost"] = to_json(dry_run(model, request, pictures, watch));
  plan["stages"] = to_json(cooperation_of(model, request, pictures))["stages"];
  return plan;
}

json plan_json(const Cooperation& coop, const Watch& watch) {
  json plan = to_json(coop);
  plan["cost"] = to_json(dry_run(coop, watch));
  return plan;
}

json to_json(const DryRun& run) {
  json networks = json::array(), bridges = json::array();
  for (const NetworkUse& use : run.networks) {
    networks.push_back({{"member", use.member},
                        {"network", use.network},
                        {"part", to_string(use.part)},
                        {"calls", use.calls},
                        {"rows", use.rows},
                        {"gflop", use.gflop}});
  }
  for (const BridgeUse& use : run.bridges) {
    bridges.push_back({{"from", use.from},
                       {"to", use.to},
                       {"kind", to_string(use.kind)},
                       {"crossings", use.crossings},
                       {"gflop", use.gflop}});
  }
  return {{"pictures", run.pictures},
          {"evaluations", run.evaluations()},
          {"gflop", run.gflop()},
          {"weight_bytes", run.weight_bytes},
          {"networks", std::move(networks)},
          {"bridges", std::move(bridges)}};
}

std::string to_table(const DryRun& run) {
  struct Line {
    std::string what;
    int64_t calls, rows;
    double gflop;
  };
  const bool several = std::any_of(run.networks.begin(), run.networks.end(), [&](const auto& use) {
    return use.member != run.networks.front().member;
  });
  std::vector<Line> lines;
  for (const NetworkUse& use : run.networks) {
    lines.push_back(
        {several ? use.member + ", " + use.network : use.network, use.calls, use.rows, use.gflop});
  }
  for (const BridgeUse& use : run.bridges) {
    lines.push_back({use.from + " to " + use.to + ", " + to_string(use.kind), use.crossings,
                     use.crossings, use.gflop});
  }
  const std::string head = "for each picture";
  size_t column = head.size();
  for (const Line& line : lines) column = std::max(column, line.what.size());
  const auto begun = [&](const std::string& what) {
    return what + std::string(column - what.size(), ' ');
  };
  std::string table = begun(head) + "   calls    rows      GFLOP\n";
  for (const Line& line : lines) {
    table += begun(line.what) + rounded_text("%8.0f", static_cast<double>(line.calls)) +
             rounded_text("%8.0f", static_cast<double>(line.rows)) +
             (line.gflop > 0.0 ? rounded_text("%11.1f", line.gflop) : "") + "\n";
  }
  constexpr double kMegabyte = 1e6;
  return table + "in all " + std::to_string(run.evaluations()) + " rows of denoisers, about " +
         rounded_text("%.1f", run.gflop()) + " GFLOP; weights take " +
         rounded_text("%.0f", static_cast<double>(run.weight_bytes) / kMegabyte) + " MB\n";
}

}  // namespace pangu::pipeline
