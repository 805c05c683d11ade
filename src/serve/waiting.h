// What adapters of APIs without jobs share: a route that answers when its job has ended.
#pragma once
#include <functional>

#include "serve/api.h"

namespace pangu::serve {

// Calls `ended` once with the job in its final state, at once if it is in it.
void when_ended(Api& api, const std::string& job_id, std::function<void(const Job&)> ended);

// Cancels the job if the client of `request` goes away before it is answered: nobody else knows of
// the job.
void cancel_when_gone(Api& api, const HttpRequest& request, const std::string& job_id);

// What a job that is not done is answered with: its own error, 409 if it was cancelled.
HttpError error_of_job(const Job& job);

}  // namespace pangu::serve
