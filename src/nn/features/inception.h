// Inception V3 as a frozen feature extractor for Frechet distances and probes. It is no classifier,
// and not the network of the usual FID: the weights of tools/export_inception.py are nsfwjs', and
// scores made with them must say so. Topology: Szegedy et al. 2015, as Keras' application lays it
// out.
#pragma once
#include <ATen/core/Tensor.h>

#include "nn/features/inception_graph.h"
#include "nn/weights.h"

namespace pangu::nn {

struct InceptionConfig {
  int input_px = 299;           // pictures are resized to this square first
  double norm_eps = 1e-3;       // Keras' BatchNormalization in this network
  bool stop_at_mixed6 = false;  // saves the last third of the work when only mixed6 is needed
};

struct InceptionFeatures {
  at::Tensor mixed6;  // [B,768] f32, mean over positions; tells concepts apart best
  at::Tensor final;   // [B,2048] f32, mean over positions; undefined with stop_at_mixed6
};

// Immutable; one object may serve many threads.
class Inception {
 public:
  // Takes conv2d_N.weight and batch_normalization_N.{beta,mean,variance}, N = 1..94, plain or 8-bit
  // (nn/frozen_weights.h); the constructor folds the normalisation into the weights. Throws
  // kBadInput naming what is missing.
  Inception(const InceptionConfig& config, const TensorMap& tensors);

  // image: [B,3,H,W] float, RGB in [-1,1], of any size; it is resized by antialiased bilinear
  // filtering.
  InceptionFeatures features(const at::Tensor& image) const;

  void to(at::Device device);

 private:
  InceptionConfig config_;
  inception::Graph graph_;  // convolutions in Keras' order, conv2d_1 first
};

}  // namespace pangu::nn
