#include "core/message.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/error.h"
#include "core/number.h"

namespace pangu {
namespace {

TEST_CASE(
    "What was found is shown up to 400 bytes, and of longer texts the beginning and the length") {
  const auto message = [](const std::string& found) {
    return std::string(bad_input("prompt", "less", found).what());
  };
  CHECK(message(std::string(400, 'a')) == "prompt: expected less, found " + std::string(400, 'a'));
  CHECK(message(std::string(20000, 'a')) ==
        "prompt: expected less, found " + std::string(60, 'a') + "... (20000 bytes)");
  // A Chinese character has three bytes; a cut must not part them.
  std::string chinese = "a";
  while (chinese.size() < 1000) chinese += "\u5b57";
  CHECK(shortened(chinese) == chinese.substr(0, 58) + "... (1000 bytes)");
}

TEST_CASE("Numbers in messages are those that were written, whatever they are") {
  CHECK(number_text(7.5) == "7.5");
  CHECK(number_text(1e-7) == "1e-07");
  CHECK(number_text(-3) == "-3");
  CHECK(number_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(number_text(std::numeric_limits<double>::infinity()) == "infinity");
  CHECK(number_text(-std::numeric_limits<double>::infinity()) == "-infinity");
  CHECK(number_of("x", number_text(0.1)) == 0.1);
}

}  // namespace
}  // namespace pangu
