"""`pangu-draw train` by four hosts in network namespaces, whose cards are shaped: they learn to the bit what four processes of
one machine learn, and where one host is cut off the others end and all go on from the last checkpoint.

Usage: hosts_train_test.py PROGRAM. It is skipped where network namespaces are not permitted.
"""

import sys
import tempfile
import time
import unittest

import network_hosts

if not network_hosts.is_inside() and (why := network_hosts.why_not()):
    print(f"SKIPPED: {why}")
    sys.exit(77)
network_hosts.enter()

from shared_training import SharedTraining  # noqa: E402

HOSTS = 4
MBIT = 100
ALL_ENDED_S = 30
LONG = {"max_train_steps": 150}
LAST = HOSTS - 1
ONE_THREAD = ("--threads", 1)  # of each process: bits are those of the same number


class FourHosts(SharedTraining):
    @classmethod
    def setUpClass(cls):
        cls.network = network_hosts.Network(HOSTS, cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.network.shape(MBIT)

    def start_hosts(self, config):
        return [self.start(config, *ONE_THREAD, before=self.network.on(rank, []), **network_hosts.rank_environment(self.network, rank))
                for rank in range(HOSTS)]

    def train_by_hosts(self, config):
        for process in self.start_hosts(config):
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)

    def test_hosts_learn_what_processes_learn_also_where_one_was_cut_off(self):
        self.train(self.config("whole", **LONG), "--nproc", HOSTS, *ONE_THREAD)
        config = self.config("cut", **LONG, save_every_n_steps=20)
        checkpoint = self.folder / "cut/checkpoint"
        hosts = self.start_hosts(config)
        while not checkpoint.exists():
            self.assertIsNone(hosts[0].poll())
            time.sleep(0.01)
        self.network.unplug(LAST)
        begun = time.monotonic()
        words = [process.communicate(timeout=2 * ALL_ENDED_S)[1] for process in hosts]
        self.assertLess(time.monotonic() - begun, ALL_ENDED_S)
        self.assertEqual([process.returncode for process in hosts], [3] * HOSTS, words)
        for said in words:
            self.assertIn("has lost the others", said)
        # Who notices it first says who is gone; the rest may see that one leave.
        self.assertIn(f"process {LAST} of {HOSTS} gives no sign of life", "".join(words[:LAST]))
        self.assertIn("the store at 10.77.0.1:29500 does not answer", words[LAST])
        self.assertLess(len(self.losses("cut")), LONG["max_train_steps"], "the training was over before the host was cut off")
        self.network.plug(LAST)
        self.train_by_hosts(config)
        self.assertEqual(self.weights("cut"), self.weights("whole"))


if __name__ == "__main__":
    unittest.main()
