// `pangu-draw doctor`: what this machine and installation offer, as a table or as JSON.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/commands.h"
#include "app/home.h"
#include "app/table.h"
#include "io/available_memory.h"
#include "kernels/level.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

// What makes bf16 and int8 arithmetic fast, as /proc/cpuinfo spells it.
constexpr const char* kFlags[] = {"avx2",     "fma",      "avx512f", "avx512_bf16", "avx512_vnni",
                                  "amx_bf16", "amx_int8", "asimd",   "bf16",        "i8mm"};

// Value of the first line "key : value" of /proc/cpuinfo; empty if there is none.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.compare(0, key.size(), key) == 0 && colon != std::string::npos) {
      return colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    }
  }
  return "";
}

json processor() {
  std::string words = cpuinfo("flags");
  if (words.empty()) words = cpuinfo("Features");  // ARM
  std::istringstream stream(words);
  json simd = json::array();
  for (std::string word; stream >> word;) {
    for (const char* flag : kFlags) {
      if (word == flag) simd.push_back(word);
    }
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  return {{"name", cpuinfo("model name")},
          {"cores", std::thread::hardware_concurrency()},
          {"cores_allowed", known ? CPU_COUNT(&allowed) : 0},
          {"simd", simd}};
}

json memory() {
  struct sysinfo info = {};
  sysinfo(&info);
  return {{"total_bytes", static_cast<int64_t>(info.totalram) * info.mem_unit},
          {"available_bytes", io::available_memory()}};
}

json gpus() {
  json list = json::array();
  if (torch::cuda::is_available()) {
    for (int i = 0; i < static_cast<int>(torch::cuda::device_count()); ++i) {
      list.push_back("cuda:" + std::to_string(i));
    }
  }
  return list;
}

json models() {
  json list = json::array();
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(home() / "models", none)) {
    if (!fs::exists(entry.path() / "model_index.json")) continue;
    int64_t size = 0;
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(entry.path())) {
      if (file.is_regular_file()) size += static_cast<int64_t>(file.file_size());
    }
    list.push_back({{"path", entry.path().string()}, {"size_bytes", size}});
  }
  std::sort(list.begin(), list.end());  // objects compare by their first key, the path
  return list;
}

json report() {
  std::error_code failed;
  const fs::space_info disk = fs::space(home(), failed);
  return {{"version", PANGU_VERSION},
          {"compiler", __VERSION__},
          {"home", home().string()},
          {"libtorch",
           {{"version", TORCH_VERSION},
            {"threads", at::get_num_threads()},
            {"cuda_build", at::globalContext().hasCUDART()}}},
          {"processor", processor()},
          {"kernels", std::string(kernels::to_string(kernels::chosen_level()))},
          {"memory", memory()},
          {"disk_free_bytes", failed ? -1 : static_cast<int64_t>(disk.available)},
          {"gpus", gpus()},
          {"models", models()}};
}

std::string joined(const json& words, const std::string& none) {
  std::string text;
  for (const json& word : words) text += (text.empty() ? "" : " ") + word.get<std::string>();
  return text.empty() ? none : text;
}

}  // namespace

int run_doctor(const DoctorArgs& args) {
  const json found = report();
  if (args.json) {
    std::cout << found.dump(2) << "\n";
    return 0;
  }
  const json& cpu = found["processor"];
  const json& torch = found["libtorch"];
  std::vector<Row> rows = {
      {"pangu-draw",
       found["version"].get<std::string>() + ", in " + found["home"].get<std::string>()},
      {"libtorch", torch["version"].get<std::string>() + ", " +
                       std::to_string(torch["threads"].get<int>()) + " threads" +
                       (torch["cuda_build"].get<bool>() ? ", CUDA build" : ", CPU build")},
      {"processor", cpu["name"].get<std::string>() + ", " +
                        std::to_string(cpu["cores_allowed"].get<int>()) + " of " +
                        std::to_string(cpu["cores"].get<int>()) + " cores"},
      {"SIMD", joined(cpu["simd"], "none that matters here")},
      {"kernels", found["kernels"].get<std::string>()},
      {"memory", human_bytes(found["memory"]["available_bytes"].get<double>()) + " free of " +
                     human_bytes(found["memory"]["total_bytes"].get<double>())},
      {"disk", human_bytes(found["disk_free_bytes"].get<double>()) + " free"},
      {"GPU", joined(found["gpus"], "none")}};
  for (const json& model : found["models"]) {
    rows.push_back({"model", model["path"].get<std::string>() + ", " +
                                 human_bytes(model["size_bytes"].get<double>())});
  }
  if (found["models"].empty()) rows.push_back({"model", "none in models/"});
  std::cout << table(rows);
  return 0;
}

}  // namespace pangu::app
