// A picture of ComfyUI as a request. It keeps a graph of nodes ("prompt"): {id: {"class_type":
// "KSampler", "inputs": {"seed": 1, "model": ["4", 0], ...}}}, whose inputs are values, or an id
// and the number of that node's output. Names of nodes and inputs: nodes.py of
// comfyanonymous/ComfyUI.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/json_reader.h"
#include "pipeline/web_parameters.h"

namespace pangu::pipeline {

inline constexpr JsonLimits kComfyLimits{.max_bytes = size_t{16} << 20};

// What the first sampler of the graph draws, as far as it is drawn from prompts by one model. Nodes
// that change the picture in ways unknown here are listed as unmatched. Error kBadInput if there is
// no sampler in it.
WebRequest request_of_graph(const nlohmann::json& graph);

}  // namespace pangu::pipeline
