// Describes a cooperation as text and as JSON, and makes what a picture keeps of it.
#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "pipeline/coop/coop.h"
#include "pipeline/dry_run.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

std::string padded(const std::string& text, size_t width) {
  const std::string blanks(width > text.size() ? width - text.size() : 0, ' ');
  return text + blanks;
}

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string size_text(const BridgeEnd& end) {
  return std::to_string(end.width) + "x" + std::to_string(end.height);
}

std::string space_text(const BridgeEnd& end) {
  return std::to_string(end.channels) + "x" + std::to_string(end.height / end.downscale) + "x" +
         std::to_string(end.width / end.downscale) + ", f = " + std::to_string(end.downscale);
}

// The members' weights as shares of their sum, without masks.
std::vector<double> shares_at(const CoopStage& stage, double sigma) {
  std::vector<double> shares;
  double sum = 0.0;
  for (const Member& m : stage.members) {
    shares.push_back(m.weight.at(sigma));
    sum += shares.back();
  }
  for (double& share : shares) share /= sum;
  return shares;
}

std::string expert_at(const Member& m, double sigma) {
  if (m.model->denoising.experts.size() == 1) return "";
  return " (" +
         m.model->denoising
             .experts[diffusion::expert_of_sigma(m.model->denoising.boundaries, sigma)]
             .name +
         ")";
}

// The number of rows of a forward: negative, prompt and styles, or the prompt alone where guidance
// is off.
int rows_of(const Member& m) {
  const int guided = *m.request.guidance == 1.0 ? 1 : 2;
  return guided + static_cast<int>(m.request.styles.size());
}

double member_gflop(const Member& m) {
  return rows_of(m) * gflop_at(m.model->cost.row_gflop, m.end.width, m.end.height);
}

// The cost of a bridge; 0 if it is not through autoencoders.
double bridge_gflop(const PickedBridge& bridge, const Member& from, const Member& to) {
  if (bridge.kind != BridgeKind::kExact) return 0.0;
  return gflop_at(from.model->cost.decode_gflop, from.end.width, from.end.height) +
         gflop_at(to.model->cost.encode_gflop, to.end.width, to.end.height);
}

// Calls visit(from, to, bridge) for every bridge of a stage that is crossed, in order.
template <class Visit>
void for_each_bridge(const CoopStage& stage, const Visit& visit) {
  for (size_t from = 0; from < stage.members.size(); ++from) {
    for (size_t to = 0; to < stage.members.size(); ++to) {
      const PickedBridge& bridge = stage.bridges[from][to];
      if (bridge.cross) visit(stage.members[from], stage.members[to], bridge);
    }
  }
}

struct StepCost {
  double members = 0.0, bridges = 0.0;  // 10^9 operations of a step in which all members count
};

StepCost cost_of(const CoopStage& stage, int calls, int bridge_every) {
  StepCost cost;
  for (const Member& m : stage.members) cost.members += calls * member_gflop(m);
  for_each_bridge(stage, [&](const Member& from, const Member& to, const PickedBridge& bridge) {
    cost.bridges += calls * bridge_gflop(bridge, from, to) / bridge_every;
  });
  return cost;
}

StepCost cost_of(const Cooperation& coop, const CoopStage& stage) {
  return cost_of(stage, diffusion::find_sampler(*coop.request.sampler).calls_per_step,
                 coop.recipe.bridge_every);
}

void add_bridge(std::ostringstream& out, const std::string& from, const std::string& to,
                const PickedBridge& bridge) {
  out << "  " << padded(from + " to " + to, 28) << padded(to_string(bridge.kind), 10) << bridge.why
      << "\n";
}

// The steps of a stage in which a member has weight, by the expert that serves them.
json experts_json(const Cooperation& coop, const CoopStage& stage, const Member& m) {
  const Denoising& denoising = m.model->denoising;
  const auto boundaries = diffusion::make_plan(coop.sigmas, denoising.schedule,
                                               denoising.boundaries, m.model->quirks.lag_switch)
                              .boundaries;
  json experts = json::array();
  for (size_t e = 0; e < denoising.experts.size(); ++e) {
    const auto serves = [&](double sigma) {
      return diffusion::expert_of_sigma(boundaries, sigma) == e && m.weight.at(sigma) > 0.0;
    };
    experts.push_back(
        {{"name", denoising.experts[e].name},
         {"steps", std::count_if(stage.sigmas.begin(), stage.sigmas.end() - 1, serves)}});
  }
  return experts;
}

json bridge_json(const std::string& from, const std::string& to, const PickedBridge& bridge) {
  return {{"from", from}, {"to", to}, {"kind", to_string(bridge.kind)}, {"by", bridge.why}};
}

}  // namespace

std::string bridges_text(const Cooperation& coop) {
  std::vector<std::string> texts;
  const auto visit = [&](const Member& from, const Member& to, const PickedBridge& bridge) {
    const std::string text = from.name + " to " + to.name + " " + to_string(bridge.kind);
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  };
  for (size_t s = 0; s < coop.stages.size(); ++s) {
    const CoopStage& stage = coop.stages[s];
    for_each_bridge(stage, visit);
    for (size_t k = 0; k < stage.carries.size(); ++k) {
      visit(stage.members.front(), coop.stages[s + 1].members[k], stage.carries[k]);
    }
  }
  std::string line;
  for (const std::string& text : texts) line += (line.empty() ? "bridges: " : ", ") + text;
  return line;
}

