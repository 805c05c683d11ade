#include "train/accounting.h"

#include <sys/resource.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace pangu::train {

nlohmann::json to_json(const Accounting& a) {
  return {{"pictures", a.pictures},
          {"pictures_in_all", a.pictures_in_all},
          {"parameters", a.parameters},
          {"steps", a.steps},
          {"samples", a.samples},
          {"epochs", a.epochs()},
          {"gflop_a_sample", a.gflop_a_sample},
          {"optimizer_gflop_a_step", a.optimizer_gflop_a_step},
          {"counted_gflop_a_sample", a.counted_gflop_a_sample},
          {"gflop", a.gflop()},
          {"seconds", a.seconds},
          {"cpu_seconds", a.cpu_seconds},
          {"peak_memory_bytes", a.peak_memory_bytes},
          {"gflop_a_picture", a.gflop_a_picture},
          {"seconds_a_picture", a.seconds_a_picture}};
}

Accounting accounting_from(const nlohmann::json& json) {
  Accounting a;
  a.pictures = json.value("pictures", int64_t{0});
  a.pictures_in_all = json.value("pictures_in_all", int64_t{0});
  a.parameters = json.value("parameters", int64_t{0});
  a.steps = json.value("steps", int64_t{0});
  a.samples = json.value("samples", int64_t{0});
  a.gflop_a_sample = json.value("gflop_a_sample", 0.0);
  a.optimizer_gflop_a_step = json.value("optimizer_gflop_a_step", 0.0);
  a.counted_gflop_a_sample = json.value("counted_gflop_a_sample", 0.0);
  a.seconds = json.value("seconds", 0.0);
  a.cpu_seconds = json.value("cpu_seconds", 0.0);
  a.peak_memory_bytes = json.value("peak_memory_bytes", int64_t{0});
  a.gflop_a_picture = json.value("gflop_a_picture", 0.0);
  a.seconds_a_picture = json.value("seconds_a_picture", 0.0);
  return a;
}

double process_cpu_seconds() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
}

int64_t peak_memory_bytes() {
  constexpr int64_t kKiB = 1024;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * kKiB;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * kKiB;
}

void restart_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace pangu::train
