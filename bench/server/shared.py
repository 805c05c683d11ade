"""Servers and workers that share a queue in PostgreSQL and pictures in an S3 service: the database stops, a host is cut off."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

from program import PROGRAM, ROOT
from rows import SMALL, Outcome, Skipped, error_of
from served import FINAL, Server, wait_for

JOBS, STOPS, LEASE_S = 60, 3, 5
MEDIUM = {**SMALL, "steps": 200}
BRIDGE, NETWORK = f"pgbr{os.getpid()}", "10.77.14"


def flags_of(postgres_url):
    from services import BUCKET
    return ("--queue", postgres_url, "--pictures", f"s3://{BUCKET}/bench", "--set", f"lease_seconds={LEASE_S}.0")


class Worker:
    """`pangu-draw worker` on the shared queue, perhaps in a network namespace."""

    def __init__(self, url, environment, before=()):
        self.process = subprocess.Popen([*before, PROGRAM, "worker", *flags_of(url), "--threads", "1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
                                        start_new_session=True)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


@contextlib.contextmanager
def shared():
    """(PostgreSQL, its S3 service, a front, the environment of workers)."""
    try:
        from services import services
    except ImportError as missing:
        raise Skipped(f"there is no {missing.name}") from missing
    with services() as (postgres, s3):
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PANGU_HOME": str(ROOT), "OMP_WAIT_POLICY": "passive",
                       "TMPDIR": tempfile.gettempdir(), **s3.environment()}
        front = Server("unused", *flags_of(postgres.url()), environment=environment)
        try:
            yield postgres, s3, front, environment
        finally:
            front.end(signal.SIGKILL)


def ended(front, one):
    """The job if it has ended; none while the database cannot be asked."""
    status, job = front.call("GET", f"/v1/jobs/{one}")
    return job if status == 200 and job["state"] in FINAL else None


def workers_of(front):
    status, queue = front.call("GET", "/v1/queue")
    return queue["workers"] if status == 200 else 0


def attempts_of(front, one):
    status, job = front.call("GET", f"/v1/jobs/{one}")
    return job["attempts"] if status == 200 else 0


def judged(front, ids, most_attempts):
    """The jobs when all have ended, and what is wrong with them."""
    jobs = [wait_for(lambda one=one: ended(front, one), 300, f"job {one} to end") for one in ids]
    faults = [f"job {job['id']} is {job['state']}: {error_of(job)}" for job in jobs if job["state"] != "done"]
    faults += [f"job {job['id']} has {len(job['pictures'])} pictures" for job in jobs
               if job["state"] == "done" and len(job["pictures"]) != 1]
    faults += [f"job {job['id']} was begun {job['attempts']} times" for job in jobs if job["attempts"] > most_attempts]
    if len({job["pictures"][0]["id"] for job in jobs if job["pictures"]}) != 1:
        faults.append("the same request was drawn as different pictures")
    return jobs, faults


def database(settings):
    """PostgreSQL is stopped and started again while jobs are drawn and wait."""
    count = settings.count(JOBS)
    with shared() as (postgres, _, front, environment):
        workers = [Worker(postgres.url(), environment) for _ in range(2)]
        try:
            wait_for(lambda: workers_of(front) >= 2, 120, "the workers")
            ids = [front.submit(MEDIUM) for _ in range(count)]
            refused = []
            for _ in range(STOPS):
                wait_for(lambda: front.call("GET", "/v1/jobs?state=running")[1].get("jobs"), 60, "a job to run")
                postgres.stop()
                refused.append(front.call("POST", "/v1/jobs", {"request": MEDIUM})[0])
                time.sleep(LEASE_S + 1)
                postgres.start()
                wait_for(lambda: front.call("GET", "/v1/jobs?limit=1")[0] == front.call("GET", "/readyz")[0] == 200, 60,
                         "the server to be ready again")
            jobs, faults = judged(front, ids, 1)
        finally:
            for worker in workers:
                worker.end()
    if set(refused) != {503}:
        faults.append(f"jobs sent to a database that is stopped: {refused}")
    return Outcome(f"PostgreSQL is stopped and started {STOPS} times, for longer than a lease, while two workers draw {count} jobs",
                   f"{sum(job['state'] == 'done' for job in jobs)} drawn, none lost, each begun once; new jobs are refused with 503 "
                   "meanwhile", {"jobs": count, "stops": STOPS}, faults)


def ip(*words):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")


@contextlib.contextmanager
def hosts(count):
    """Names of network namespaces that reach this machine at NETWORK.1 by a bridge, each by a cable `NAME-out`."""
    names = [f"pg{number}n{os.getpid()}" for number in range(count)]
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{name}-out", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}-out", "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{NETWORK}.{number + 10}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "link", "del", f"{name}-out"], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def forwarded(port):
    """A port at NETWORK.1 that leads to a port of loopback."""
    listener = socket.create_server((f"{NETWORK}.1", 0))

    def carry(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept():
        while True:
            try:
                one = listener.accept()[0]
                other = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            for ends in ((one, other), (other, one)):
                threading.Thread(target=carry, args=ends, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener


def draws(worker):
    """Whether processes of the worker's session used a tenth of a core in half a second."""
    def ticks():
        total = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12]) if int(fields[3]) == worker.process.pid else 0
        return total
    before = ticks()
    time.sleep(0.5)
    return ticks() - before > 0.05 * os.sysconf("SC_CLK_TCK")


def cut(settings):
    """Workers on hosts of their own; the cable of one is pulled in mid-job and put back later."""
    count = settings.count(JOBS)
    with shared() as (postgres, s3, front, environment), hosts(3) as names, contextlib.ExitStack() as stack:
        database_port, s3_port = (stack.enter_context(contextlib.closing(forwarded(port))) for port in (postgres.port, s3.port))
        url = postgres.url(database_port.getsockname()[1]).replace("@127.0.0.1:", f"@{NETWORK}.1:")
        there = {**environment, "AWS_ENDPOINT_URL": f"http://{NETWORK}.1:{s3_port.getsockname()[1]}"}
        workers = {}
        for name in names:
            workers[name] = Worker(url, there, ("ip", "netns", "exec", name))
            stack.callback(workers[name].end)
        wait_for(lambda: workers_of(front) >= len(names), 120, "the workers")
        ids = [front.submit(MEDIUM) for _ in range(count)]
        lost = wait_for(lambda: next((name for name in names if draws(workers[name])), None), 60, "a worker to draw")
        ip("link", "set", f"{lost}-out", "down")
        wait_for(lambda: any(attempts_of(front, one) == 2 for one in ids), 120, "another worker to take its job over")
        ip("link", "set", f"{lost}-out", "up")
        jobs, faults = judged(front, ids, 2)
        again = sum(job["attempts"] == 2 for job in jobs)
        if again != 1:
            faults.append(f"{again} jobs were begun twice")
    return Outcome(f"three workers on hosts of their own (network namespaces) draw {count} jobs, and one is cut off in mid-job and comes back",
                   f"{sum(job['state'] == 'done' for job in jobs)} drawn, none lost, none twice; the job of the host that was cut off was drawn "
                   f"by another after the lease of {LEASE_S} s", {"jobs": count, "again": again}, faults)
