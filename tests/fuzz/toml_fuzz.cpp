// Any text is either refused with an Error or read field by field; whatever the fields then hold is
// of their type and inside their limits.
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "core/fields.h"
#include "require.h"

using namespace pangu;

namespace {

// One field of every kind that a configuration can have.
struct Config {
  bool use_ema = true;
  int64_t train_batch_size = 64;
  double learning_rate = 1e-4;
  std::string lr_scheduler = "cosine";
  std::vector<int64_t> resolution = {256, 256};
  std::vector<std::string> train_data_dir;

  template <class V>
  void visit_fields(V& v) {
    v("use_ema", use_ema, "");
    v("train_batch_size", train_batch_size, "", {1, 4096});
    v("learning_rate", learning_rate, "", {0, 1});
    v("lr_scheduler", lr_scheduler, "");
    v("resolution", resolution, "", {1, 8});
    v("train_data_dir", train_data_dir, "");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    TomlReader reader(text, "fuzz.toml");
    // The last line also stands for an assignment on the command line.
    const size_t newline = text.rfind('\n');
    if (newline != std::string_view::npos) reader.set(std::string(text.substr(newline + 1)));
    Config config;
    config.visit_fields(reader);
    reader.finish();
    require(config.train_batch_size >= 1 && config.train_batch_size <= 4096);
    require(config.learning_rate >= 0 && config.learning_rate <= 1);
    require(!config.resolution.empty() && config.resolution.size() <= 8);
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kBadInput);
  }
  return 0;
}
