"""What a machine does to a server: processes that die, a full disk, a locked database, a clock that is set back."""
import asyncio
import contextlib
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import tempfile
import time

from load import listed
from rows import MEBIBYTE, SMALL, Outcome, Skipped, counted, error_of, running
from served import FINAL, wait_for
from wire import Lost, Wire

KILLS, KILL_CLIENTS, WORKERS, SEEDS = 50, 20, 2, 8


async def insisting_client(wire, number, over, sent):
    """Sends jobs and waits for each, whatever happens to the server; what got no answer is sent again."""
    i = 0
    while not over.is_set():
        key = f"{number}-{i}"
        request = {**SMALL, "steps": 4 + i % 60, "seed": i % SEEDS}
        i += 1
        job = None
        while job is None:
            try:
                status, answer = await wire.call("POST", "/v1/jobs", {"request": request}, {"Idempotency-Key": key})
                if status == 202:
                    job = answer
                    sent[key] = job["id"]
                else:
                    assert status == 503, (status, answer)  # no worker is ready to check it
                    await asyncio.sleep(0.2)
            except Lost:
                await asyncio.sleep(0.2)
        last, ended = None, False
        while not ended:
            try:
                async for last, name, data in wire.events(job["id"], last):
                    ended = name in FINAL or (name == "state" and data["state"] in FINAL)
            except Lost:
                pass
            if not ended:
                await asyncio.sleep(0.2)


def kill_one(server, chance):
    """Kills the front (and starts it again) or one of its workers. True: the front."""
    if chance.random() < 0.5:
        server.end(signal.SIGKILL)
        server.start()
        return True
    workers = server.workers()
    if workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
    return False


async def kill_at_random(server, wire, kills, chance):
    over, sent = asyncio.Event(), {}
    clients = [asyncio.create_task(insisting_client(wire, number, over, sent)) for number in range(KILL_CLIENTS)]
    fronts = 0
    for _ in range(kills):
        await asyncio.to_thread(wait_for, lambda: server.call("GET", "/v1/queue")[1]["running"], 60, "a job to run")
        await asyncio.sleep(chance.uniform(0, 4))
        fronts += await asyncio.to_thread(kill_one, server, chance)
    over.set()
    await asyncio.wait_for(asyncio.gather(*clients), 600)
    return sent, fronts


def kills(settings):
    chance, count = random.Random(settings.random_seed), settings.count(KILLS)
    with running("--workers", WORKERS) as server:
        sent, fronts = asyncio.run(kill_at_random(server, Wire(server), count, chance))
        jobs = {job["id"]: job for job in listed(server)}
    faults = []
    if len(set(sent.values())) != len(sent) or set(jobs) != set(sent.values()):
        faults.append(f"{len(sent)} requests have {len(set(sent.values()))} jobs of {len(jobs)} in the store")
    pictures = {}
    for job in jobs.values():
        if job["state"] == "done":
            drawn = (job["request"]["steps"], job["request"]["seed"])
            pictures.setdefault(drawn, set()).update(picture["id"] for picture in job["pictures"])
            if len(job["pictures"]) != 1:
                faults.append(f"job {job['id']} has {len(job['pictures'])} pictures")
        elif job["state"] != "failed" or job["error"]["code"] != "worker_died" or job["attempts"] < 2:
            faults.append(f"job {job['id']} is {job['state']}: {error_of(job)}")
    faults += [f"steps and seed {drawn} have {len(ids)} different pictures" for drawn, ids in pictures.items() if len(ids) > 1]
    again = sum(job["attempts"] > 1 for job in jobs.values())
    died = sum(job["state"] == "failed" for job in jobs.values())
    facts = {"kills": count, "fronts": fronts, "workers": count - fronts, "jobs": len(jobs), "drawn_again": again,
             "failed_after_two_deaths": died}
    return Outcome(
        f"kill -9 at {count} random moments, of the front ({fronts}) or of one of {WORKERS} workers ({count - fronts}), while "
        f"{KILL_CLIENTS} clients send jobs",
        f"{len(jobs):,} jobs, none lost, none twice; {again} were drawn again, the same picture for the same request; "
        f"{died} failed since their worker was killed twice", facts, faults)


@contextlib.contextmanager
def small_disk(bytes_):
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={bytes_}", "none", folder], capture_output=True, text=True,
                                 check=False)
        if mounted.returncode != 0:
            raise Skipped(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=False)


def fill(path):
    """Takes the disk's room."""
    stat = os.statvfs(path.parent)
    with open(path, "ab") as file:
        with contextlib.suppress(OSError):
            file.write(bytes(stat.f_bavail * stat.f_frsize))


