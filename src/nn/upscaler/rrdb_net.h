// RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv 1809.00219, section 3.1) and of
// Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833): enlarges a picture by dense residual blocks at
// its own size, then doublings. Tensor names are BasicSR's (io/upscaler_names.h).
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "core/watch.h"
#include "nn/weights.h"

namespace pangu::nn {

struct RrdbConfig {
  int64_t features = 64;  // channels of the trunk
  int64_t growth = 32;    // channels that each layer of a dense block adds
  int64_t blocks = 23;
  int64_t doublings = 2;  // of the sides, behind the trunk
  // Squares of this side become channels in front of the first layer, as Real-ESRGAN's networks for
  // factors 1 and 2 do: 1, 2 or 4.
  int64_t folded = 1;

  bool operator==(const RrdbConfig&) const = default;
  int64_t factor() const { return (int64_t{1} << doublings) / folded; }
};

// Reads the configuration off the shapes. Error kBadInput if they are not an RRDBNet's of pictures
// in RGB.
RrdbConfig rrdb_config_from_shapes(const TensorShapes& shapes);

class RrdbNet : public torch::nn::Module {
 public:
  explicit RrdbNet(const RrdbConfig& config);

  // pixels: [B,3,H,W] in [0,1]. Returns [B,3,H*factor,W*factor], about [0,1], not clipped. The
  // watch is asked between blocks.
  at::Tensor forward(const at::Tensor& pixels, const Watch& watch = {}) const;

  const RrdbConfig& config() const { return config_; }

 private:
  struct Layers;
  RrdbConfig config_;
  std::shared_ptr<Layers> layers_;
};

}  // namespace pangu::nn
