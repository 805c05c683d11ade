#include "eval/clip_scorer.h"

#include <torch/types.h>

#include "core/error.h"
#include "io/ldm/clip_towers.h"
#include "nn/text/clip_text.h"
#include "nn/text/clip_vision.h"
#include "nn/text/text_encoder.h"
#include "tensors/bytes.h"
#include "tensors/pictures.h"

namespace pangu::eval {
namespace {

constexpr int64_t kChineseContext = 52;  // CN-CLIP's own

nn::TensorMap tower_tensors(const io::NamedTensors& named) {
  nn::TensorMap map;
  for (const auto& [name, tensor] : named) {
    const at::Tensor whole = tensors::copied(tensor.view, name);
    map[name] = tensor.transpose ? whole.t().contiguous() : whole;
  }
  return map;
}

// Widths of the released image towers whose heads are not 64 wide: H has 80, g 88, bigG 104. All
// have 16 of them.
int64_t vision_heads(int64_t width) {
  constexpr int64_t kWide = 16;
  for (const int64_t special : {1280, 1408, 1664}) {
    if (width == special) return kWide;
  }
  return 0;
}

at::Tensor of_length_1(const at::Tensor& rows) {
  const at::Tensor x = rows.to(at::kFloat);
  return x / x.square().sum(1, /*keepdim=*/true).sqrt().clamp_min(1e-12);
}

// Without its alpha, as PIL's convert("RGB") takes it.
image::Image opaque(const image::Image& picture) {
  if (picture.channels == 3) return picture;
  image::Image out{picture.width, picture.height, 3, {}};
  out.pixels.reserve(size_t(picture.width) * size_t(picture.height) * 3);
  for (size_t i = 0; i < picture.pixels.size(); i += 4) {
    out.pixels.insert(out.pixels.end(),
                      {picture.pixels[i], picture.pixels[i + 1], picture.pixels[i + 2]});
  }
  return out;
}

std::function<at::Tensor(const std::vector<image::Image>&)> picture_tower(
    const nn::TensorMap& tensors, nn::Activation activation, bool is_chinese, int64_t& size_px_) {
  nn::ClipVisionConfig config = nn::clip_vision_config_from_shapes(shapes_of(tensors), activation);
  if (const int64_t heads = vision_heads(config.hidden_size)) config.num_attention_heads = heads;
  const auto network = std::make_shared<nn::ClipVisionModel>(config);
  nn::load_into(*network, tensors);
  const auto side = static_cast<int>(config.image_size);
  size_px_ = side;
  return [network, side, is_chinese](const std::vector<image::Image>& pictures) {
    const at::NoGradGuard frozen;
    std::vector<at::Tensor> prepared;
    for (const image::Image& picture : pictures) {
      const at::Tensor pixels = tensors::pixels_of(opaque(picture), 0, 1);
      // Chinese CLIP's pictures are stretched, all others cut at the centre.
      prepared.push_back(is_chinese ? nn::clip_pixels_stretched(pixels, side)
                                    : nn::clip_pixels(pixels, side));
    }
    return of_length_1(network->forward(at::cat(prepared)).image_embeds);
  };
}

std::function<at::Tensor(const at::Tensor&)> clip_text_tower(const nn::TensorMap& tensors,
                                                             nn::Activation activation,
                                                             int64_t& context_) {
  const nn::ClipTextConfig config =
      nn::clip_text_config_from_shapes(shapes_of(tensors), activation);
  if (!config.has_projection) throw bad_input("CLIP's text tower", "text_projection", "none");
  const auto network = std::make_shared<nn::ClipTextModel>(config);
  nn::load_into(*network, tensors);
  context_ = config.max_position_embeddings;
  return [network](const at::Tensor& ids) {
    const at::NoGradGuard frozen;
    return of_length_1(network->forward(ids).text_embeds);
  };
}

std::function<at::Tensor(const at::Tensor&)> chinese_text_tower(const nn::TensorMap& tensors) {
  const auto size = [&](const char* name, int64_t dim) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.dim() != 2) {
      throw bad_input("Chinese CLIP's text tower", std::string("a matrix '") + name + "'", "none");
    }
    return static_cast<int>(found->second.size(dim));
  };
  nn::TextEncoderConfig config;
  config.vocab_size = size("embeddings.word_embeddings.weight", 0);
  config.hidden_size = size("embeddings.word_embeddings.weight", 1);
  config.max_position_embeddings = size("embeddings.position_embeddings.weight", 0);
  config.type_vocab_size = size("embeddings.token_type_embeddings.weight", 0);
  config.intermediate_size = size("encoder.layer.0.intermediate.dense.weight", 0);
  config.pad_token_id = 0;
  constexpr int kHeadWidth = 64;
  config.num_attention_heads = config.hidden_size / kHeadWidth;
  config.num_hidden_layers = 0;
  const auto layer = [&] {
    return "encoder.layer." + std::to_string(config.num_hidden_layers) + ".";
  };
  while (tensors.contains(layer() + "intermediate.dense.weight")) ++config.num_hidden_layers;
  const auto network = std::make_shared<const nn::TextEncoder>(config, tensors);
  size("text_projection.weight", 0);  // says that it is missing
  const at::Tensor projection = tensors.at("text_projection.weight").to(at::kFloat);
  return [network, projection](const at::Tensor& ids) {
    const at::NoGradGuard frozen;
    const at::Tensor states = network->encode(ids, ids != 0);
    return of_length_1(states.select(1, 0).matmul(projection.t()));
  };
}

}  // namespace

