// What a server says it can do: models with their defaults and limits, the fields of a request,
// samplers, networks by name. As JSON of docs/api.md.
#pragma once
#include <nlohmann/json.hpp>

#include "app/serve/job_request.h"

namespace pangu::app {

// GET /v1/models. Opens every model that names know, without its weights; one that cannot be opened
// is listed with its error.
nlohmann::json models_json(const NetworkNames& names, const WorkerSetup& setup);

// GET /v1/capabilities, but for what the front knows.
nlohmann::json capabilities_json(const NetworkNames& names);

}  // namespace pangu::app
