"""The example of docs/server.md for nginx, as it stands there, before a server: TLS, events as they happen, uploads.

Usage: proxy_test.py PROGRAM
It wants Debian's nginx and openssl, which tools/install/packages.sh lists; their absence is a failure.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from nginx import Nginx
from png_file import png_of
from ports import free_port
from program import ROOT
from served import Server, wait_for

NAME = "draw.example.org"


def example():
    """The block of the page with this many places to fill in: the port, the certificate, the server's address."""
    return re.search(r"```nginx\n(.*?)```", (ROOT / "docs/server.md").read_text(encoding="utf-8"), re.S)[1]


def put(text, what, instead):
    assert text.count(what) == 1, f"docs/server.md: expected {what!r} once in the example of nginx"
    return text.replace(what, instead)


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        assert shutil.which("openssl", path="/usr/bin:/bin"), "there is no openssl. Hint: ./pangu-draw test installs it"
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.server = Server(cls.folder / "data", "--set", f'hosts=["{NAME}"]')
        cls.addClassCleanup(lambda: cls.server.end(signal.SIGKILL))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
                        "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", cls.folder / "key.pem", "-out",
                        cls.folder / "certificate.pem"], check=True, capture_output=True)
        cls.port = free_port()
        block = put(example(), "listen 443 ssl;", f"listen 127.0.0.1:{cls.port} ssl;")
        block = put(block, "/etc/ssl/draw.example.org.pem", f"{cls.folder}/certificate.pem")
        block = put(block, "/etc/ssl/draw.example.org.key", f"{cls.folder}/key.pem")
        block = put(block, "127.0.0.1:7860", f"{cls.server.host}:{cls.server.port}")
        cls.tls = ssl.create_default_context(cafile=str(cls.folder / "certificate.pem"))
        cls.addClassCleanup(Nginx(cls.folder, cls.port, block).stop)

    def connection(self):
        found = http.client.HTTPSConnection(NAME, self.port, timeout=60)
        found.sock = self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname=NAME)
        self.addCleanup(found.close)
        return found

    def call(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        connection = self.connection()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content[:1] == b"{" else content

    def test_the_page_and_jobs_are_there_by_tls_and_other_sites_reach_nothing(self):
        self.assertEqual(self.call("GET", "/")[0], 200)
        body = {"request": {"prompt": "a red apple", "steps": 2, "size": "64x64"}}
        status, job = self.call("POST", "/v1/jobs", body, {"Origin": f"https://{NAME}"})
        self.assertEqual(status, 202, job)
        self.assertEqual(self.server.finished(job["id"])["state"], "done")
        self.assertEqual(self.call("POST", "/v1/jobs", body, {"Origin": "https://evil.test"})[0], 403)

    def test_events_come_while_the_job_is_drawn(self):
        job_id = self.server.submit({"prompt": "a red apple", "steps": 1000, "size": "256x256"})
        connection = self.connection()
        connection.request("GET", f"/v1/jobs/{job_id}/events")
        answer = connection.getresponse()
        self.assertEqual(answer.headers["Content-Type"].split(";")[0], "text/event-stream")
        for line in answer:
            if line.startswith(b"event: step"):
                break
        self.assertEqual(self.server.job(job_id)["state"], "running")
        self.server.call("POST", f"/v1/jobs/{job_id}/cancel")
        self.assertIn(b"event: cancelled", answer.read())

    def test_uploads_pass_up_to_the_servers_own_limit(self):
        noise = os.urandom(3 * 1024 * 1024)  # of 3 MiB, which compress no further
        status, picture = self.call("POST", "/v1/pictures", png_of(1024, 1024, noise), {"Content-Type": "image/png"})
        self.assertEqual(status, 201, picture)
        try:
            status = self.call("POST", "/v1/pictures", bytes(33 << 20), {"Content-Type": "image/png"})[0]
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            status = 413  # it was answered before all was sent
        self.assertEqual(status, 413)

    def test_a_call_whose_client_goes_away_is_cancelled(self):
        connection = self.connection()
        connection.request("POST", "/v1/images/generations", json.dumps({"prompt": "x", "size": "256x256", "steps": 1000}),
                           {"Content-Type": "application/json"})
        job = wait_for(lambda: self.server.call("GET", "/v1/jobs?state=running")[1]["jobs"], 60, "the job")[0]
        connection.sock.close()
        self.assertEqual(self.server.finished(job["id"], timeout_s=20)["state"], "cancelled")


if __name__ == "__main__":
    unittest.main()
