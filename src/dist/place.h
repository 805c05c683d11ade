// Where a process stands among those that were started together, as launchers say it in the
// environment: torchrun, Kubernetes' PyTorchJob and `pangu-draw train --nproc` by RANK and
// WORLD_SIZE, Slurm's srun by variables of its own. Nothing is contacted here.
#pragma once
#include <functional>
#include <optional>
#include <string>

namespace pangu::dist {

struct Place {
  int rank = 0;                              // of this process, 0 .. size - 1
  int size = 1;                              // processes in all
  int local_rank = 0;                        // among those of this machine
  int local_size = 1;                        // processes of this machine
  std::string master_address = "127.0.0.1";  // of rank 0's machine
  int master_port = 29500;
  bool is_store_elsewhere = false;  // the launcher keeps the store, not rank 0
  std::string attempt;              // tells starts that share a store apart
};

// The value of a variable of the environment; none if it is not set, or empty.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Without RANK, within
// a step of Slurm: SLURM_PROCID, SLURM_STEP_NUM_TASKS (or SLURM_NTASKS), SLURM_LOCALID,
// SLURM_STEP_TASKS_PER_NODE (a task with SLURM_CPUS_PER_TASK has cores of its own) and, where there
// is no MASTER_ADDR, the first name of SLURM_STEP_NODELIST (or SLURM_JOB_NODELIST, SLURM_NODELIST).
// With neither, this process is alone. Error kBadInput naming the variable that is missing, no
// number or out of its range.
Place place_from(const Environment& variable);

// The first host of Slurm's short form of a list: "node[07-09,12],login" gives "node07".
std::string first_host_of(const std::string& node_list);

}  // namespace pangu::dist
