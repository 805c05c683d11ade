"""The table of configuration keys in docs/training.md is what the program prints, and the
files in configs/ use no other key.

Usage: training_keys_test.py PROGRAM [--write]
"""

import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/training.md"
BETWEEN = re.compile(r"(?<=<!-- keys -->\n).*?(?=<!-- end of keys -->)", re.S)


def main() -> int:
    printed = subprocess.run([sys.argv[1], "train", "--keys"], capture_output=True, text=True,
                             check=True).stdout
    page = PAGE.read_text()
    if sys.argv[2:] == ["--write"]:
        PAGE.write_text(BETWEEN.sub(lambda _: printed, page))
        return 0
    known = set(re.findall(r"^\| `(\w+)` \|", printed, re.M))
    assert len(known) > 20, printed
    if BETWEEN.search(page).group() != printed:
        print(f"docs/training.md is not what `train --keys` prints; run: {' '.join(sys.argv)} --write")
        return 1
    wrong = []
    for path in sorted((ROOT / "configs").rglob("*.toml")):
        # Strategies and plans have keys of their own, which their reader checks (e2e_study); what they build on is a
        # training.
        if "study" in path.parts and path.name != "base.toml":
            continue
        unknown = tomllib.loads(path.read_text()).keys() - known
        wrong += [f"{path.relative_to(ROOT)}: no such key: {key}" for key in sorted(unknown)]
    print("\n".join(wrong) or f"{len(known)} keys, as documented")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
