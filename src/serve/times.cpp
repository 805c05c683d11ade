#include "serve/times.h"

#include <ctime>

namespace pangu::serve {

Clock system_clock() {
  return {[] {
            const auto now = std::chrono::system_clock::now().time_since_epoch();
            return WallMs{std::chrono::duration_cast<std::chrono::milliseconds>(now).count()};
          },
          [] { return std::chrono::steady_clock::now(); }};
}

std::string time_text(WallMs time) {
  constexpr WallMs kSecond = 1000;
  const std::time_t seconds = static_cast<std::time_t>(time / kSecond);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char day[32], text[48];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03dZ", day, static_cast<int>(time % kSecond));
  return text;
}

nlohmann::json time_json(WallMs time) {
  return time == 0 ? nlohmann::json(nullptr) : nlohmann::json(time_text(time));
}

}  // namespace pangu::serve
