// `pangu-draw control edges|hed|pose`: a picture to the control image that a ControlNet expects.
// The detectors are image/canny and pipeline/controls; this file reads, cuts to size and writes.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/control_image.h"
#include "app/home.h"
#include "core/error.h"
#include "core/json_reader.h"
#include "image/canny.h"
#include "image/control_size.h"
#include "io/atomic_file.h"
#include "pipeline/controls.h"
#include "pipeline/request.h"
#include "tensors/safetensors.h"

namespace pangu::app {
namespace {

using image::Image;

void check_control_out(const std::string& out) {
  const std::filesystem::path path(out);
  if (path.extension() != ".png") throw bad_input("OUT", "a name ending in .png", "'" + out + "'");
  if (!path.parent_path().empty() && !std::filesystem::is_directory(path.parent_path())) {
    throw bad_input("OUT", "a folder that exists", "'" + path.parent_path().string() + "'");
  }
}

// Sizes that a decoder would accept again.
void check_size(int width, int height) {
  const image::DecodeLimits limits;
  if (std::max(width, height) <= limits.max_side_px &&
      int64_t{width} * height <= limits.max_pixels) {
    return;
  }
  throw bad_input("--size",
                  "at most " + std::to_string(limits.max_side_px) + " px a side and " +
                      std::to_string(limits.max_pixels) + " px in all",
                  std::to_string(width) + "x" + std::to_string(height));
}

// The picture that the control image is of: RGB, transparency over white, cut to the shape of
// --size if that was said.
Image source_picture(const ControlArgs& args) {
  if (!args.size) return image::composite_over(image::read_image(args.input));
  const auto [width, height] = pipeline::size_from(*args.size);
  check_size(width, height);
  return image::cut_to(image::composite_over(image::read_image(args.input)), width, height);
}

Image edges_of(const ControlArgs& args) {
  return image::canny(source_picture(args),
                      {args.low_threshold, args.high_threshold, args.l2_gradient});
}

std::string weights_of(const char* model) {
  return (home() / "models" / model / "model.safetensors").string();
}

Image soft_edges_of(const ControlArgs& args) {
  pipeline::SoftEdgeOptions options;
  if (args.detect_resolution) options.detect_resolution = *args.detect_resolution;
  options.safe = args.safe;
  options.scribble = args.scribble;
  const Image picture = source_picture(args);
  return pipeline::soft_edges(nn::Hed(tensors::load_safetensors(weights_of("hed"))), picture,
                              options);
}

// OpenPose's output file: for each person x, y in pixels and score of the 18 points, zeros for what
// was not found.
std::string keypoints_json(const std::vector<image::Pose>& poses, const Image& picture) {
  using nlohmann::json;
  json people = json::array();
  for (const image::Pose& pose : poses) {
    json numbers = json::array();
    for (const image::PosePoint& point : pose) {
      const bool found = point.score > 0;
      for (const double value : {point.x, point.y, point.score})
        numbers.push_back(found ? value : 0);
    }
    people.push_back({{"person_id", {-1}},
                      {"pose_keypoints_2d", numbers},
                      {"face_keypoints_2d", json::array()},
                      {"hand_left_keypoints_2d", json::array()},
                      {"hand_right_keypoints_2d", json::array()}});
  }
  return json{{"version", 1.3},
              {"people", people},
              {"canvas_width", picture.width},
              {"canvas_height", picture.height}}
             .dump() +
         "\n";
}

Image poses_of(const ControlArgs& args) {
  pipeline::PoseOptions options;
  if (args.detect_resolution) options.detect_resolution = *args.detect_resolution;
  options.threshold = args.threshold;
  options.people = args.people;
  const Image picture = source_picture(args);
  const nn::MoveNet net(tensors::load_safetensors(weights_of("movenet")));
  const auto poses = pipeline::find_poses(net, picture, options);
  if (poses.empty()) {
    std::cerr << "pangu-draw: no person found in '" << args.input << "' with --threshold "
              << args.threshold << "; the control image is black\n";
  }
  if (!args.keypoints.empty()) {
    io::write_file_atomic(args.keypoints, keypoints_json(poses, picture));
  }
  return image::draw_poses(poses, picture.width, picture.height);
}

}  // namespace

Image control_image(const ControlArgs& args) {
  if (args.kind == "edges") return edges_of(args);
  if (args.kind == "hed") return soft_edges_of(args);
  return poses_of(args);
}

ControlArgs control_args_from(const nlohmann::json& options) {
  JsonReader keys("control", options);
  ControlArgs args;
  args.kind = keys.need<std::string>("kind");
  if (args.kind == "edges") {
    keys.read("low_threshold", args.low_threshold);
    keys.read("high_threshold", args.high_threshold);
    keys.read("l2_gradient", args.l2_gradient);
  } else if (args.kind == "hed") {
    keys.read("detect_resolution", args.detect_resolution);
    keys.read("safe", args.safe);
    keys.read("scribble", args.scribble);
  } else if (args.kind == "pose") {
    keys.read("detect_resolution", args.detect_resolution);
    keys.read("threshold", args.threshold);
    keys.read("people", args.people);
  } else {
    throw keys.error("kind", "edges, hed or pose", "'" + args.kind + "'");
  }
  keys.read("size", args.size);
  keys.refuse_unread();
  return args;
}

int run_control(const ControlArgs& args) {
  check_control_out(args.out);
  const Image control = control_image(args);
  const auto png = image::encode_png(control);
  io::write_file_atomic(args.out, std::as_bytes(std::span(png)));
  if (!args.quiet) std::cout << args.out << "\n";
  return 0;
}

}  // namespace pangu::app