def disk(_):
    faults = []
    with small_disk(200 * MEBIBYTE) as folder, running(folder=folder) as server:
        before = server.finished(server.submit(SMALL))
        ids = [server.submit({**SMALL, "count": 50, "steps": 20, "seed": i}) for i in range(3)]
        wait_for(lambda: server.job(ids[0])["pictures"], 60, "the first picture")
        ballast = folder / "ballast"
        fill(ballast)
        wait_for(lambda: len({server.job(one)["state"] for one in ids} & {"failed"}) or
                 server.call("GET", "/readyz")[0] != 200, 60, "the server to meet the full disk")
        status, answer = server.call("POST", "/v1/jobs", {"request": SMALL})
        if status != 503:
            faults.append(f"a job sent to a full disk: {status} {answer}")
        upload, answer = server.call("POST", "/v1/pictures", server.picture(before), {"Content-Type": "image/png"})
        if upload not in (200, 503):
            faults.append(f"an upload to a full disk: {upload} {answer}")
        seen = {one: server.job(one) for one in ids}
        for path in ("/healthz", f"/v1/jobs/{before['id']}", before["pictures"][0]["url"]):
            if server.call("GET", path)[0] != 200:
                faults.append(f"GET {path} of a full disk fails")
        ballast.unlink()
        after = server.finished(wait_for(lambda: server.call("POST", "/v1/jobs", {"request": SMALL})[1].get("id"), 60,
                                         "a job to be taken again"))
        if [one["id"] for one in after["pictures"]] != [one["id"] for one in before["pictures"]]:
            faults.append("the picture drawn after the full disk is another one")
        jobs = [server.finished(one) for one in ids]
        if server.process.poll() is not None:
            faults.append("the front ended")
        for job in jobs:
            whole = job["state"] == "done" and len(job["pictures"]) == 50
            if not whole and not (job["state"] == "failed" and "No space" in error_of(job) + str(job["error"])):
                faults.append(f"job {job['id']} is {job['state']} with {counted(len(job['pictures']), 'picture')}: {error_of(job)}")
    states = sorted(job["state"] for job in jobs)
    return Outcome("the disk (a tmpfs) is filled while a job is drawn and two wait, and freed again",
                   f"new jobs are refused with 503 meanwhile, what is there is answered; of the three jobs "
                   f"{states.count('done')} are drawn and {states.count('failed')} failed, with the reason; the next job draws as before",
                   {"states": states, "while_full": [job["state"] for job in seen.values()]}, faults)


LOCK_S = 8


def lock(_):
    faults, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as folder, running(folder=folder) as server:
        ids = [server.submit({**SMALL, "steps": 100, "seed": i}) for i in range(10)]
        other = sqlite3.connect(pathlib.Path(folder) / "data/jobs.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        end = time.monotonic() + LOCK_S
        status, answer = server.call("POST", "/v1/jobs", {"request": SMALL})
        if status != 503:
            faults.append(f"a job sent to a locked store: {status} {answer}")
        while time.monotonic() < end:
            begun = time.monotonic()
            if server.call("GET", f"/v1/jobs/{ids[0]}")[0] != 200:
                faults.append("GET fails while the store is locked")
            slowest = max(slowest, time.monotonic() - begun)
        other.execute("ROLLBACK")
        other.close()
        jobs = [server.finished(one) for one in ids]
        faults += [f"job {job['id']} is {job['state']}: {error_of(job)}" for job in jobs if job["state"] != "done"]
        if server.process.poll() is not None:
            faults.append("the front ended")
    if slowest > 1:
        faults.append(f"GET took up to {slowest:.1f} s while the store was locked")
    return Outcome(f"another process locks the store (SQLite) for {LOCK_S} s while ten jobs wait and are drawn",
                   f"new jobs are refused with 503 meanwhile, `GET` takes up to {1000 * slowest:.0f} ms; "
                   f"{sum(job['state'] == 'done' for job in jobs)} of the ten are drawn",
                   {"slowest_get_s": round(slowest, 3)}, faults)


FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def clock(_):
    if not FAKETIME.exists():
        raise Skipped("there is no libfaketime. Hint: apt-get install faketime")
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        offset = pathlib.Path(folder) / "offset"
        offset.write_text("+0\n")
        fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with running(folder=folder, environment=fake) as server:
            kept = server.finished(server.submit(SMALL))
            ids = [server.submit({**SMALL, "steps": 60, "count": 4, "seed": i}) for i in range(6)]
            wait_for(lambda: server.job(ids[0])["state"] == "running", 60, "the first job to run")
            offset.write_text("-30d\n")
            ids += [server.submit({**SMALL, "seed": i}) for i in range(4)]
            events = server.events(ids[3])
            jobs = [server.finished(one) for one in ids]

            time.sleep(11)  # the server keeps house every ten seconds
            if server.call("GET", f"/v1/jobs/{kept['id']}")[0] != 200:
                faults.append("a job was forgotten since the clock was set back")
            server.end(signal.SIGTERM)
            server.start()
            if server.job(ids[0])["state"] != "done":
                faults.append("a job is lost after a start in the past")
            listed_ids = [job["id"] for job in reversed(server.call("GET", "/v1/jobs?limit=200")[1]["jobs"])]
    numbers = [int(event_id.split("-")[1]) for event_id, _, _ in events]
    if numbers != sorted(numbers) or events[-1][1] != "done":
        faults.append("events are not in order")
    if listed_ids != [kept["id"], *ids]:
        faults.append("the list of jobs is not in the order in which they came")
    faults += [f"job {job['id']} is {job['state']}: {error_of(job)}" for job in jobs if job["state"] != "done"]
    return Outcome("the clock is set back by 30 days while jobs are drawn and wait",
                   f"all {len(jobs)} drawn, in their order, events in order; none was forgotten before its time, and the server starts "
                   "in the past as well", {"jobs": len(jobs)}, faults)
