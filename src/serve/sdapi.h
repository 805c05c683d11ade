// The API of AUTOMATIC1111's web UI (/sdapi/v1, modules/api/ there) over the queue, so that its
// clients draw here unmodified: txt2img, img2img with masks, progress, and the lists they ask for.
#pragma once
#include <vector>

#include "serve/api.h"

namespace pangu::serve {

std::vector<Route> sdapi_routes(Api& api);

}  // namespace pangu::serve
