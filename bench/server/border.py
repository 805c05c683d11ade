"""What comes over the wire and means ill: slow and broken senders, malformed requests, names that are paths."""
import ctypes
import json
import os
import pathlib
import random
import socket
import struct
import tempfile
import time
from urllib.parse import quote

from records import resident_bytes
from rows import MEBIBYTE, SMALL, Outcome, running

SLOW, HALVES, MALFORMED = 400, 1000, 10_000
RECEIVE_S = 5
MOST_GROWTH = 16 * MEBIBYTE


def connected(server, timeout=20):
    return socket.create_connection((server.host, server.port), timeout=timeout)


def head(server, method, path, more=""):
    return f"{method} {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n{more}".encode()


def answer_of(connection):
    """All that comes until the other end closes."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return b"".join(pieces)


def still_draws(server):
    return server.finished(server.submit(SMALL))["state"] == "done"


def slow(settings):
    """Slow-loris: more connections than the server takes send a byte now and then."""
    count, faults, waits = settings.count(SLOW), [], []
    with running("--set", f"receive_seconds={RECEIVE_S}") as server:
        begin = resident_bytes(server.process.pid)
        many = []
        for i in range(count):
            try:
                many.append(connected(server))
                many[-1].sendall(b"G" if i % 2 else head(server, "POST", "/v1/jobs", "Content-Type: application/json\r\n"
                                                         "Content-Length: 500\r\n\r\n{"))
            except OSError:
                pass
        end = time.monotonic() + 3 * RECEIVE_S
        while time.monotonic() < end:
            for connection in many:
                try:
                    connection.send(b" ")
                except OSError:
                    pass
            begun = time.monotonic()
            while True:
                try:
                    assert server.call("GET", "/healthz")[0] == 200
                    break
                except OSError:
                    time.sleep(0.05)
            waits.append(time.monotonic() - begun)
            time.sleep(0.2)
        for connection in many:
            connection.close()
        if not still_draws(server):
            faults.append("no job is drawn afterwards")
        grown = resident_bytes(server.process.pid) - begin
    if max(waits) > 1:
        faults.append(f"others wait {max(waits):.1f} s for an answer")
    if grown > MOST_GROWTH:
        faults.append(f"the front grew by {grown // MEBIBYTE} MiB")
    return Outcome(f"slow-loris: {count} connections, more than the server takes, send a byte now and then for {3 * RECEIVE_S} s",
                   f"others are answered within {1000 * max(waits):.0f} ms meanwhile", {"longest_wait_s": round(max(waits), 3)},
                   faults)


def halves(settings):
    """Requests that end, or are reset, in the middle of their body."""
    count, faults = settings.count(HALVES), []
    with running() as server:
        begin = resident_bytes(server.process.pid)
        chance = random.Random(settings.random_seed)
        for i in range(count):
            with connected(server) as connection:
                kind, size = (("image/png", "/v1/pictures"), ("application/json", "/v1/jobs"))[i % 2], chance.randrange(10, 100_000)
                connection.sendall(head(server, "POST", kind[1], f"Content-Type: {kind[0]}\r\nContent-Length: {size}\r\n\r\n"))
                connection.sendall(b"{" * chance.randrange(size))
                if i % 3 == 0:  # a reset instead of an end
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if not still_draws(server):
            faults.append("no job is drawn afterwards")
        grown = resident_bytes(server.process.pid) - begin
        jobs = server.call("GET", "/v1/jobs")[1]["jobs"]
    if len(jobs) != 1:
        faults.append(f"{len(jobs) - 1} jobs were made of half a body")
    if grown > MOST_GROWTH:
        faults.append(f"the front grew by {grown // MEBIBYTE} MiB")
    return Outcome(f"{count:,} requests end or are reset in the middle of their body",
                   "none becomes a job, nothing is kept of them, and the next job is drawn", {"grown": grown}, faults)


def good_requests(server):
    job = json.dumps({"request": SMALL, "preview_every": 2}).encode()
    form = (b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; '
            b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--b--\r\n')
    json_type = "Content-Type: application/json\r\n"

    def posted(path, body, type_line=json_type):
        return head(server, "POST", path, type_line + f"Content-Length: {len(body)}\r\n\r\n") + body
    return [posted("/v1/jobs", job), posted("/v1/images/generations", b'{"prompt": "x", "n": 2, "size": "64x64"}'),
            posted("/v1/images/edits", form, "Content-Type: multipart/form-data; boundary=b\r\n"),
            posted("/sdapi/v1/txt2img", b'{"prompt": "x", "steps": 3, "override_settings": {"a": 1}}'),
            posted("/v1/pictures", b"\x89PNG\r\n\x1a\n" + bytes(40), "Content-Type: image/png\r\n"),
            head(server, "GET", "/v1/jobs?state=done&limit=3&before=j12", "\r\n"),
            head(server, "GET", "/v1/jobs/j1/events", "Last-Event-ID: 3-77\r\n\r\n")]


def broken(request, chance):
    """A good request with a few bytes changed, cut, doubled or put in."""
    data = bytearray(request)
    for _ in range(chance.randrange(1, 5)):
        at, kind = chance.randrange(len(data)), chance.randrange(4)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at:at + chance.randrange(1, 30)]
        elif kind == 2:
            data[at:at] = data[at:at + chance.randrange(1, 60)]
        else:
            data[at:at] = chance.choice((b"\0", b"\r\n\r\n", b"%00", b"\xff\xfe", b"[" * 50, b"-1", b"9" * 30, b'"', b"NaN"))
        if not data:
            data = bytearray(b"\r\n")
    return bytes(data)


def malformed(settings):
    count, faults, statuses = settings.count(MALFORMED), [], {}
    chance = random.Random(settings.random_seed)
    with running("--set", "receive_seconds=1") as server:
        good = good_requests(server)
        workers, begin = server.workers(), 0
        for i in range(count):
            if i == count // 10:
                begin = resident_bytes(server.process.pid)
            request = broken(chance.choice(good), chance)
            with connected(server) as connection:
                try:
                    connection.sendall(request)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                answer = answer_of(connection)
            status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed"
            statuses[status] = statuses.get(status, 0) + 1
            if status.startswith("5") and status != "503":
                faults.append(f"{status} for {request[:200]!r}")
        grown = resident_bytes(server.process.pid) - begin
        if server.process.poll() is not None or server.workers() != workers:
            faults.append("a process ended")
        for job in server.call("GET", "/v1/jobs?state=queued,running&limit=200")[1]["jobs"]:
            server.call("POST", f"/v1/jobs/{job['id']}/cancel")
        if not still_draws(server):
            faults.append("no job is drawn afterwards")
    if grown > MOST_GROWTH:
        faults.append(f"the front grew by {grown // MEBIBYTE} MiB")
    told = ", ".join(f"{statuses[status]:,} {'closed without an answer' if status == 'closed' else status}"
                     for status in sorted(statuses))
    return Outcome(f"{count:,} requests of every route with bytes changed, cut, doubled or put in",
                   f"no answer above 499, no process ends: {told}", {"statuses": statuses, "grown": grown}, faults)


IN_OPEN, IN_ACCESS, IN_NONBLOCK = 0x20, 0x1, 0o4000


class OpenedFiles:
    """Tells whether anything of a folder was opened (inotify)."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self.file = libc.inotify_init1(IN_NONBLOCK)
        if self.file < 0 or libc.inotify_add_watch(self.file, str(folder).encode(), IN_OPEN | IN_ACCESS) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def any(self):
        try:
            return bool(os.read(self.file, 65536))
        except BlockingIOError:
            return False


