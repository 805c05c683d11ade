#include "train/config.h"

#include <algorithm>

#include "core/error.h"

namespace pangu::train {
namespace {

void one_of(const TomlReader& reader, const char* key, const std::string& value,
            const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string list;
  for (const std::string& k : known) list += (list.empty() ? "'" : ", '") + k + "'";
  throw bad_input(reader.where(key), "one of " + list, "'" + value + "'");
}

}  // namespace

TrainConfig TrainConfig::open(const std::string& path,
                              const std::vector<std::string>& assignments) {
  TomlReader reader = TomlReader::open(path);
  for (const std::string& assignment : assignments) reader.set(assignment);
  TrainConfig c;
  c.visit_fields(reader);
  reader.finish();
  one_of(reader, "task", c.task, {"autoencoder", "denoiser"});
  one_of(reader, "data_part", c.data_part, {"all", "high", "low"});
  one_of(reader, "optimizer", c.optimizer, {"adamw", "muon"});
  one_of(reader, "lr_scheduler", c.lr_scheduler, {"cosine", "constant"});
  one_of(reader, "mixed_precision", c.mixed_precision, {"bf16", "no"});
  one_of(reader, "control", c.control, {"", "edges"});
  const auto required = [&](const char* key, bool given) {
    if (!given) throw bad_input(reader.where(key), "a value", "nothing");
  };
  required("output_dir", !c.output_dir.empty());
  required("train_data_dir", !c.train_data_dir.empty());
  required("network_config", !c.network_config.empty());
  if (c.task == "denoiser") required("model_dir", !c.model_dir.empty());
  if (c.min_timestep >= c.max_timestep) {
    throw bad_input(reader.where("min_timestep"), "less than max_timestep",
                    std::to_string(c.min_timestep));
  }
  if (c.cache_dir.empty()) c.cache_dir = c.output_dir + "/cache";
  return c;
}

}  // namespace pangu::train
