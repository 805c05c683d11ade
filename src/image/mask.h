// Masks out of pictures with an alpha channel.
#pragma once
#include "image/image.h"

namespace pangu::image {

// RGB: white is drawn anew, black stays. An opaque picture comes back as it is. Where a picture has
// transparency, the mask is in its alpha channel: the transparent part is drawn anew, as image
// editors and ComfyUI have it; but if all that is opaque is white, somebody painted the part to be
// drawn anew on nothing, and the opaque part is it.
Image mask_of(const Image& picture);

// The colours as they are stored, whatever their alpha: RGB.
Image without_alpha(const Image& picture);

// The alpha channel as grey, RGB; white for a picture that has none.
Image alpha_of(const Image& picture);

}  // namespace pangu::image
