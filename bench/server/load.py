"""Many clients at once: nothing is lost or drawn twice, events come in order, answers are quick, memory does not grow."""
import asyncio
import multiprocessing
import os
import statistics
import time

from records import resident_bytes
from rows import MEBIBYTE, SMALL, Outcome, Skipped, running
from wire import Probe, Wire, order_faults

CLIENTS, JOBS, LATENCY_JOBS = 200, 2000, 600
PROBE_PAUSE_S = 0.02
MOST_GET_MS = 20
MOST_GROWTH = 32 * MEBIBYTE  # of a process from a quarter of the jobs to all: allocators keep some


async def client(wire, number, count, seen):
    for i in range(count):
        request = {**SMALL, "seed": number * count + i}
        status, job = await wire.call("POST", "/v1/jobs", {"request": request, "preview_every": 0},
                                      {"Idempotency-Key": f"{number}-{i}"})
        assert status == 202, (status, job)
        seen[job["id"]] = [event async for event in wire.events(job["id"])]


async def watched_memory(pids, samples):
    while True:
        samples.append({name: resident_bytes(pid) for name, pid in pids.items()})
        await asyncio.sleep(0.5)


async def drive(server, clients, each, pids):
    seen, samples = {}, []
    watcher = asyncio.create_task(watched_memory(pids, samples))
    wire = Wire(server)
    try:
        await asyncio.gather(*(client(wire, number, each, seen) for number in range(clients)))
    finally:
        watcher.cancel()
    return seen, samples


def listed(server):
    jobs, before = [], ""
    while True:
        page = server.call("GET", f"/v1/jobs?limit=200{before}")[1]
        jobs += page["jobs"]
        if not page["next"]:
            return jobs
        before = f"&before={page['next']}"


def probed(server, work):
    """What `work` returns, and the seconds of every GET that was sent meanwhile."""
    first = server.finished(server.submit({**SMALL, "seed": 1}))["id"]
    paths = (f"/v1/jobs/{first}", "/v1/queue", "/v1/jobs?limit=20", "/healthz")
    context = multiprocessing.get_context("fork")
    stop, told = context.Event(), context.Queue()
    probe = context.Process(target=Probe(server, paths, PROBE_PAUSE_S).run, args=(stop, told))
    probe.start()
    try:
        result = work()
    finally:
        stop.set()
    return result, told.get(timeout=60)


def load(settings):
    return loaded(settings.count(JOBS))


def latency(settings):
    """The same for half a minute before all other programs of the machine, whose turns would be in the figures."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # the server inherits it
    except PermissionError as refused:
        raise Skipped("real-time priority wants root") from refused
    try:
        outcome = loaded(settings.count(LATENCY_JOBS))
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    p99_ms = outcome.facts["get_ms_p99"]
    faults = [f"GET at the 99th percentile: {p99_ms} ms, above {MOST_GET_MS} ms"] if p99_ms > MOST_GET_MS else []
    return Outcome(f"the same with {outcome.facts['jobs']:,} jobs, and the server, its worker and the clients before all other "
                   "programs (`SCHED_FIFO`)",
                   f"`GET` while pictures are drawn ({outcome.facts['gets']:,} of them): median {outcome.facts['get_ms_median']} ms, "
                   f"99th percentile {p99_ms} ms, longest {outcome.facts['get_ms_most']} ms", outcome.facts, faults + outcome.faults)


def loaded(jobs_in_all):
    each = max(1, jobs_in_all // CLIENTS)
    total = CLIENTS * each
    with running() as server:
        pids = {"front": server.process.pid, "worker": server.workers()[0]}
        begun = time.monotonic()
        (seen, samples), gets = probed(server, lambda: asyncio.run(drive(server, CLIENTS, each, pids)))
        wall_s = time.monotonic() - begun
        jobs = [job for job in listed(server) if job["id"] in seen]
    faults = [f"job {job_id}: {fault}" for job_id, events in seen.items() for fault in order_faults(events)]
    drawn = [job for job in jobs if job["state"] == "done" and job["attempts"] == 1 and len(job["pictures"]) == 1]
    if len(seen) != total or len(drawn) != total:
        faults.append(f"{total} jobs were sent, {len(seen)} answered, {len(drawn)} drawn once")
    gets_ms = sorted(1000 * s for s in gets)
    p99_ms = gets_ms[int(0.99 * (len(gets_ms) - 1))]
    quarter = samples[len(samples) // 4]
    memory = {name: (quarter[name] // MEBIBYTE, samples[-1][name] // MEBIBYTE) for name in pids}
    faults += [f"the {name} grew from {early} to {late} MiB" for name, (early, late) in memory.items()
               if (late - early) * MEBIBYTE > MOST_GROWTH]
    events = sum(map(len, seen.values()))
    facts = {"clients": CLIENTS, "jobs": total, "seconds": round(wall_s, 1), "events": events, "gets": len(gets),
             "get_ms_median": round(statistics.median(gets_ms), 2), "get_ms_p99": round(p99_ms, 2),
             "get_ms_most": round(gets_ms[-1], 2), "memory_mib": memory}
    return Outcome(
        f"{CLIENTS} clients at once send {total:,} jobs (128 px, 4 steps) and follow the events of each",
        f"{len(drawn):,} drawn once, none lost, in {wall_s:.0f} s; {events:,} events, "
        f"{'all in order' if not any('job j' in fault for fault in faults) else 'not in order'}; "
        f"`GET` meanwhile ({len(gets):,} of them): median {facts['get_ms_median']} ms, 99th percentile "
        f"{facts['get_ms_p99']} ms, longest {facts['get_ms_most']} ms; memory from a quarter of the jobs to all: "
        + ", ".join(f"{name} {early} to {late} MiB" for name, (early, late) in memory.items()), facts, faults)
