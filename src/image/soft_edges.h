// What preprocessors of ControlNets make out of a soft edge map: few levels, or thick scribbles.
// The maps themselves come from nn/features/hed.h. Formulae: the HED detector of controlnet_aux.
#pragma once
#include "image/image.h"

namespace pangu::image {

// Each byte to the lower end of its third, stretched: 0, 127 or 255. Hides faint traces of the
// picture that a ControlNet would otherwise pick up. Any number of channels.
Image safe_levels(const Image& edges);

// Lines of a few pixels, 255 on 0: the map blurred (sigma 3 px), of that what is above 127 and no
// lower than its neighbours along some line through it, widened by a second blur above 4.
// edges: RGB, of which the first channel is read; RGB comes back.
Image scribble(const Image& edges);

}  // namespace pangu::image
