"""deploy/training/train.slurm on a cluster of Slurm: two hosts in network namespaces, each with a slurmd, and slurmctld and
munged beside them, all of a configuration in a temporary folder.

Usage: slurm_test.py PROGRAM. It is skipped where Debian's slurm-wlm and munge or network namespaces are missing.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import network_hosts

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "squeue")
os.environ["PATH"] += ":/usr/sbin:/sbin"
missing = [tool for tool in NEEDED if not shutil.which(tool)]
if not network_hosts.is_inside():
    why = f"there is no {', '.join(missing)}" if missing else network_hosts.why_not()
    if os.geteuid() != 0:
        why = "Slurm's daemons start as root alone"
    if why:
        print(f"SKIPPED: {why}")
        sys.exit(77)
network_hosts.enter()

from program import PROGRAM, ROOT  # noqa: E402
from shared_training import SharedTraining  # noqa: E402

HOSTS = 2
LONG = {"max_train_steps": 150}
SAVE_EVERY = 20  # steps
WAIT_S = 120
REQUEUE_S = 10  # that a job waits when it is queued again, 120 by default; slurmd must have seen its processes gone by then
# munged's words on folders that others may write to are of no consequence here.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_s}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0
ReturnToService=2
NodeName=host[1-{hosts}] CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    def __init__(self, folder):
        self.folder, self.running = folder, []
        network = network_hosts.Network(HOSTS, folder)
        (folder / "state").mkdir()
        self.path = folder / "slurm.conf"
        self.path.write_text(CONFIG.format(host=os.uname().nodename, address=network.own_address, folder=folder, hosts=HOSTS, requeue_s=REQUEUE_S,
                                           cpus=os.cpu_count()))
        os.environ["SLURM_CONF"] = str(self.path)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.start(["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
                    f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munged.log"])
        self.wait_for(lambda: (folder / "munge.socket").exists(), "munged")
        self.start(["slurmctld", "-D", "-f", self.path])
        for number, name in enumerate(network.names):
            (folder / f"spool-{name}").mkdir()
            self.start(network.on(number, ["slurmd", "-D", "-N", name, "-f", self.path]))
        self.wait_for(lambda: self.states() == ["idle"] * HOSTS, "the hosts")

    def start(self, command):
        with open(self.folder / "daemons.log", "a", encoding="utf-8") as log:
            self.running.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log))

    def states(self):
        said = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True, check=False)
        return said.stdout.split()

    def wait_for(self, is_there, what):
        end = time.monotonic() + WAIT_S
        while not is_there():
            if time.monotonic() > end or any(process.poll() is not None for process in self.running):
                logs = "".join(f"{path.name}:\n{path.read_text()[-3000:]}\n" for path in sorted(self.folder.glob("*.log")))
                raise AssertionError(f"{what} did not come within {WAIT_S} s\n{logs}")
            time.sleep(0.1)

    def end(self):
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(timeout=30)


class Slurm(SharedTraining):
    whole = None

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.cluster = Cluster(pathlib.Path(folder))
        cls.addClassCleanup(cls.cluster.end)

    def weights_of_whole(self):
        """Of a run by as many processes that nothing happens to."""
        if not Slurm.whole:
            self.train(self.config("whole", **LONG), "--nproc", HOSTS, "--threads", 1)
            Slurm.whole = self.weights("whole")
        return Slurm.whole

    def submit(self, config, tasks_per_node=1):
        """Returns the job's number."""
        told = subprocess.run(["sbatch", "--parsable", f"--nodes={HOSTS}", f"--ntasks-per-node={tasks_per_node}",
                               "--cpus-per-task=1", f"--output={self.folder}/job-%j.log", ROOT / "deploy/training/train.slurm",
                               config, "--quiet"], capture_output=True, text=True, check=False, cwd=self.folder,
                              env={**os.environ, "PANGU_DRAW": PROGRAM, "PANGU_HOME": str(ROOT)})
        self.assertEqual(told.returncode, 0, told.stderr)
        return told.stdout.strip()

    def fact(self, job, name):
        told = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=True)
        return dict(word.split("=", 1) for word in told.stdout.split() if "=" in word)[name]

    def said(self, job):
        log = self.folder / f"job-{job}.log"
        return log.read_text() if log.exists() else ""

    def wait_until_done(self, job):
        """Returns the state in which it ended, and the exit code of the script."""
        end = time.monotonic() + WAIT_S
        while (state := self.fact(job, "JobState")) in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"):
            self.assertLess(time.monotonic(), end, f"{state}\n{self.said(job)}")
            time.sleep(0.1)
        return state, int(self.fact(job, "ExitCode").split(":")[0])

    def wait_for_checkpoint(self, job, output):
        end = time.monotonic() + WAIT_S
        while not (self.folder / output / "checkpoint").exists():
            self.assertLess(time.monotonic(), end, self.said(job))
            time.sleep(0.005)

    def tell(self, job, *words):
        subprocess.run(["scancel", *words, job], check=True)

    def test_two_and_four_tasks_on_two_hosts_learn_what_one_process_learns(self):
        self.train(self.config("alone"))
        for tasks in (1, 2):
            job = self.submit(self.config(f"by{tasks}"), tasks)
            self.assertEqual(self.wait_until_done(job), ("COMPLETED", 0), self.said(job))
            self.assert_same_losses(self.losses("alone"), self.losses(f"by{tasks}"))

    def test_a_signal_stops_a_job_with_a_checkpoint_from_which_the_next_goes_on(self):
        config = self.config("stopped", **LONG, save_every_n_steps=SAVE_EVERY)
        job = self.submit(config)
        self.wait_for_checkpoint(job, "stopped")
        self.tell(job, "--signal=TERM")
        self.assertEqual(self.wait_until_done(job), ("FAILED", 128 + signal.SIGTERM), self.said(job))
        self.assertIn("the same command goes on from here", self.said(job))
        self.assertLess(len(self.losses("stopped")), LONG["max_train_steps"], "the training was over before it was stopped")
        job = self.submit(config)
        self.assertEqual(self.wait_until_done(job), ("COMPLETED", 0), self.said(job))
        self.assertEqual(self.weights("stopped"), self.weights_of_whole())

    def test_a_job_whose_time_is_nearly_over_is_queued_again_and_goes_on(self):
        job = self.submit(self.config("late", **LONG, save_every_n_steps=SAVE_EVERY))
        self.wait_for_checkpoint(job, "late")
        self.tell(job, "--batch", "--signal=USR1")  # what Slurm sends so long before the end (#SBATCH --signal)
        self.assertEqual(self.wait_until_done(job), ("COMPLETED", 0), self.said(job))
        self.assertIn("the same command goes on from here", self.said(job))
        self.assertEqual(self.fact(job, "Restarts"), "1")
        self.assertEqual(self.weights("late"), self.weights_of_whole())


if __name__ == "__main__":
    unittest.main()
