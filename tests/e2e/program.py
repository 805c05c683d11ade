"""What the scripts of this folder share: the program under test, and how a script is skipped that needs diffusers.

Importing it takes the program's path, the first argument, off the command line.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
SKIPPED = 77
BARE = {"PATH": "/usr/bin:/bin"}  # nothing of the user's


def run(*arguments, environment=BARE, **options):
    """The program with these arguments; what it wrote is text unless `options` say otherwise."""
    return subprocess.run([PROGRAM, *map(str, arguments)], env={"PANGU_HOME": str(ROOT), **environment},
                          **{"capture_output": True, "text": True, "check": False, **options})


def run_as_user(*arguments, **options):
    """The same in the environment of this script, as the tests that compare with diffusers set it."""
    return run(*arguments, environment={**os.environ, "PANGU_HOME": str(ROOT)}, **options)


def multiplies_by_library():
    """Whether libtorch computes bf16 products here, whose order depends on the number of rows (docs/architecture.md)."""
    return "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text() and "PANGU_KERNELS" not in os.environ


@contextlib.contextmanager
def reference_imports(*folders):
    """Around the imports of libraries that not every Python has, and of modules in these folders of the repository:
    the script is skipped if there is none."""
    sys.path[:0] = [str(ROOT / folder) for folder in folders]
    try:
        yield
    except ImportError as missing:
        print(f"SKIPPED: {sys.executable} has no {missing.name}")
        sys.exit(SKIPPED)
