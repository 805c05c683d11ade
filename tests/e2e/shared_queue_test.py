"""Servers and workers that share a queue in PostgreSQL and pictures in an S3 service: events through any server, and
that no job is lost or drawn twice when workers are killed or cut off and the database stops.

Usage: shared_queue_test.py PROGRAM
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from png_file import png_pixels
from program import PROGRAM, ROOT, run
from served import Server, wait_for
from services import BUCKET, services

SMALL = {"prompt": "a red apple", "seed": 7, "steps": 2, "size": "64x64"}
LONG = {"prompt": "a red apple", "seed": 7, "steps": 1000, "size": "256x256"}
MEDIUM = {"prompt": "a red apple", "seed": 7, "steps": 60, "size": "128x128"}
LEASE_S = 3


class Worker:
    """`pangu-draw worker` on the shared queue: the process that holds leases, and the one that draws for it."""

    def __init__(self, url, environment, **secrets):
        self.process = subprocess.Popen(
            [PROGRAM, "worker", "--queue", url, "--pictures", f"s3://{BUCKET}/test", "--threads", "1",
             "--set", f"lease_seconds={LEASE_S}.0"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**environment, **secrets}, start_new_session=True)

    def children(self):
        pid = self.process.pid
        try:
            text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(child) for child in text.split()]

    def send(self, number):
        """To the process and to the one that draws."""
        for pid in [self.process.pid, *self.children()]:
            os.kill(pid, number)

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


class Wire:
    """A way to a port of this machine that can be cut, so that nothing comes through and nobody is told."""

    def __init__(self, port):
        self.target, self.is_cut = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                one = self.listener.accept()[0]
            except OSError:
                return
            if self.is_cut:
                continue
            try:
                other = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                one.close()
                continue
            for ends in ((one, other), (other, one)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                while self.is_cut:
                    time.sleep(0.05)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()


class SharedQueue(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres, s3 = cls.enterClassContext(services())
        cls.environment = {"PATH": "/usr/bin:/bin", "PANGU_HOME": str(ROOT), "OMP_WAIT_POLICY": "passive",
                           "TMPDIR": tempfile.gettempdir(), **s3.environment()}
        cls.fronts = [cls.front() for _ in range(2)]
        cls.workers = []

    @classmethod
    def front(cls):
        server = Server("unused", "--queue", cls.postgres.url(), "--pictures", f"s3://{BUCKET}/test",
                        "--set", f"lease_seconds={LEASE_S}.0", environment=cls.environment)
        cls.addClassCleanup(lambda: server.end(signal.SIGKILL))
        return server

    def setUp(self):
        self.one, self.other = self.fronts
        while len(self.workers) < 2:
            self.add_worker()
        wait_for(lambda: self.one.call("GET", "/v1/queue")[1]["workers"] == len(self.workers), 60, "the workers")

    def add_worker(self, url=None):
        worker = Worker(url or self.postgres.url(), self.environment)
        self.workers.append(worker)
        self.addClassCleanup(worker.end)
        return worker

    def lose_worker(self, worker):
        self.workers.remove(worker)
        worker.end()

    def drawing(self, job):
        """The worker whose process computes."""
        wait_for(lambda: (self.one.job(job)["progress"] or {}).get("step"), 60, "the first step")

        def ticks(pid):
            return sum(int(n) for n in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        before = {pid: ticks(pid) for worker in self.workers for pid in worker.children()}
        time.sleep(0.3)
        return max(self.workers, key=lambda worker: max((ticks(pid) - before.get(pid, 0)
                                                         for pid in worker.children()), default=0))

    def pixels(self, png):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "one.png"
            path.write_bytes(png)
            return png_pixels(path)

    def test_a_job_of_one_server_is_followed_and_its_picture_read_at_another(self):
        job = self.one.submit({**MEDIUM, "count": 2}, preview_every=1)
        events = self.other.events(job)
        names = [name for _, name, _ in events]
        self.assertEqual((names[0], names[-1]), ("state", "done"))
        self.assertEqual(names.count("picture"), 2)
        self.assertIn("preview", names)
        numbers = [int(number.split("-")[1]) for number, _, _ in events]
        self.assertEqual(numbers, sorted(numbers))
        steps = [data["step"] for _, name, data in events if name == "step"]
        self.assertEqual(steps, sorted(steps))
        middle = names.index("picture")
        again = [name for _, name, _ in self.one.events(job, last=events[middle][0])]
        self.assertEqual([name for name in again if name != "preview"],
                         [name for name in names[middle + 1:] if name not in ("preview", "queued")])
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "cli.png"
            drawn = run("draw", MEDIUM["prompt"], "--seed", 7, "--steps", MEDIUM["steps"], "--size", MEDIUM["size"],
                        "--count", 2, "--out", out, "--threads", 1)
            self.assertEqual(drawn.returncode, 0, drawn.stderr)
            self.assertEqual(self.pixels(self.other.picture(self.other.job(job))), png_pixels(out.with_stem("cli-0")))

    def test_many_jobs_are_each_drawn_once_and_start_pictures_reach_the_workers(self):
        upload = self.one.upload(self.one.picture(self.one.finished(self.one.submit(SMALL))))
        jobs = [server.submit({**SMALL, "seed": seed, "steps": 4, "init_image": upload, "strength": 0.5})
                for seed in range(10) for server in self.fronts]
        for job in jobs:
            ended = self.other.finished(job)
            self.assertEqual((ended["state"], ended["attempts"]), ("done", 1), ended)

    def test_a_running_job_is_cancelled_through_another_server(self):
        job = self.one.submit(LONG)
        self.drawing(job)
        begin = time.monotonic()
        self.assertEqual(self.other.call("POST", f"/v1/jobs/{job}/cancel")[0], 202)
        self.assertEqual(self.one.finished(job)["state"], "cancelled")
        self.assertLess(time.monotonic() - begin, 6)  # two seconds, and more beside other tests

    def test_a_job_whose_worker_is_killed_is_tried_again_once_and_then_fails(self):
        job = self.one.submit(LONG)
        self.lose_worker(self.drawing(job))
        wait_for(lambda: self.one.job(job)["attempts"] == 2, 30, "the second attempt")
        self.lose_worker(self.workers[0])
        ended = self.one.finished(job)
        self.assertEqual(ended["state"], "failed")
        self.assertEqual(ended["error"]["code"], "worker_died")
        self.assertIn("not heard of", ended["error"]["message"])

    def test_a_database_that_stops_and_starts_interrupts_no_job(self):
        job = self.one.submit(LONG | {"steps": 150})
        self.drawing(job)
        self.postgres.stop()
        self.assertEqual(self.one.call("GET", f"/v1/jobs/{job}")[0], 503)
        self.assertEqual(self.one.call("GET", "/healthz")[0], 200)
        time.sleep(2 * LEASE_S)
        self.postgres.start()
        wait_for(lambda: self.one.call("GET", f"/v1/jobs/{job}")[0] == 200, 30, "the database")
        ended = self.one.finished(job)
        self.assertEqual((ended["state"], ended["attempts"]), ("done", 1), ended)
        self.assertTrue(self.pixels(self.other.picture(ended)))

    def test_a_worker_that_was_cut_off_does_not_overwrite_what_another_has_drawn_meanwhile(self):
        for worker in list(self.workers):
            self.lose_worker(worker)
        wire = Wire(self.postgres.port)
        cut = self.add_worker(self.postgres.url(wire.port))
        job = self.one.submit(LONG | {"steps": 100})
        self.drawing(job)
        wire.is_cut = True
        self.add_worker()
        wait_for(lambda: self.one.job(job)["attempts"] == 2, 30, "the second attempt")
        wire.is_cut = False
        ended = self.one.finished(job)
        self.assertEqual((ended["state"], ended["attempts"], len(ended["pictures"])), ("done", 2, 1), ended)
        time.sleep(LEASE_S)
        self.assertEqual(self.one.job(job), ended)
        self.assertIsNone(cut.process.poll())
        again = self.one.finished(self.one.submit(SMALL))
        self.assertEqual((again["state"], again["attempts"]), ("done", 1))

    def test_a_worker_that_is_told_to_end_finishes_its_job_first(self):
        job = self.one.submit(LONG | {"steps": 60})
        worker = self.drawing(job)
        worker.process.send_signal(signal.SIGTERM)
        ended = self.one.finished(job)
        self.assertEqual((ended["state"], ended["attempts"]), ("done", 1))
        self.assertEqual(worker.process.wait(timeout=30), 0)
        self.workers.remove(worker)

    def test_a_wrong_secret_and_a_wrong_password_are_refused_in_words(self):
        worker = Worker(self.postgres.url(), self.environment, AWS_SECRET_ACCESS_KEY="wrong")
        _, told = worker.process.communicate(timeout=60)
        self.assertEqual(worker.process.returncode, 3, told)
        self.assertRegex(told, "403 SignatureDoesNotMatch")
        wrong = re.sub(":draw-[0-9]+@", ":wrong@", self.postgres.url())
        worker = Worker(wrong, self.environment)
        _, told = worker.process.communicate(timeout=60)
        self.assertEqual(worker.process.returncode, 3, told)
        self.assertIn("password authentication failed", told)
        self.assertNotIn("wrong", told)


if __name__ == "__main__":
    unittest.main()
