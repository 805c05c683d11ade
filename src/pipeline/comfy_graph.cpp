#include "pipeline/comfy_graph.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/message.h"
#include "diffusion/samplers/sampler_names.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

constexpr int kMostLinks = 1000;  // of a way through the graph, which may be a circle

// Nodes that show and keep pictures, or are all read.
const std::set<std::string> kSilent = {
    "KSampler",         "KSamplerAdvanced", "CheckpointLoaderSimple",
    "CLIPTextEncode",   "EmptyLatentImage", "EmptySD3LatentImage",
    "VAEDecode",        "VAEDecodeTiled",   "SaveImage",
    "PreviewImage",     "LoraLoader",       "LoraLoaderModelOnly",
    "CLIPSetLastLayer", "VAELoader",        "Note",
    "PrimitiveNode",    "Reroute"};

class Graph {
 public:
  explicit Graph(const json& nodes) : nodes_(nodes) {}

  // The node that an input is linked to, if it is.
  const json* linked(const json& node, const std::string& input) const {
    const json* value = input_of(node, input);
    if (!value || !value->is_array() || value->size() != 2 || !(*value)[0].is_string()) return {};
    return find((*value)[0].get<std::string>());
  }
  // A value, also one that a node of a single value gives.
  json value_of(const json& node, const std::string& input) const {
    const json* value = input_of(node, input);
    if (!value) return {};
    if (!value->is_array()) return *value;
    const json* from = linked(node, input);
    if (!from) return {};
    for (const char* key : {"value", "text", "string", "seed", "noise_seed", "int", "float"}) {
      const json* given = input_of(*from, key);
      if (given && !given->is_array()) return *given;
    }
    return {};
  }
  // Along `input` to the first node of one of these kinds.
  const json* behind(const json& node, const std::vector<std::string>& inputs,
                     const std::string& kind) const {
    const json* at = &node;
    for (int links = 0; at && links < kMostLinks; ++links) {
      if (links > 0 && kind_of(*at) == kind) return at;
      const json* next = nullptr;
      for (const std::string& input : inputs) {
        if (!next) next = linked(*at, input);
      }
      at = next;
    }
    return nullptr;
  }
  // Nodes of one kind, in the order of their ids.
  std::vector<const json*> of_kind(const std::string& kind) const {
    std::vector<const json*> found;
    for (const json& node : nodes_) {
      if (kind_of(node) == kind) found.push_back(&node);
    }
    return found;
  }
  static std::string kind_of(const json& node) {
    const auto kind = node.is_object() ? node.find("class_type") : node.end();
    return kind != node.end() && kind->is_string() ? kind->get<std::string>() : "";
  }

 private:
  const json* find(const std::string& id) const {
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? nullptr : &*found;
  }
  static const json* input_of(const json& node, const std::string& input) {
    const auto inputs = node.is_object() ? node.find("inputs") : node.end();
    if (inputs == node.end() || !inputs->is_object()) return nullptr;
    const auto found = inputs->find(input);
    return found == inputs->end() ? nullptr : &*found;
  }

  const json& nodes_;
};

void read_number(const json& value, std::optional<int>& field) {
  if (value.is_number_integer() && value >= 0 && value <= 1 << 20) field = value.get<int>();
}
void read_number(const json& value, std::optional<double>& field) {
  if (value.is_number()) field = value.get<double>();
}

void read_names(const Graph& graph, const json& sampler, WebRequest& found) {
  const json name = graph.value_of(sampler, "sampler_name");
  const json schedule = graph.value_of(sampler, "scheduler");
  const auto read = [&](const json& value, const char* what, const auto& take) {
    if (!value.is_string()) return;
    try {
      take(value.get<std::string>());
    } catch (const Error&) {
      found.unmatched.push_back(what + (": " + shortened(value.get<std::string>())));
    }
  };
  read(name, "sampler_name", [&](const std::string& text) {
    found.request.sampler = diffusion::named_sampler(text).sampler;
  });
  read(schedule, "scheduler",
       [&](const std::string& text) { found.request.schedule = diffusion::named_schedule(text); });
}

std::string text_behind(const Graph& graph, const json& sampler, const char* input) {
  // Conditioning may go through nodes that add to it, such as ControlNets.
  const json* encoder = graph.behind(sampler, {input}, "CLIPTextEncode");
  if (!encoder)
    encoder = graph.behind(sampler, {input, "conditioning", "conditioning_1"}, "CLIPTextEncode");
  if (!encoder) return "";
  const json text = graph.value_of(*encoder, "text");
  return text.is_string() ? text.get<std::string>() : "";
}

