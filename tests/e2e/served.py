"""A server under test, and its API as a few calls of the standard library."""

import http.client
import json
import pathlib
import re
import signal
import subprocess
import time

from program import PROGRAM, ROOT

READY_S = 60
FINAL = ("done", "failed", "cancelled")


class Server:
    """`pangu-draw serve` on a free port; flags as on the command line. `before`: words in front of the program, such as
    nice; `environment`: what it has beside PATH and PANGU_HOME."""

    def __init__(self, folder, *flags, before=(), environment=None):
        self.flags = ["--threads", "1", "--data", str(folder), *map(str, flags)]
        self.before = list(map(str, before))
        self.environment = environment or {}
        self.port = 0
        self.start()

    def start(self):
        """Starts it; again on the port that it had."""
        environment = {"PATH": "/usr/bin:/bin", "PANGU_HOME": str(ROOT), "OMP_WAIT_POLICY": "passive", **self.environment}
        self.process = subprocess.Popen([*self.before, PROGRAM, "serve", "--port", str(self.port), *self.flags], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        line = self.process.stdout.readline()
        address = re.search(r"http://([\d.]+):(\d+)", line)
        assert address, f"the server said {line!r} and ended with {self.process.poll()}"
        self.host, self.port = address[1], int(address[2])
        wait_for(lambda: self.call("GET", "/readyz")[0] == 200, READY_S, "the server to be ready")

    def call(self, method, path, body=None, headers=None, key=None):
        """Status, and the body as JSON where it is some, else as bytes; `body`: JSON or bytes."""
        status, _, content = self.request(method, path, body, headers, key)
        return status, content

    def request(self, method, path, body=None, headers=None, key=None):
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            content = json.loads(content)
        return answer.status, answer.headers, content

    def submit(self, request, key=None, **fields):
        status, job = self.call("POST", "/v1/jobs", {"request": request, **fields}, key=key)
        assert status == 202, (status, job)
        return job["id"]

    def job(self, job_id, key=None):
        return self.call("GET", f"/v1/jobs/{job_id}", key=key)[1]

    def finished(self, job_id, key=None, timeout_s=120):
        return wait_for(lambda: self.job(job_id, key) if self.job(job_id, key)["state"] in FINAL else None,
                        timeout_s, f"job {job_id} to end")

    def picture(self, job, index=0, key=None):
        return self.call("GET", job["pictures"][index]["url"], key=key)[1]

    def upload(self, png, key=None):
        status, picture = self.call("POST", "/v1/pictures", png, {"Content-Type": "image/png"}, key)
        assert status in (200, 201), (status, picture)
        return picture["id"]

    def events(self, job_id, last=None, most=None):
        """(id, name, data) of a job's events, to its end or to `most` of them."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last} if last else {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        found, fields = [], {}
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
            if most and len(found) == most:
                break
        connection.close()
        return found

    def workers(self):
        """Process ids of the server's workers."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def wait_for(condition, timeout_s, what):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s} s for {what}")
