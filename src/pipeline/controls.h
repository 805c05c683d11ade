// Control images by a network: soft edges, and people. Pictures in, pictures or poses out; files
// and flags are the caller's. Lines without a network are image/canny.h.
#pragma once
#include <vector>

#include "image/image.h"
#include "image/pose.h"
#include "nn/features/hed.h"
#include "nn/features/movenet.h"

namespace pangu::pipeline {

struct SoftEdgeOptions {
  int detect_resolution = 512;  // shorter side in pixels that the network sees, 64..2048
  bool safe = false;            // three levels (image/soft_edges.h)
  bool scribble = false;        // thick lines, black and white
};

// Edges white on black, RGB of the picture's size. Error kBadInput for a resolution out of range.
image::Image soft_edges(const nn::Hed& hed, const image::Image& picture,
                        const SoftEdgeOptions& options = {});

struct PoseOptions {
  int detect_resolution = 192;  // side of the square that the network sees: a multiple of 32
  double threshold = 0.2;       // keypoints that score less are not found
  int people = 5;               // at most, 1..20
};

// The people of a picture, in its pixels, those nearest to its middle first; none if all score low.
// Each is looked at twice: in the whole picture, then in a square about the person, as MoveNet's
// authors do from one frame of a film to the next. The network was made for one person: people that
// overlap or are small may be missed. Error kBadInput for options out of range.
std::vector<image::Pose> find_poses(const nn::MoveNet& net, const image::Image& picture,
                                    const PoseOptions& options = {});

}  // namespace pangu::pipeline