ClipScorer clip_scorer(const MetricWeights& weights, const std::string& activation) {
  io::TensorViews views;
  nn::TensorMap kept;
  for (const auto& [name, tensor] : weights.tensors) {
    kept[name] = tensor.contiguous();
    views[name] = tensors::bytes_of(kept[name], name);
  }
  const io::ClipTowers towers = io::clip_towers_of(views);
  if (towers.layout == io::ClipLayout::kUnknown) {
    throw bad_input("CLIP '" + weights.path + "'",
                    "CLIP with both towers, of OpenAI, OpenCLIP, transformers or CN-CLIP",
                    "other tensors");
  }
  ClipScorer scorer;
  scorer.is_chinese = towers.layout == io::ClipLayout::kChinese;
  const bool is_openai = weights.is_script || towers.says_its_sizes;
  const bool is_quick = is_openai || towers.layout != io::ClipLayout::kOpenClip;
  const std::string chosen = !activation.empty() ? activation : is_quick ? "quick_gelu" : "gelu";
  const nn::Activation function = nn::clip_activation_of(chosen);
  int64_t side = 0;
  scorer.picture_features =
      picture_tower(tower_tensors(towers.vision), function, scorer.is_chinese, side);
  const nn::TensorMap text = tower_tensors(towers.text);
  if (scorer.is_chinese) {
    scorer.context_length = kChineseContext;
    scorer.text_features = chinese_text_tower(text);
  } else {
    scorer.text_features = clip_text_tower(text, function, scorer.context_length);
  }
  scorer.name = scorer.is_chinese                                ? "Chinese CLIP"
                : is_openai                                      ? "OpenAI's CLIP"
                : towers.layout == io::ClipLayout::kTransformers ? "CLIP of transformers"
                                                                 : "OpenCLIP";
  scorer.name += ", " + std::to_string(side) + " px, " + chosen;
  return scorer;
}

std::vector<double> clip_scores(const at::Tensor& pictures, const at::Tensor& texts) {
  const at::Tensor cosines = (pictures.to(at::kDouble) * texts.to(at::kDouble))
                                 .sum(1)
                                 .mul_(100)
                                 .clamp_min_(0)
                                 .contiguous();
  const auto* values = cosines.const_data_ptr<double>();
  return {values, values + cosines.size(0)};
}

}  // namespace pangu::eval
