"""A client of the server without a library, for many clients in one process: what they see is what came over the wire."""
import asyncio
import json
import time

FINAL = ("done", "failed", "cancelled")


class Lost(Exception):
    """The connection ended before the answer was whole."""


class Wire:
    def __init__(self, server):
        self.host, self.port = server.host, server.port

    async def _open(self, method, path, body, headers):
        lines = {"Host": f"{self.host}:{self.port}", "Connection": "close", **(headers or {})}
        if body is not None:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(head.encode() + b"\r\n" + (body or b""))
            first = await reader.readline()
            if not first.endswith(b"\n"):
                raise Lost
            while (await reader.readline()).strip():
                pass
            return int(first.split()[1]), reader, writer
        except OSError as lost:
            raise Lost from lost

    async def call(self, method, path, body=None, headers=None):
        """Status and the body, as JSON where it is some; `body` is sent as JSON."""
        status, reader, writer = await self._open(method, path, None if body is None else json.dumps(body).encode(), headers)
        try:
            content = await reader.read()
        except OSError as lost:
            raise Lost from lost
        finally:
            writer.close()
        return status, json.loads(content) if content[:1] in (b"{", b"[") else content

    async def events(self, job_id, last=None):
        """(id, name, data) of a job's events until the stream ends."""
        status, reader, writer = await self._open("GET", f"/v1/jobs/{job_id}/events", None,
                                                  {"Last-Event-ID": last} if last else {})
        try:
            if status != 200:
                raise Lost
            fields = {}
            while line := await reader.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    yield fields["id"], fields["event"], json.loads(fields["data"])
                    fields = {}
        except OSError as lost:
            raise Lost from lost
        finally:
            writer.close()


def order_faults(events):
    """What is wrong with the order of a job's events from its beginning to its end, as sentences."""
    names = [name for _, name, _ in events]
    numbers = [int(event_id.split("-")[1]) for event_id, _, _ in events]
    positions = [data["position"] for _, name, data in events if name == "queued"]
    steps = [data["step"] for _, name, data in events if name == "step"]
    return [what for what, wrong in (
        ("it does not begin with the state", not names or names[0] != "state"),
        ("it does not end with done", not names or names[-1] != "done"),
        ("it is done twice", names.count("done") > 1),
        ("it is begun twice", names.count("started") > 1),
        ("ids fall", numbers != sorted(numbers)),
        ("the position grows", positions != sorted(positions, reverse=True)),
        ("steps fall", steps != sorted(steps)),
        ("a step comes behind the picture", "picture" in names and "step" in names[names.index("picture"):])) if wrong]


class Probe:
    """Sends GETs over one connection, again and again, in a process of its own; seconds of each."""

    def __init__(self, server, paths, pause_s):
        self.address = (server.host, server.port)
        self.paths, self.pause_s = paths, pause_s

    def run(self, stop, told):
        import http.client
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.connect()
        import socket
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = []
        while not stop.is_set():
            for path in self.paths:
                begun = time.perf_counter()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                seconds.append(time.perf_counter() - begun)
                assert answer.status == 200, (path, answer.status)
                time.sleep(self.pause_s)
        told.put(seconds)
