// The server's own API (docs/api.md) as a table of routes.
#pragma once
#include <string>
#include <vector>

#include "serve/job_queue.h"
#include "serve/policy.h"
#include "serve/router.h"

namespace pangu::serve {

struct ApiLimits {
  size_t body_bytes = size_t{32} << 20;  // of a picture
  size_t json_bytes = size_t{1} << 20;   // of any other body
  int64_t count = 100;                   // pictures of a job
  int64_t queue = 256, queue_per_key = 64;
  PictureLimits pictures;
};

// What routes work on; all of it outlives them.
struct Api {
  JobQueue& queue;
  JobStore& store;
  const PictureStore& files;
  EventHub& events;
  Policy& policy;
  ApiLimits limits;
  WallMs retention_ms = 0;  // of uploads; 0: for ever
  Clock clock;
  std::string version;
  std::string page;  // file of the web page; empty or not there: a few words instead
};

std::vector<Route> api_routes(Api& api);
// /healthz, /readyz and /metrics alone.
std::vector<Route> health_routes(Api& api);

// Lets a worker check the spec (names, fields), and the store its pictures; then adds the job and
// calls `then`. What is wrong becomes the answer.
void submit_checked(Api& api, const Caller& caller, NewJob job, std::function<void(Job)> then,
                    const Respond& refused);

// The job of a path's {id}. HttpError 404, 410.
Job job_of(Api& api, const Caller& caller, const std::string& id);

// A picture that the caller may see. HttpError 404, 410.
StoredPicture picture_of(Api& api, const Caller& caller, const std::string& id);

// Keeps an upload of the caller. HttpError 413, 415; Error kBadInput.
StoredPicture keep_upload(Api& api, const Caller& caller, std::string_view bytes, bool* was_there);

// The events of a job from `last_event_id` (empty: from its state now) to its end.
StartStream job_events(Api& api, const Job& job, const std::string& last_event_id);

}  // namespace pangu::serve
