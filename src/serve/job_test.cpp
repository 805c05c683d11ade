#include "serve/job.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

std::string order_of(std::vector<Waiting> waiting, const Turns& turns = {}) {
  std::string ids;
  for (const Waiting& one : drawing_order(std::move(waiting), turns)) ids += one.id;
  return ids;
}

}  // namespace

TEST_CASE("jobs of one owner are drawn in the order they came") {
  CHECK(order_of({{"b", "x", 0, 2}, {"a", "x", 0, 1}, {"c", "x", 0, 3}}) == "abc");
}

TEST_CASE("owners take turns, so that nobody waits behind a long row of another's") {
  CHECK(order_of({{"a", "x", 0, 1}, {"b", "x", 0, 2}, {"c", "x", 0, 3}, {"d", "y", 0, 4}}) ==
        "adbc");
}

TEST_CASE("who was served last waits for the others") {
  CHECK(order_of({{"a", "x", 0, 1}, {"d", "y", 0, 4}}, {{"x", 7}, {"y", 3}}) == "da");
}

TEST_CASE("a higher priority comes first, whosever turn it is") {
  CHECK(order_of({{"a", "x", 0, 1}, {"b", "x", 5, 2}, {"c", "y", -1, 3}}, {{"x", 9}}) == "bac");
}

TEST_CASE("a state has the name that it is read by") {
  for (const JobState state : {JobState::kQueued, JobState::kRunning, JobState::kDone,
                               JobState::kFailed, JobState::kCancelled}) {
    CHECK(job_state_of(name_of(state)) == state);
  }
  CHECK_FALSE(job_state_of("no"));
  CHECK_FALSE(is_final(JobState::kRunning));
  CHECK(is_final(JobState::kCancelled));
}

TEST_CASE("times are shown in UTC with milliseconds") {
  CHECK(time_text(1764365405123) == "2025-11-28T21:30:05.123Z");
  CHECK(time_json(0).is_null());
}