def traversal(_):
    """Names that are paths to a file outside of all folders, in every field that is a name."""
    faults, tried = [], 0
    with tempfile.TemporaryDirectory() as outside, running() as server:
        secret = pathlib.Path(outside) / "secret.safetensors"
        secret.write_bytes(b"the-secret")
        opened = OpenedFiles(outside)
        up = "/".join([".."] * 12)
        stem = str(secret.with_suffix(""))
        names = [str(secret), stem, up + str(secret), up + stem, "mini/" + up + str(secret), "..\\" * 12 + str(secret)[1:],
                 up.replace("/", "%2f") + str(secret).replace("/", "%2F"), "file://" + str(secret), str(secret) + "\0.safetensors",
                 "~root/" + up + str(secret), ".", "..", "../mini", "/", "a" * 5000]
        bodies = []
        for name in names:
            request = {"prompt": "x", "size": "64x64", "steps": 1}
            bodies += [("/v1/jobs", {"request": request, "model": name}),
                       ("/v1/jobs", {"request": {**request, "prompt": f"x <lora:{name}:1>"}}),
                       ("/v1/jobs", {"recipe": {"prompt": "x", "member": [{"model": name, "hub": True}]}}),
                       ("/v1/jobs", {"recipe": {"prompt": "x", "bridges": name, "member": []}}),
                       ("/v1/images/generations", {"prompt": "x", "model": name}),
                       ("/sdapi/v1/options", {"sd_model_checkpoint": name}),
                       ("/sdapi/v1/txt2img", {"prompt": f"x <lora:{name}:1>"}),
                       ("/sdapi/v1/txt2img", {"prompt": "x", "override_settings": {"sd_model_checkpoint": name}}),
                       ("/sdapi/v1/img2img", {"prompt": "x", "init_images": [name]}),
                       ("/sdapi/v1/png-info", {"image": name})]
            bodies += [("/v1/jobs", {"request": request, "load": {kind: name}}) for kind in
                       ("lora", "controlnet", "embedding", "text_encoder", "vae", "unet", "upscaler", "refiner")]
            bodies += [("/v1/jobs", {"request": {**request, field: name}})
                       for field in ("init_image", "mask_image", "image_prompt", "control_image")]
            bodies.append(("/v1/jobs", {"request": {**request, "controls": [{"image": name}]}}))
        for path, body in bodies:
            status, answer = server.call("POST", path, body)
            tried += 1
            if not 400 <= status < 500:
                faults.append(f"POST {path} {str(body)[:120]}: {status} {str(answer)[:120]}")
            if "the-secret" in str(answer):
                faults.append(f"POST {path} {str(body)[:120]} gives the file away")
        for name in names:
            for path in ("/v1/jobs/{}", "/v1/jobs/{}/events", "/v1/pictures/{}", "/v1/pictures/{}/settings", "/v1/models/{}", "/{}"):
                for written in (quote(name, safe=""), quote(name)):
                    status, answer = server.call("GET", path.format(written))
                    tried += 1
                    is_page = path == "/{}" and name in (".", "/", "..")
                    if not (400 <= status < 500 or is_page) or b"the-secret" in (answer if isinstance(answer, bytes) else b""):
                        faults.append(f"GET {path.format(written)[:120]}: {status}")
        if opened.any():
            faults.append("the file, or its folder, was opened")
        if not still_draws(server):
            faults.append("no job is drawn afterwards")
    return Outcome("paths to a file of another folder in every field that is a name, and in every route",
                   f"{tried:,} requests refused with 4xx, the file was never opened (inotify)", {"requests": tried}, faults)
