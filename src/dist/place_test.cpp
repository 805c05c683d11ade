#include "dist/place.h"

#include <doctest/doctest.h>

#include <map>

#include "core/error.h"

using namespace pangu;
using dist::Place;

namespace {

Place place_in(std::map<std::string, std::string> variables) {
  return dist::place_from([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

std::string refusal(const std::map<std::string, std::string>& variables) {
  try {
    place_in(variables);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kBadInput);
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const char* part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("a process that nobody gave a rank is alone") {
  CHECK(place_in({}).size == 1);
  // The shell of a job has variables of Slurm too; only a step's processes are many.
  CHECK(place_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}).size == 1);
}

TEST_CASE("the standard variables give a place") {
  const Place p = place_in({{"RANK", "3"},
                            {"WORLD_SIZE", "8"},
                            {"LOCAL_RANK", "1"},
                            {"LOCAL_WORLD_SIZE", "2"},
                            {"MASTER_ADDR", "trainer-0"},
                            {"MASTER_PORT", "23456"},
                            {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                            {"TORCHELASTIC_RUN_ID", "abc"},
                            {"TORCHELASTIC_RESTART_COUNT", "2"}});
  CHECK(p.rank == 3);
  CHECK(p.size == 8);
  CHECK(p.local_rank == 1);
  CHECK(p.local_size == 2);
  CHECK(p.master_address == "trainer-0");
  CHECK(p.master_port == 23456);
  CHECK(p.is_store_elsewhere);
  CHECK(p.attempt == "abc/2");
}

TEST_CASE("a step of Slurm gives a place, and its first node the address") {
  const std::map<std::string, std::string> step = {{"SLURM_STEP_ID", "0"},
                                                   {"SLURM_PROCID", "5"},
                                                   {"SLURM_NTASKS", "6"},
                                                   {"SLURM_LOCALID", "1"},
                                                   {"SLURM_TASKS_PER_NODE", "2(x3)"},
                                                   {"SLURM_JOB_ID", "41234"},
                                                   {"SLURM_JOB_NODELIST", "gpu[07-09]"}};
  const Place p = place_in(step);
  CHECK(p.rank == 5);
  CHECK(p.size == 6);
  CHECK(p.local_rank == 1);
  CHECK(p.local_size == 2);
  CHECK(p.master_address == "gpu07");
  CHECK(p.master_port == 20000 + 1234);
  auto with_own_cores = step;
  with_own_cores["SLURM_CPUS_PER_TASK"] = "16";
  CHECK(place_in(with_own_cores).local_size == 1);
  auto torchrun_inside = step;
  torchrun_inside.insert({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "here"}});
  CHECK(place_in(torchrun_inside).size == 2);
}

TEST_CASE("a list of nodes names its first host") {
  CHECK(dist::first_host_of("alone") == "alone");
  CHECK(dist::first_host_of("a,b") == "a");
  CHECK(dist::first_host_of("node[07-09,12],login") == "node07");
  CHECK(dist::first_host_of("login,node[07-09]") == "login");
  CHECK(dist::first_host_of("rack[1,3]-ib,x") == "rack1-ib");
  CHECK_THROWS_AS(dist::first_host_of("node[1-"), Error);
}

TEST_CASE("a variable that is missing or wrong is named") {
  CHECK(has(refusal({{"RANK", "0"}}), "WORLD_SIZE"));
  CHECK(has(refusal({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), "RANK"));
  CHECK(has(refusal({{"RANK", "0"}, {"WORLD_SIZE", "two"}}), "'two'"));
  CHECK(has(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), "MASTER_ADDR"));
  CHECK(has(
      refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
      "MASTER_PORT"));
}
