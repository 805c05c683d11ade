// People as the 18 keypoints of OpenPose's COCO model, and the picture of them that ControlNets for
// pose were trained with. Finding them is pipeline/controls.h.
// Order, limbs and colours: OpenPose (Cao et al. 2017) as controlnet_aux draws it.
#pragma once
#include <array>
#include <vector>

#include "image/image.h"

namespace pangu::image {

// Nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee, ankle,
// left hip, knee, ankle, right eye, left eye, right ear, left ear. "Right" is the person's.
inline constexpr int kPosePoints = 18;

struct PosePoint {
  double x = 0, y = 0;  // pixels from the picture's top left corner
  double score = 0;     // 0: not found
  bool operator==(const PosePoint&) const = default;
};
using Pose = std::array<PosePoint, kPosePoints>;

// From the 17 keypoints of COCO (nn/features/movenet.h has their order). Those that score below
// `threshold` are not found; the neck is midway between two shoulders that are, with the lower
// score.
Pose pose_of_coco(const std::array<PosePoint, 17>& coco, double threshold);

// Limbs as thin ellipses at 60 % of their colour, keypoints as discs of their full colour, on
// black; all 4 px wide about their middle at a shorter side of 512 px, and in proportion at others.
// Points that were not found, and those outside the picture, are left out with their limbs.
Image draw_poses(const std::vector<Pose>& poses, int width, int height);

}  // namespace pangu::image