std::string to_table(const Cooperation& coop) {
  std::ostringstream out;
  std::set<const Model*> models;
  double megabytes = 0.0;
  for (size_t s = 0; s < coop.stages.size(); ++s) {
    const CoopStage& stage = coop.stages[s];
    out << "stage " << s + 1 << ": sigma " << number(stage.sigmas.front(), 4) << " to "
        << number(stage.sigmas.back(), 4) << ", " << stage.sigmas.size() - 1 << " steps, form "
        << coop.recipe.form << "\n";
    for (const Member& m : stage.members) {
      out << "  " << padded(m.name + (&m == &stage.members.front() ? " (hub)" : ""), 28)
          << padded(size_text(m.end), 10) << "latent " << space_text(m.end) << ", "
          << number(static_cast<double>(m.model->cost.weight_bytes) / 1e6, 0) << " MB"
          << (m.mask.defined() ? ", masked" : "") << "\n";
      if (models.insert(m.model.get()).second) {
        megabytes += static_cast<double>(m.model->cost.weight_bytes) / 1e6;
      }
    }
    for_each_bridge(stage, [&](const Member& from, const Member& to, const PickedBridge& bridge) {
      add_bridge(out, from.name, to.name, bridge);
    });
    const StepCost cost = cost_of(coop, stage);
    out << "  about " << number(cost.members, 1) << " GFLOP a step for the members, "
        << number(cost.bridges, 1) << " for exact bridges\n";
    for (size_t k = 0; k < stage.carries.size(); ++k) {
      std::string next = coop.stages[s + 1].members[k].name;
      next += " (next stage)";
      add_bridge(out, stage.members.front().name, next, stage.carries[k]);
    }
  }
  out << "weights in memory: " << number(megabytes, 0) << " MB\n\nstep     sigma";
  size_t step = 0;
  for (const CoopStage& stage : coop.stages) {
    for (const Member& m : stage.members) out << "  " << padded(m.name, 20);
    out << "\n";
    for (size_t i = 0; i + 1 < stage.sigmas.size(); ++i) {
      const auto shares = shares_at(stage, stage.sigmas[i]);
      char head[64];
      std::snprintf(head, sizeof head, "%4zu %9.4f", step++, stage.sigmas[i]);
      out << head;
      for (size_t k = 0; k < shares.size(); ++k) {
        const std::string share = number(shares[k], 3);
        const std::string expert = expert_at(stage.members[k], stage.sigmas[i]);
        out << "  " << share << padded(expert, 20 - share.size());
      }
      out << "\n";
    }
    if (&stage != &coop.stages.back()) out << "              ";
  }
  return out.str();
}

json to_json(const Cooperation& coop) {
  json stages = json::array();
  for (size_t s = 0; s < coop.stages.size(); ++s) {
    const CoopStage& stage = coop.stages[s];
    json members = json::array(), bridges = json::array(), carries = json::array();
    json steps = json::array();
    for (const Member& m : stage.members) {
      members.push_back({{"name", m.name},
                         {"model", m.model->name},
                         {"fingerprint", m.model->fingerprint},
                         {"width", m.end.width},
                         {"height", m.end.height},
                         {"latent_channels", m.end.channels},
                         {"downscale", m.end.downscale},
                         {"latent_space", m.end.space.text()},
                         {"hub", &m == &stage.members.front()},
                         {"experts", experts_json(coop, stage, m)},
                         {"weight_bytes", m.model->cost.weight_bytes},
                         {"masked", m.mask.defined()}});
    }
    for_each_bridge(stage, [&](const Member& from, const Member& to, const PickedBridge& b) {
      bridges.push_back(bridge_json(from.name, to.name, b));
    });
    for (size_t k = 0; k < stage.carries.size(); ++k) {
      carries.push_back(bridge_json(stage.members.front().name, coop.stages[s + 1].members[k].name,
                                    stage.carries[k]));
    }
    for (size_t i = 0; i + 1 < stage.sigmas.size(); ++i) {
      steps.push_back({{"sigma", stage.sigmas[i]}, {"weights", shares_at(stage, stage.sigmas[i])}});
    }
    const StepCost cost = cost_of(coop, stage);
    stages.push_back({{"members", members},
                      {"bridges", bridges},
                      {"carries", carries},
                      {"gflop_a_step", {{"members", cost.members}, {"bridges", cost.bridges}}},
                      {"steps", steps}});
  }
  return {{"form", coop.recipe.form}, {"handoff", coop.recipe.handoff}, {"stages", stages}};
}

std::map<std::string, std::string> png_text(const Cooperation& coop, int index,
                                            const PictureKeeps& keeps) {
  PictureKeeps of_hub = keeps;
  Recipe recipe = coop.recipe;
  for (const MemberSpec& member : recipe.members) {
    if (member.hub) of_hub.model = member;
  }
  auto text = png_text(*coop.hub, coop.request, index, of_hub);
  if (keeps.grid) recipe.request = keeps.of_grid;
  recipe.request.seed = *coop.request.seed + static_cast<uint64_t>(index);
  recipe.request.count = 1;
  json models = json::object();
  for (const CoopStage& stage : coop.stages) {
    for (const Member& m : stage.members) {
      models[m.name] = {{"name", m.model->name}, {"fingerprint", m.model->fingerprint}};
    }
  }
  json document = {{"recipe", to_json(recipe)},
                   {"models", models},
                   {"shared", {{"dtype", coop.hub->cost.dtype}}},
                   {kNoiseVersionKey, diffusion::kStepNoiseVersion}};
  if (coop.hub->cost.precision != kExactPrecision) {
    document["shared"]["precision"] = coop.hub->cost.precision;
  }
  if (keeps.model.load.vae_tile > 0) document["shared"]["vae_tile"] = keeps.model.load.vae_tile;
  if (keeps.grid) document[kGridKey] = to_json(*keeps.grid);
  document["files"] = kept_files(document["recipe"], keeps);
  text[kJsonText] = document.dump();
  return text;
}

}  // namespace pangu::pipeline
