"""The figures in documents that benches measure are what they write of the records in bench/results/: load and faults in
docs/server.md, memory and sharing of trainings in docs/training.md.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# document: the benches that write a section of it
WRITERS = {"docs/server.md": ["bench/server"],
           "docs/training.md": [f"bench/train_{name}.py" for name in ("memory", "dist", "hosts", "zero")]}


def main() -> int:
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for part in ("bench", "tests/e2e", *WRITERS):
            (pathlib.Path(folder) / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, pathlib.Path(folder) / part)
        for document, benches in WRITERS.items():
            for bench in benches:
                made = subprocess.run([sys.executable, "-B", f"{folder}/{bench}", "--page"], capture_output=True, text=True)
                assert made.returncode == 0, made.stderr
                if (pathlib.Path(folder) / document).read_text(encoding="utf-8") != (ROOT / document).read_text(encoding="utf-8"):
                    wrong.append(f"{document}: the figures are not those of bench/results. Hint: python3 {bench} --page")
                    break
    print("\n".join(wrong) or f"{', '.join(WRITERS)} have the figures of bench/results")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
