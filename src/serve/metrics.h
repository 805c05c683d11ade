// What the server counts, in Prometheus' text format
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
#pragma once
#include <string>

#include "serve/job_queue.h"

namespace pangu::serve {

std::string metrics_text(JobQueue& queue, JobStore& store);

}  // namespace pangu::serve
