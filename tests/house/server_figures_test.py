"""The figures of load and faults in docs/server.md are what bench/server writes of the results in bench/results/."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    page = ROOT / "docs/server.md"
    with tempfile.TemporaryDirectory() as folder:
        for part in ("bench/server", "bench/results", "docs/server.md", "tests/e2e"):
            (pathlib.Path(folder) / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, pathlib.Path(folder) / part)
        made = subprocess.run([sys.executable, f"{folder}/bench/server", "--page"], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        if (pathlib.Path(folder) / "docs/server.md").read_text(encoding="utf-8") != page.read_text(encoding="utf-8"):
            print("docs/server.md: the figures are not those of bench/results. Hint: python3 bench/server --page")
            return 1
    print("docs/server.md has the figures of bench/results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
