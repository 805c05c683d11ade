// Finds the tensors that a component lacks, given those that it has: a residual block with one
// convolution implies the other, a list that has item 3 implies item 2, a level on the way down one
// on the way up. It knows the structure of diffusers and transformers, but no family and no width.
#include <algorithm>
#include <array>
#include <set>

#include "io/ldm/ldm_names.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr size_t kMostMissing = 8192;

class Expectation {
 public:
  explicit Expectation(const NamedTensors& tensors) : tensors_(tensors) {}

  void tensor(const std::string& name) {
    if (!full() && !tensors_.count(name)) missing_.insert(name);
  }
  // A hostile name may imply millions of others; a few thousand missing ones are enough for a
  // message.
  bool full() const { return missing_.size() >= kMostMissing; }
  void module(const std::string& name) {
    tensor(name + ".weight");
    tensor(name + ".bias");
  }
  void modules(const std::string& parent, std::initializer_list<const char*> names) {
    for (const char* name : names) module(parent + name);
  }
  // Expects a subtree; it is one missing entry if nothing of it is there.
  void subtree(const std::string& name) {
    if (!has(name + ".")) missing_.insert(name + ".*");
  }
  bool has(const std::string& prefix) const { return any_begins(tensors_, prefix); }
  int count(const std::string& list) const { return count_below(tensors_, list + "."); }
  const std::vector<int64_t>* shape(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second.view.shape;
  }
  std::vector<std::string> missing() const { return {missing_.begin(), missing_.end()}; }

 private:
  const NamedTensors& tensors_;
  std::set<std::string> missing_;
};

std::string item(const std::string& list, int index) { return list + "." + std::to_string(index); }

void expect_resnet(Expectation& e, const std::string& name, bool with_time) {
  e.modules(name + ".", {"norm1", "conv1", "norm2", "conv2"});
  if (with_time) e.module(name + ".time_emb_proj");
  const auto* conv = e.shape(name + ".conv1.weight");
  if (conv && conv->size() == 4 && (*conv)[0] != (*conv)[1]) e.module(name + ".conv_shortcut");
}

void expect_transformer(Expectation& e, const std::string& name) {
  e.modules(name + ".", {"norm", "proj_in", "proj_out"});
  const std::string blocks = name + ".transformer_blocks";
  const int depth = std::max(e.count(blocks), 1);
  for (int i = 0; i < depth && !e.full(); ++i) {
    const std::string block = item(blocks, i) + ".";
    e.modules(block, {"norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"});
    for (const char* attention : {"attn1.", "attn2."}) {
      for (const char* projection : {"to_q", "to_k", "to_v"}) {
        e.tensor(block + attention + projection + ".weight");
      }
      e.module(block + attention + "to_out.0");
    }
  }
}

void expect_vae_attention(Expectation& e, const std::string& name) {
  e.modules(name + ".", {"group_norm", "to_q", "to_k", "to_v", "to_out.0"});
}

// Expects the residual and attention layers of one block; returns how many residual layers it
// should have.
int expect_block(Expectation& e, const std::string& block, bool unet, int at_least) {
  const int resnets = std::max(e.count(block + ".resnets"), at_least);
  for (int i = 0; i < resnets && !e.full(); ++i)
    expect_resnet(e, item(block + ".resnets", i), unet);
  const int attentions = e.count(block + ".attentions");
  if (attentions > 0) {
    const bool mid = block.ends_with("mid_block");
    for (int i = 0; i < std::max(attentions, mid ? resnets - 1 : resnets) && !e.full(); ++i) {
      const std::string name = item(block + ".attentions", i);
      if (unet) {
        expect_transformer(e, name);
      } else {
        expect_vae_attention(e, name);
      }
    }
  }
  return resnets;
}

