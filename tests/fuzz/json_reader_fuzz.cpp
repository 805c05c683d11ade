// Any text, as JSON and as the YAML of LDM, is either refused with an Error that names the file or
// read key by key; a value that is given is of the type that was asked for.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/ldm/ldm_config.h"
#include "require.h"

using namespace pangu;

namespace {

template <class Call>
void refused_or_read(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kBadInput);
    require(std::string_view(error.what()).starts_with("fuzz.json"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refused_or_read([&] {
    JsonReader reader("fuzz.json",
                      parse_json(text, "fuzz.json", {.max_bytes = 4096, .max_depth = 8}));
    refused_or_read([&] { reader.get("sample_size", 64); });
    refused_or_read([&] { reader.get("norm_eps", 1e-5); });
    refused_or_read([&] { reader.get("use_linear_projection", false); });
    refused_or_read([&] { reader.get("act_fn", std::string()); });
    refused_or_read([&] { reader.get("block_out_channels", std::vector<int64_t>()); });
    refused_or_read([&] {
      reader.get("style_prompts", std::map<std::string, std::map<std::string, std::string>>());
    });
    refused_or_read([&] { reader.only("downsample_padding", {1}); });
    for (const std::string& key : reader.unread()) require(reader.has(key));
    refused_or_read([&] { reader.refuse_unread(); });
  });
  refused_or_read([&] {
    const io::LdmConfig config = io::parse_ldm_config(text, "fuzz.json");
    if (config.scale_factor) require(*config.scale_factor > 0);
  });
  return 0;
}
