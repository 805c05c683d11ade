// The text that web UIs keep in pictures, under libFuzzer: whatever it is, it is taken apart, and
// what was taken for settings is read back from what we write of it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/utf8.h"
#include "text/infotext.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pangu::text;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Infotext info = parse_infotext(text);
  if (!pangu::is_utf8(text) || info.settings.empty()) return 0;
  // Two more, whatever became of values that are empty or blank.
  info.prompt = "a cat";
  info.negative.clear();
  info.settings.emplace_back("Steps", "4");
  info.settings.emplace_back("Seed", "5");
  const Infotext again = parse_infotext(to_text(info));
  if (again.settings.size() < 2 || again.settings.back().second != "5") std::abort();
  return 0;
}