// LoRAs on the way to the checkpoint become tags of the prompt, the nearest to it first.
void read_loaders(const Graph& graph, const json& sampler, WebRequest& found) {
  std::string tags;
  const json* at = graph.linked(sampler, "model");
  for (int links = 0; at && links < kMostLinks; ++links) {
    const std::string kind = Graph::kind_of(*at);
    if (kind == "LoraLoader" || kind == "LoraLoaderModelOnly") {
      const json name = graph.value_of(*at, "lora_name");
      const json weight = graph.value_of(*at, "strength_model");
      const json text_weight = graph.value_of(*at, "strength_clip");
      if (name.is_string() && weight.is_number()) {
        const double of_text = text_weight.is_number() ? text_weight.get<double>()
                               : kind == "LoraLoader"  ? weight.get<double>()
                                                       : 0.0;
        const std::string stem = std::filesystem::path(name.get<std::string>()).stem().string();
        std::string tag = "<lora:" + stem + ":";
        if (of_text != weight.get<double>()) tag += number_text(of_text) + ":";
        tags = tag + number_text(weight.get<double>()) + ">" + tags;
      }
    }
    const json name = graph.value_of(*at, "ckpt_name");
    if (name.is_string()) {
      found.model = std::filesystem::path(name.get<std::string>()).stem().string();
      break;
    }
    at = graph.linked(*at, "model");
  }
  found.request.prompt += tags;
  for (const json* node : graph.of_kind("CLIPSetLastLayer")) {
    const json layer = graph.value_of(*node, "stop_at_clip_layer");
    if (layer.is_number_integer() && layer <= -1 && layer >= -12) {
      found.request.clip_skip = -layer.get<int>();
    }
  }
  for (const json* node : graph.of_kind("VAELoader")) {
    const json name = graph.value_of(*node, "vae_name");
    if (name.is_string()) found.unmatched.push_back("VAE: " + shortened(name.get<std::string>()));
  }
}

void read_size(const Graph& graph, const json& sampler, WebRequest& found) {
  const json* latent = graph.linked(sampler, "latent_image");
  if (!latent) return;
  read_number(graph.value_of(*latent, "width"), found.request.width);
  read_number(graph.value_of(*latent, "height"), found.request.height);
  const json strength = graph.value_of(sampler, "denoise");
  if (strength.is_number() && strength < 1.0) {
    found.request.strength = strength.get<double>();
    found.unmatched.push_back("denoise: " + number_text(strength.get<double>()) +
                              " (--init-image says of what)");
  }
}

}  // namespace

WebRequest request_of_graph(const json& nodes) {
  if (!nodes.is_object()) throw bad_input("ComfyUI's graph", "nodes by their ids", "no object");
  const Graph graph(nodes);
  std::vector<const json*> samplers = graph.of_kind("KSampler");
  for (const json* node : graph.of_kind("KSamplerAdvanced")) samplers.push_back(node);
  if (samplers.empty()) {
    throw bad_input("ComfyUI's graph", "a node KSampler or KSamplerAdvanced", "none");
  }
  const json& sampler = *samplers.front();
  WebRequest found;
  read_names(graph, sampler, found);
  read_number(graph.value_of(sampler, "steps"), found.request.steps);
  read_number(graph.value_of(sampler, "cfg"), found.request.guidance);
  for (const char* key : {"noise_seed", "seed"}) {
    const json seed = graph.value_of(sampler, key);
    if (seed.is_number_unsigned()) found.request.seed = seed.get<uint64_t>();
  }
  found.request.noise = "torch-cpu";  // ComfyUI's own, by default
  found.request.prompt = text_behind(graph, sampler, "positive");
  found.request.negative = text_behind(graph, sampler, "negative");
  read_size(graph, sampler, found);
  read_loaders(graph, sampler, found);
  std::set<std::string> others;
  for (const json& node : nodes) {
    const std::string kind = Graph::kind_of(node);
    if (!kind.empty() && !kSilent.count(kind)) others.insert("node " + shortened(kind));
  }
  if (samplers.size() > 1) others.insert("further samplers");
  found.unmatched.insert(found.unmatched.end(), others.begin(), others.end());
  return found;
}

}  // namespace pangu::pipeline
