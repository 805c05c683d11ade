// Enlarging pictures: by a network (an ESRGAN of its own file), or by resampling alone.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "core/watch.h"
#include "image/image.h"
#include "pipeline/model.h"

namespace pangu::pipeline {

// An ESRGAN (RRDBNet) out of a .safetensors in any spelling of its names; weights are read at first
// use. It works in f32, as bf16 has fewer levels than a byte has, and in tiles. Error kBadInput if
// the file is another network.
Upscaler open_upscaler(const std::string& path, const LoadOptions& options);

// pixels: [B,3,H,W] f32 in [0,1] -> [B,3,height,width] in [0,1]. The network enlarges as often as
// it takes (three times at most), then Lanczos makes the size exact; without one Lanczos does all.
at::Tensor enlarged(const at::Tensor& pixels, int64_t height, int64_t width,
                    const std::optional<Upscaler>& upscaler, const Watch& watch = {});

// A picture `scale` times as wide and high, rounded to pixels. RGB.
image::Image enlarged(const image::Image& picture, double scale,
                      const std::optional<Upscaler>& upscaler, const Watch& watch = {});

}  // namespace pangu::pipeline
