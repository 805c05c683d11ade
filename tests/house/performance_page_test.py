"""docs/performance.md is what tools/performance_page.py writes of the results in bench/results/."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    made = subprocess.run([sys.executable, str(ROOT / "tools/performance_page.py")], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    if made.stdout != page:
        print("docs/performance.md: expected what tools/performance_page.py prints, found another text.\n"
              "Hint: tools/performance_page.py > docs/performance.md")
        return 1
    print("docs/performance.md is as generated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
