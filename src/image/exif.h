// The one EXIF field that changes what a picture looks like: how the camera was held. EXIF 2.3, in
// the places where JPEG (segment APP1), PNG (chunk eXIf) and WebP (chunk EXIF) carry it.
#pragma once
#include <cstdint>
#include <span>

#include "image/image.h"

namespace pangu::image {

// 1..8 of the orientation tag; 1 (upright) if there is none or it is malformed. The bytes are those
// of a whole file and may be damaged.
int orientation_of_jpeg(std::span<const uint8_t> file);
int orientation_of_png(std::span<const uint8_t> file);
int orientation_of_webp(std::span<const uint8_t> file);

// Turns a stored picture upright: the inverse of what an orientation tag says.
Image upright(const Image& image, int orientation);

// The size that a stored picture has when it is upright; the rest of `stored` as it is.
ImageInfo upright_info(ImageInfo stored, int orientation);

}  // namespace pangu::image
