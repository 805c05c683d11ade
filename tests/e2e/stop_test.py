"""Ctrl-C: a drawing ends wherever it is, keeps what was finished and leaves nothing half written.

Usage: stop_test.py PROGRAM
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from program import PROGRAM, ROOT

DRAW = ["draw", "a red apple", "--model", str(ROOT / "models/mini"), "--seed", "5", "--threads", "1", "--quiet"]
# The promise is two seconds; a machine that runs other tests beside this one gets a few more.
LATEST_S = 10


class Stop(unittest.TestCase):
    def setUp(self):
        self.out = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def start(self, *flags):
        return subprocess.Popen([PROGRAM, *DRAW, "--out", str(self.out / "a.png"), *flags], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "OMP_WAIT_POLICY": "passive"})

    def listening(self, process):
        """Waits until the program handles SIGINT by itself, that is until it draws."""
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            caught = int(status.split("SigCgt:")[1].split()[0], 16)
            if caught >> (signal.SIGINT - 1) & 1:
                return
            time.sleep(0.02)
        self.fail("the program never listened to Ctrl-C")

    def wait_for_pictures(self, process, count):
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None and len(list(self.out.glob("a-*.png"))) < count:
            time.sleep(0.02)

    def stopped(self, process, number=signal.SIGINT):
        """Exit code, standard error and seconds from the signal to the end."""
        begin = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err, time.monotonic() - begin

    def test_a_long_drawing_stops_in_time_and_leaves_no_file(self):
        process = self.start("--steps", "1000")
        self.listening(process)
        code, err, seconds = self.stopped(process)
        self.assertEqual(code, 130, err)
        self.assertIn("stopped after 0 of 1 pictures", err)
        self.assertLess(seconds, LATEST_S)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_finished_pictures_are_kept(self):
        process = self.start("--count", "10000", "--steps", "1", "--size", "64", "--guidance", "1")
        self.wait_for_pictures(process, 1)
        code, err, seconds = self.stopped(process, signal.SIGTERM)
        self.assertEqual(code, 130, err)
        self.assertLess(seconds, LATEST_S)
        kept = sorted(self.out.glob("a-*.png"))
        self.assertGreater(len(kept), 0)
        self.assertIn(f"stopped after {len(kept)} of 10000 pictures", err)
        self.assertEqual(sorted(self.out.iterdir()), kept)

    def test_a_picture_is_on_disk_as_soon_as_it_is_done(self):
        process = self.start("--count", "10000", "--steps", "1", "--size", "64", "--guidance", "1")
        self.wait_for_pictures(process, 2)
        process.kill()  # without a chance to write what it may hold
        process.communicate(timeout=60)
        kept = sorted(self.out.glob("a-*.png"))
        self.assertGreaterEqual(len(kept), 2)
        for path in kept:
            self.assertTrue(path.read_bytes().endswith(b"IEND\xaeB`\x82"), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
