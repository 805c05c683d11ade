"""Requests that schemathesis makes out of docs/openapi.json get answers that it describes.

Usage: openapi_test.py PROGRAM
"""

import pathlib
import signal
import subprocess
import sys
import tempfile

from program import ROOT, reference_imports

with reference_imports():
    import schemathesis  # noqa: F401

from served import Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder) / "data")
        try:
            # Streams of events do not end while their job waits.
            done = subprocess.run([pathlib.Path(sys.executable).parent / "schemathesis", "run",
                                   str(ROOT / "docs/openapi.json"), "--url", f"http://{server.host}:{server.port}",
                                   "--seed", "1", "--max-examples", "10", "--checks", CHECKS,
                                   "--exclude-path-regex", "events"], cwd=folder, capture_output=True, text=True)
        finally:
            server.end(signal.SIGKILL)
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
