"""What every row of the bench is: a function of Settings that tries one promise of the server and tells what it found."""
import contextlib
import dataclasses
import pathlib
import tempfile

from served import Server

SMALL = {"prompt": "a red apple", "seed": 7, "steps": 4, "size": "128x128"}
MEBIBYTE = 1 << 20


@dataclasses.dataclass
class Settings:
    scale: float = 1.0  # of the counts
    random_seed: int = 1

    def count(self, full):
        return max(1, round(full * self.scale))


@dataclasses.dataclass
class Outcome:
    what: str  # was done
    found: str
    facts: dict
    faults: list[str]  # broken promises


class Skipped(Exception):
    """This machine lacks what the row needs."""


@contextlib.contextmanager
def running(*flags, folder=None, **options):
    """A server in a folder of its own (or in `folder`), which is killed in the end."""
    with contextlib.ExitStack() as stack:
        where = folder or stack.enter_context(tempfile.TemporaryDirectory())
        server = Server(pathlib.Path(where) / "data", *flags, **options)
        stack.callback(lambda: server.process.poll() is not None or server.end(9))
        yield server


def error_of(job):
    return (job.get("error") or {}).get("message", "")


def counted(number, noun):
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
