"""`cmake --install` gives a folder that can be moved and needs neither the checkout nor the build.

Usage: install_test.py BUILD_FOLDER. The installed program, in another folder, with another home and an empty
environment, draws the picture that the built one draws, and loads no library out of the checkout.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1])
WORDS = ["draw", "a red apple, 3D render", "--steps", "2", "--seed", "1", "--quiet", "--threads", "1"]


def installed(folder: pathlib.Path) -> pathlib.Path:
    first = folder / "first place"
    done = subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(first)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    moved = folder / "moved"
    shutil.move(first, moved)
    return moved


def foreign_libraries(program: pathlib.Path) -> list[str]:
    """Libraries that the loader takes from neither the installation nor the system."""
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, env={}).stdout
    assert "not found" not in listed, listed
    paths = re.findall(r"=> (/\S+)", listed)
    assert paths, listed
    return [path for path in paths if path.startswith(str(ROOT)) or path.startswith(str(BUILD))]


def pixels(program: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]) -> bytes:
    folder.mkdir()
    done = subprocess.run([program, *WORDS, "--out", "apple.png"], cwd=folder, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data = (folder / "apple.png").read_bytes()
    assert data.startswith(b"\x89PNG"), data[:8]
    return b"".join(re.findall(rb"IDAT(.*?)(?=....(?:IDAT|IEND))", data, re.S))


def main() -> int:
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        program = installed(folder) / "bin/pangu-draw"
        library = program.parents[1] / "lib/libpangu_draw.so"
        assert not foreign_libraries(program) and not foreign_libraries(library), (program, library)
        there = pixels(program, folder / "there", {"HOME": "/nonexistent"})
        here = pixels(BUILD / "pangu-draw", folder / "here", {"HOME": "/nonexistent", "PANGU_HOME": str(ROOT)})
        assert there and there == here, "the installed program draws another picture"
        doctor = subprocess.run([program, "doctor"], env={}, cwd="/", capture_output=True, text=True)
        assert doctor.returncode == 0 and "share/pangu-draw" in doctor.stdout, doctor
    print("the installed program draws what the built one draws, and loads nothing of the checkout")
    return 0


if __name__ == "__main__":
    sys.exit(main())