void expect_unet(Expectation& e, bool control) {
  e.modules("", {"conv_in", "time_embedding.linear_1", "time_embedding.linear_2"});
  if (!control) e.modules("", {"conv_norm_out", "conv_out"});
  for (const char* extra : {"add_embedding.", "class_embedding."}) {
    const std::string name = extra;
    if (e.has(name + "linear_")) e.modules(name, {"linear_1", "linear_2"});
  }
  const int levels = std::max(e.count("down_blocks"), e.count("up_blocks"));
  int skips = 1;
  for (int i = 0; i < levels && !e.full(); ++i) {
    const std::string down = item("down_blocks", i);
    const int up_layers = e.count(item("up_blocks", levels - 1 - i) + ".resnets");
    const int layers = expect_block(e, down, true, std::max(1, up_layers - 1));
    skips += layers;
    if (i + 1 < levels) {
      e.module(down + ".downsamplers.0.conv");
      ++skips;
    }
    if (control) continue;
    expect_block(e, item("up_blocks", levels - 1 - i), true, layers + 1);
    if (i > 0) e.module(item("up_blocks", levels - 1 - i) + ".upsamplers.0.conv");
  }
  if (e.has("mid_block."))
    expect_block(e, "mid_block", true, e.has("mid_block.attentions.") ? 2 : 1);
  if (!control) return;
  e.subtree("mid_block");
  e.module("controlnet_mid_block");
  for (int i = 0; i < skips && !e.full(); ++i) e.module(item("controlnet_down_blocks", i));
  e.modules("controlnet_cond_embedding.", {"conv_in", "conv_out"});
  for (int i = 0; i < e.count("controlnet_cond_embedding.blocks") && !e.full(); ++i) {
    e.module(item("controlnet_cond_embedding.blocks", i));
  }
}

void expect_vae_half(Expectation& e, const std::string& half, bool decoder) {
  e.modules(half, {"conv_in", "conv_norm_out", "conv_out"});
  const std::string list = half + (decoder ? "up_blocks" : "down_blocks");
  const int levels = e.count(list);
  int layers = 1;
  for (int i = 0; i < levels && !e.full(); ++i)
    layers = std::max(layers, e.count(item(list, i) + ".resnets"));
  for (int i = 0; i < levels && !e.full(); ++i) {
    expect_block(e, item(list, i), false, layers);
    if (i + 1 < levels) {
      e.module(item(list, i) + (decoder ? ".upsamplers.0.conv" : ".downsamplers.0.conv"));
    }
  }
  expect_block(e, half + "mid_block", false, 2);
}

void expect_vae(Expectation& e) {
  // A tiny autoencoder is a plain list.
  if (e.has("encoder.layers.") || e.has("decoder.layers.")) return;
  const bool encoder = e.has("encoder."), decoder = e.has("decoder.");
  if (encoder) expect_vae_half(e, "encoder.", false);
  if (decoder) expect_vae_half(e, "decoder.", true);
  if (e.has("quant_conv.") || e.has("post_quant_conv.")) {
    if (encoder) e.module("quant_conv");
    if (decoder) e.module("post_quant_conv");
  }
}

void expect_clip(Expectation& e, const std::string& tower, bool text) {
  const std::string embeddings = tower + "embeddings.";
  e.tensor(embeddings + "position_embedding.weight");
  if (text) {
    e.tensor(embeddings + "token_embedding.weight");
    e.module(tower + "final_layer_norm");
  } else {
    e.tensor(embeddings + "class_embedding");
    e.tensor(embeddings + "patch_embedding.weight");
    e.modules(tower, {"pre_layrnorm", "post_layernorm"});
  }
  const std::string layers = tower + "encoder.layers";
  for (int i = 0; i < std::max(e.count(layers), 1) && !e.full(); ++i) {
    e.modules(item(layers, i) + ".",
              {"layer_norm1", "layer_norm2", "self_attn.q_proj", "self_attn.k_proj",
               "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"});
  }
}

}  // namespace

std::vector<std::string> missing_of(const std::string& component, const NamedTensors& tensors) {
  Expectation e(tensors);
  if (component == "unet") {
    expect_unet(e, false);
  } else if (component == "controlnet") {
    expect_unet(e, true);
  } else if (component == "vae") {
    expect_vae(e);
  } else if (component == "image_encoder") {
    expect_clip(e, "vision_model.", false);
  } else if (component.starts_with("text_encoder") && e.has("text_model.")) {
    expect_clip(e, "text_model.", true);
  }
  return e.missing();
}

}  // namespace pangu::io
