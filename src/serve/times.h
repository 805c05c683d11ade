// Clocks as arguments, and times as the API writes them.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace pangu::serve {

// Milliseconds since 1970 in UTC: what is stored and shown. It may be set back.
using WallMs = int64_t;
// Of a clock that only goes forward: for what is waited for.
using SteadyTime = std::chrono::steady_clock::time_point;

struct Clock {
  std::function<WallMs()> wall_ms;
  std::function<SteadyTime()> steady;
};
Clock system_clock();

// "2026-11-28T21:30:05.123Z".
std::string time_text(WallMs time);
// The same as JSON; null for 0, which stands for "not yet".
nlohmann::json time_json(WallMs time);

}  // namespace pangu::serve
