"""The README's own commands, and those of the pages in docs/: every flag in them exists, every file and link that they
name is there. Every `draw` and `coop` of the README and of RUN that needs no file of the user's (--model) is run and
gives a PNG. The flags in the tables of docs/coming-from.md exist too.

Usage: readme_test.py PROGRAM
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1]
RUN = ("README.md", "docs/drawing.md")
LAUNCHER_WORDS = ("test", "build", "package")


def blocks(text: str) -> list[str]:
    """The fenced blocks that hold commands."""
    found, inside, kind = [], None, ""
    for line in text.splitlines():
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside, kind = [], line[3:].strip()
        else:
            if kind in ("", "sh", "bash", "console"):
                found.append("\n".join(inside))
            inside = None
    return found


def commands(text: str) -> list[list[str]]:
    """Words of every line ./pangu-draw ... inside the fenced blocks."""
    found = []
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words.pop(0)
            if words and words[0] == "./pangu-draw":
                found.append(words[1:])
    return found


def run(words, **kwargs):
    environment = {**os.environ, "PANGU_HOME": str(ROOT)}
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=environment,
                          stdin=subprocess.DEVNULL, **kwargs)


def unknown_flags(words: list[str]) -> list[str]:
    command = words[:2] if words[0] in ("control", "data", "study") else words[:1]
    usage = run([*command, "--help"])
    assert usage.returncode == 0, f"no such subcommand: {' '.join(command)}"
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", usage.stdout))
    return [word for word in words if word.startswith("-") and word.split("=")[0] not in known]


def draws_a_picture(words: list[str], folder: str) -> None:
    done = run(words, cwd=folder)
    assert done.returncode == 0, (words, done.stderr)
    for flag in ("--out", "-o"):
        if flag in words:
            name = words[words.index(flag) + 1]
            assert (pathlib.Path(folder) / name).read_bytes().startswith(b"\x89PNG"), name


def missing_files(page: pathlib.Path, text: str) -> list[str]:
    links = re.findall(r"\]\(([^)#]+)", text)
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


def unknown_flags_of_tables(text: str) -> set[str]:
    known = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", run(["draw", "--help"]).stdout + run(["train", "--help"]).stdout))
    return {flag for flag in re.findall(r"`(--[a-z][\w-]*)", text) if flag not in known}


def main() -> int:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = {str(page.relative_to(ROOT)): commands(page.read_text()) for page in pages}
    readme = found["README.md"]
    assert any(words[0] == "draw" and "--model" not in words for words in readme), "the README draws nothing"
    assert ["test"] in readme, "the README does not say ./pangu-draw test"
    wrong = []
    for page in pages:
        name = str(page.relative_to(ROOT))
        wrong += [f"{name}: {' '.join(words)}: no such flag: {' '.join(unknown_flags(words))}"
                  for words in found[name] if words and words[0] not in LAUNCHER_WORDS and unknown_flags(words)]
        wrong += [f"{name}: no such file: {link}" for link in missing_files(page, page.read_text())]
    wrong += [f"docs/coming-from.md: no such flag: {flag}"
              for flag in unknown_flags_of_tables((ROOT / "docs/coming-from.md").read_text())]
    print("\n".join(wrong) or f"{sum(map(len, found.values()))} commands, every flag exists")
    if wrong:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for name in ("examples", "models"):
            (pathlib.Path(folder) / name).symlink_to(ROOT / name)
        for words in [words for page in RUN for words in found[page]]:
            if words[0] in ("draw", "coop") and "--model" not in words:
                draws_a_picture(words, folder)
                print("ran: ./pangu-draw " + shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
