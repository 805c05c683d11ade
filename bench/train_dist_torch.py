"""DistributedDataParallel and FSDP2 for bench/train_dist.py: the usual training (usual_training.py) by processes on CPUs
that talk by Gloo. The first one writes a line {"step", "seconds"} of every step, as metrics.jsonl of `pangu-draw train` has it.

    train_dist_torch.py {PyTorch,DDP,FSDP2} CONFIG.json METRICS --processes 2 --threads 1 --steps 60 --precision no

CONFIG.json has the keys of a training, paths resolved; train_batch_size is the samples of a step over all processes.

 - DDP: as it is, buckets of 25 MiB.
 - FSDP2 (fully_shard): every block of the network is sharded, then the rest. Gathered weights are kept from the forward to
   the backward pass (reshard_after_forward=False), which is ZeRO-2. torch 2.13 takes no channels-last weights there
   ("FSDP does not support non-contiguous parameters yet"), so weights are plain and inputs alone are channels-last.
   In bf16, weights travel as bf16 and gradients as f32, as the program's do.
"""
import argparse
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
TRAINERS = ("PyTorch", "DDP", "FSDP2")
BUCKET_MIB = 25


def wrapper_of(trainer, precision):
    """Makes of a network what is called in its place."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    def shard(unet):
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
        mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
        how = {"mesh": mesh, "reshard_after_forward": False, **({"mp_policy": policy} if precision == "bf16" else {})}
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            fully_shard(block, **how)
        return fully_shard(unet, **how)

    def replicate(unet):
        return torch.nn.parallel.DistributedDataParallel(unet, bucket_cap_mb=BUCKET_MIB, gradient_as_bucket_view=True)

    return {"PyTorch": None, "DDP": replicate, "FSDP2": shard}[trainer]


def train(options):
    import torch
    import torch.distributed as dist
    from usual_training import UsualTraining
    torch.set_num_threads(options.threads)
    rank, processes = int(os.environ["RANK"]), options.processes
    if processes > 1:
        dist.init_process_group("gloo")
    config = json.loads(options.config.read_text())
    training = UsualTraining(config, config["train_batch_size"] // processes, options.precision,
                             wrapper_of(options.trainer, options.precision), keep_layout=options.trainer == "FSDP2")
    torch.manual_seed(1 + rank)
    begun = time.monotonic()
    for step in range(options.steps):
        training.step()
        if rank == 0:
            with options.metrics.open("a") as metrics:
                print(json.dumps({"step": step + 1, "seconds": time.monotonic() - begun}), file=metrics)
    training.end()
    if processes > 1:
        dist.destroy_process_group()


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_all(options):
    environment = {**os.environ, "WORLD_SIZE": str(options.processes), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(options.port), "OMP_NUM_THREADS": str(options.threads)}
    ranks = [subprocess.Popen([sys.executable, *sys.argv], env={**environment, "RANK": str(rank)}, preexec_fn=die_with_parent)
             for rank in range(options.processes)]
    while any(rank.poll() is None for rank in ranks):
        time.sleep(0.05)
        if any(rank.poll() for rank in ranks):  # one failed
            for rank in ranks:
                rank.kill()
    sys.exit(max(abs(rank.returncode) for rank in ranks))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("trainer", choices=TRAINERS)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("metrics", type=pathlib.Path)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--precision", choices=("bf16", "no"), required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    train(options) if "RANK" in os.environ else start_all(options)


if __name__ == "__main__":
    main()
