// OpenAI's images API (https://platform.openai.com/docs/api-reference/images) over the queue, so
// that its clients draw here unmodified: generations, edits, variations, with streaming.
#pragma once
#include <vector>

#include "serve/api.h"

namespace pangu::serve {

std::vector<Route> openai_routes(Api& api);

}  // namespace pangu::serve
