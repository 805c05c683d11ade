// The text of a picture in EXIF, where JPEG and WebP keep what a PNG has chunks for. "parameters"
// is the tag UserComment, as A1111's web UI writes it; all other texts are in MakerNote, the tag
// for what only the maker of a file understands. ComfyUI's spelling ("prompt:{...}" in tags for
// the camera's maker and model) is read too. Tags and layout: EXIF 2.3, TIFF 6.0.
#pragma once
#include <span>

#include "image/image.h"

namespace pangu::image {

// A TIFF block, as a JPEG has it behind "Exif\0\0" and a WebP in its chunk EXIF; empty without
// text.
Bytes exif_of_text(const TextChunks& text);
// What it says; nothing of a block that is damaged or holds other tags.
TextChunks text_of_exif(std::span<const uint8_t> tiff);

// A JPEG with this block in front of its other segments; the JPEG itself if the block is empty.
// Error kBadInput if it is longer than a segment may be.
Bytes jpeg_with_exif(const Bytes& jpeg, const Bytes& tiff);
// A still WebP with this block; the WebP itself if the block is empty.
Bytes webp_with_exif(const Bytes& webp, const Bytes& tiff, int width, int height);
// The block inside of a picture; empty if there is none.
std::span<const uint8_t> exif_of_jpeg(std::span<const uint8_t> jpeg);
std::span<const uint8_t> exif_of_webp(std::span<const uint8_t> webp);

}  // namespace pangu::image
