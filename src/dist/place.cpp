#include "dist/place.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/error.h"

namespace pangu::dist {
namespace {

constexpr int kMostProcesses = 1 << 20;
constexpr int kMostPorts = 65535;
// Steps of Slurm that share a machine get ports of their own, by the number of their job.
constexpr int kSlurmPorts = 20000, kSlurmFirstPort = 20000;

std::optional<int> number_in(const Environment& variable, const std::string& name, int least,
                             int most) {
  const auto text = variable(name);
  if (!text) return std::nullopt;
  int value = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failed != std::errc() || end != text->data() + text->size() || value < least ||
      value > most) {
    throw bad_input("environment variable " + name,
                    "a number from " + std::to_string(least) + " to " + std::to_string(most),
                    "'" + *text + "'");
  }
  return value;
}

int required_number(const Environment& variable, const std::string& name, int least, int most) {
  if (const auto value = number_in(variable, name, least, most)) return *value;
  throw bad_input("environment variable " + name, "a number, as RANK is set", "none",
                  "start the processes by `pangu-draw train --nproc N`, torchrun or srun, or unset "
                  "RANK to train by one process");
}

Place standard_place(const Environment& variable) {
  Place place;
  place.size = required_number(variable, "WORLD_SIZE", 1, kMostProcesses);
  place.rank = required_number(variable, "RANK", 0, place.size - 1);
  // Without a word on machines, every process is taken to have one of its own.
  place.local_size = number_in(variable, "LOCAL_WORLD_SIZE", 1, place.size).value_or(1);
  place.local_rank = number_in(variable, "LOCAL_RANK", 0, place.size - 1).value_or(0);
  place.is_store_elsewhere = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (const auto run = variable("TORCHELASTIC_RUN_ID")) {
    place.attempt = *run + "/" + variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  }
  if (place.size > 1 && !variable("MASTER_ADDR")) {
    throw bad_input("environment variable MASTER_ADDR", "the address of rank 0's machine", "none");
  }
  return place;
}

// "2(x3),1": two tasks on each of three nodes, one on the last. Only the first node's number is
// taken where nodes differ: it divides a machine's threads, nothing else.
int tasks_of_first_node(const std::string& text) {
  int tasks = 1;
  std::from_chars(text.data(), text.data() + text.size(), tasks);
  return tasks < 1 ? 1 : tasks;
}

Place slurm_place(const Environment& variable) {
  Place place;
  const char* tasks = variable("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  place.size = required_number(variable, tasks, 1, kMostProcesses);
  place.rank = required_number(variable, "SLURM_PROCID", 0, place.size - 1);
  place.local_rank = number_in(variable, "SLURM_LOCALID", 0, place.size - 1).value_or(0);
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    if (variable("SLURM_CPUS_PER_TASK")) break;
    if (const auto text = variable(name)) {
      place.local_size = std::min(place.size, tasks_of_first_node(*text));
      break;
    }
  }
  for (const char* name : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
    if (const auto text = variable(name)) {
      place.master_address = first_host_of(*text);
      break;
    }
  }
  if (const auto job = number_in(variable, "SLURM_JOB_ID", 0, 2147483647)) {
    place.master_port = kSlurmFirstPort + *job % kSlurmPorts;
  }
  return place;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (!value || !*value) return std::nullopt;
    return value;
  };
}

Place place_from(const Environment& variable) {
  Place place;
  if (variable("RANK")) {
    place = standard_place(variable);
  } else if (variable("SLURM_STEP_ID") && variable("SLURM_PROCID")) {
    place = slurm_place(variable);
  } else {
    return place;
  }
  place.master_address = variable("MASTER_ADDR").value_or(place.master_address);
  place.master_port = number_in(variable, "MASTER_PORT", 1, kMostPorts).value_or(place.master_port);
  return place;
}

std::string first_host_of(const std::string& node_list) {
  const size_t bracket = node_list.find('['), comma = node_list.find(',');
  if (bracket == std::string::npos || comma < bracket) return node_list.substr(0, comma);
  const size_t end = node_list.find(']', bracket);
  if (end == std::string::npos) {
    throw bad_input("Slurm's list of nodes", "a name, or names as node[1-3]", "'" + node_list + "'",
                    "set MASTER_ADDR to the address of rank 0's machine");
  }
  const std::string numbers = node_list.substr(bracket + 1, end - bracket - 1);
  const size_t rest = node_list.find(',', end);
  const std::string tail =
      node_list.substr(end + 1, rest == std::string::npos ? std::string::npos : rest - end - 1);
  return node_list.substr(0, bracket) + numbers.substr(0, numbers.find_first_of("-,")) + tail;
}

}  // namespace pangu::dist
