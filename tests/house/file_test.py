"""Every source file: a comment at its beginning (or its own header, which has one), at most 600 lines, no address of one machine.

Files over 400 lines are listed (a reason to look, no failure).
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASK_WHY, MOST = 400, 600
BEGINNINGS = {".h": ("//",), ".cpp": ("//",), ".py": ('"""', "#"), ".sh": ("#",), ".cmake": ("#",), ".ts": ("//",),
              ".tsx": ("//",), ".mjs": ("//",), ".css": ("/*",)}
# A home or working folder of whoever wrote the file.
MACHINE = re.compile(r"(?<![\w.$}/])/(work|root|home/\w+|Users/\w+)/")


def complaints(path: pathlib.PurePath, text: str) -> list[str]:
    lines = text.splitlines()
    found = []
    begins = BEGINNINGS.get(path.suffix)
    folder = "/".join(path.parent.parts[1:])  # below src/
    own_header = f'#include "{folder}/{path.stem.removesuffix("_test")}.h"'
    if begins and lines and not lines[0].startswith(begins) and lines[0] != own_header:
        found.append(f"{path}:1: begins without a comment that says what the file is")
    if begins and len(lines) > MOST:
        found.append(f"{path}: {len(lines)} lines, at most {MOST}")
    for number, line in enumerate(lines, 1):
        if MACHINE.search(line):
            found.append(f"{path}:{number}: names a folder of one machine")
        if path.suffix in (".h", ".cpp") and re.search(r"\b(TODO|FIXME|XXX)\b", line):
            found.append(f"{path}:{number}: unfinished business")
    return found


def tracked_files() -> list[pathlib.Path]:
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if known.returncode == 0:
        return [ROOT / name for name in known.stdout.splitlines()]
    kinds = ("src", "tests", "tools", "bench", "cmake", "docs", "configs")
    return [path for kind in kinds for path in (ROOT / kind).rglob("*")]


def check_the_checker() -> None:
    path = pathlib.PurePath("a.cpp")
    assert complaints(path, "#include <a>\n")
    assert not complaints(pathlib.PurePath("src/io/a_test.cpp"), '#include "io/a.h"\n')
    assert not complaints(pathlib.PurePath("src/io/ldm/a.cpp"), '#include "io/ldm/a.h"\n')
    assert complaints(path, "// what\n" + "x\n" * MOST)
    assert complaints(path, '// what\nf("/ho' + 'me/ann/x");\n')
    assert not complaints(path, '// what\nf("out/home/x");\n')


def main() -> int:
    check_the_checker()
    text_kinds = set(BEGINNINGS) | {".md", ".toml", ".txt", ".json", ""}
    wrong, count = [], 0
    for path in tracked_files():
        if path.suffix not in text_kinds or not path.is_file() or "models" in path.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        count += 1
        wrong += complaints(path.relative_to(ROOT), text)
        if path.suffix in BEGINNINGS and len(text.splitlines()) > ASK_WHY:
            print(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines (over {ASK_WHY})")
    print("\n".join(wrong) or f"{count} files in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
