"""Memory of the workers: models that come and go, and a job that asks for more than there is."""
import os
import resource
import signal

from records import resident_bytes
from rows import MEBIBYTE, SMALL, Outcome, counted, error_of, running
from served import wait_for

SWITCHES, EARLY = 200, 10
MODELS = ("mini", "low", "variation")
MOST_GROWTH = 32 * MEBIBYTE


def switches(settings):
    """Every job asks for another model than the one before, and the cache keeps one."""
    count = max(EARLY + len(MODELS), settings.count(SWITCHES))
    with running("--set", "cache_megabytes=0") as server:
        worker, sizes = server.workers()[0], []
        source = server.finished(server.submit(SMALL))["pictures"][0]["id"]
        for i in range(count):
            model = MODELS[i % len(MODELS)]
            request = {"steps": 1, "size": "64x64", "seed": i}
            request |= {"image_prompt": source} if model == "variation" else {"prompt": "a red apple"}
            job = server.finished(server.submit(request, model=model))
            assert job["state"] == "done", job
            sizes.append(resident_bytes(worker))
        misses = server.call("GET", "/metrics")[1].decode()
    misses = next(int(line.rsplit(" ", 1)[1]) for line in misses.splitlines() if line.startswith("pangu_model_cache_misses"))
    # The models differ in size: all of them are among the last few.
    early, late = (max(sizes[at - len(MODELS):at]) for at in (EARLY, count))
    faults = [f"the worker grew by {(late - early) // MEBIBYTE} MiB"] if late - early > MOST_GROWTH else []
    if misses < count:
        faults.append(f"only {misses} of {count} jobs read their model anew")
    return Outcome(f"{count} jobs, each of another model than the one before, with a cache that keeps one",
                   f"a worker's memory is {early // MEBIBYTE} MiB after {EARLY} switches and {late // MEBIBYTE} MiB after {count}",
                   {"early_mib": early // MEBIBYTE, "late_mib": late // MEBIBYTE, "most_mib": max(sizes) // MEBIBYTE}, faults)


def oom(_):
    """A worker may not have more memory (rlimit); another is ended as the kernel ends who takes the last of it."""
    faults = []
    with running() as server:
        before = server.finished(server.submit(SMALL))
        worker = server.workers()[0]
        with open(f"/proc/{worker}/statm", encoding="utf-8") as statm:
            virtual = int(statm.read().split()[0]) * resource.getpagesize()
        resource.prlimit(worker, resource.RLIMIT_AS, (virtual + 64 * MEBIBYTE, resource.RLIM_INFINITY))
        large = server.finished(server.submit({**SMALL, "size": "2048x2048", "steps": 1, "count": 2}))
        if large["state"] != "failed":
            faults.append(f"the large job is {large['state']}")
        small = server.finished(server.submit(SMALL))
        if small["state"] != "done" or small["pictures"][0]["id"] != before["pictures"][0]["id"]:
            faults.append(f"the job behind it is {small['state']}: {error_of(small)}")
        same = server.workers() == [worker]
        doomed = server.submit({**SMALL, "steps": 1000, "size": "256x256"})
        for _ in range(2):
            wait_for(lambda: (server.job(doomed)["progress"] or {}).get("step", 0) > 0, 60, "the first step")
            os.kill(server.workers()[0], signal.SIGKILL)
            wait_for(lambda: not server.job(doomed)["progress"], 60, "the server to see it")
        killed = server.finished(doomed)
        if killed["state"] != "failed" or killed["attempts"] != 2:
            faults.append(f"the job whose workers were killed is {killed['state']} after {counted(killed['attempts'], 'attempt')}")
        if server.finished(server.submit(SMALL))["state"] != "done":
            faults.append("no job is drawn afterwards")
    return Outcome("a job asks for more memory than its worker may have (rlimit); a job whose worker is killed each time, as for want of memory",
                   f"it fails with “{error_of(large)[:120]}”, {'the worker goes on' if same else 'a new worker takes over'} and the next job is "
                   f"drawn; the other is drawn again once, then fails with “{error_of(killed)[:140]}”", {"same_worker": same}, faults)
