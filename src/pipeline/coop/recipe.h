// What a person asks of several models together (Coop-Diffusion), as plain data: the members, who
// is the hub, how much each counts at which noise level and where, how they are bridged, and in
// which stages of resolution. It opens no model. The file is TOML, and the PNG keeps the same as
// JSON:
//
//   prompt = "a red apple, 3D render"     any key of a request (request.h), and size = "384x256"
//   form = "paper"                        paper, symmetric, one_way (diffusion/coop.h)
//   bridge = "auto"                       auto, exact, tiny, learned
//   [[member]]
//   model = "models/mini"                 a folder or file; empty: the embedded model
//   hub = true                            the result is in its space; exactly one member is the hub
//   weight = 0.6
//   [[member]]
//   name = "edges"                        for errors and plans; the model's own unless given
//   model = "models/edges"
//   weight = 0.4
//   to = 0.7                              share of the steps after which it has no weight
//   control_image = "edges.png"           and any key of a request that differs for this member;
//                                         steps, sampler, schedule, noise, seed, count, strength
//                                         are one for all, above
//   [[stage]]                             only for a resolution gap: from low to high
//   members = ["low"]
//   until = "t=500"                       T_low: t=, sigma=, snr= or step=
#pragma once
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model.h"
#include "pipeline/request.h"

namespace pangu::pipeline {

struct MemberSpec {
  std::string name;   // empty: the model's name
  std::string model;  // empty: the embedded model
  bool hub = false;
  double weight = 1.0;
  // The weight over the noise levels, in place of `weight`: pairs (sigma, weight), sigma rising.
  std::vector<std::pair<double, double>> weight_curve;
  // Where it has weight: from one share of the steps to another, and between two noise levels.
  double from = 0.0, to = 1.0;
  double sigma_low = 0.0, sigma_high = std::numeric_limits<double>::infinity();
  std::string mask;      // file of a picture, cut to the hub's shape: white counts, black does not
  std::string tiny_vae;  // a tiny autoencoder of its latents, for tiny bridges
  LoadOptions load;      // ControlNets, LoRAs and so on; device and dtype are one for all
  nlohmann::json request = nlohmann::json::object();  // the keys of a request that differ
};

struct StageSpec {
  std::vector<std::string> members;  // names
  std::string until;                 // where the next stage takes over; empty in the last
  std::optional<std::pair<int, int>> size;
  std::string upscale = "bicubic";  // to the next stage: nearest, bilinear, bicubic, lanczos
};

struct Recipe {
  Request request;  // what all members share; width and height are those of the result
  std::vector<MemberSpec> members;
  std::vector<StageSpec> stages;  // empty: one stage of all members
  std::string form = "paper";
  std::string bridge = "auto";
  std::vector<std::string> bridges;  // folders of learned bridges
  int bridge_every = 1;              // guesses are bridged anew at every such call of the denoiser
  // The shares of the steps between which guesses are bridged.
  double bridge_from = 0.0, bridge_to = 1.0;
  std::string handoff = "fresh";  // between stages: fresh, keep, naive
};

// Throws kBadInput naming the member and key for an unknown key, a value of the wrong kind or out
// of range, no hub or two.
Recipe recipe_from_json(const nlohmann::json& json);
// The inverse: recipe_from_json(to_json(r)) is r.
nlohmann::json to_json(const Recipe& recipe);

// Reads and writes one member alone, which need not be of a recipe. member_from_json(to_json(m)) is
// m.
MemberSpec member_from_json(const nlohmann::json& json);
nlohmann::json to_json(const MemberSpec& member);
// Returns whether the value of this key of a recipe, a member or a request names files or folders.
bool names_a_path(const std::string& key);

// Reads a TOML file. Its paths are taken from the file's folder, "models/..." also from `home`.
Recipe recipe_of_file(const std::string& path, const std::string& home);

// Reads "MODEL[,key=value...]" of the command line. Keys are those of a [[member]]; the weight is
// 0.5 unless given. `control=FILE` means control_image, keys of lists may be repeated, and a value
// takes the text up to the next ",key=". The name of a MODEL that exists may contain commas.
MemberSpec member_from_text(const std::string& text);

}  // namespace pangu::pipeline
