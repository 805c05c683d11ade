"""No two .cpp files of a torch room have the same name in their anonymous namespaces.

The released program is compiled in units of a dozen files, in which such names would meet. Reads the first line of
every definition at the beginning of a line; what it overlooks, the compiler finds.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Aliases and using-declarations may be repeated.
REPEATABLE = re.compile(r"namespace \w+ =|using (namespace|[\w:]+;|\w+ = )")
TYPE = re.compile(r"(?:struct|class|enum class|enum)\s+(\w+)")
VALUE = re.compile(r"(?:[\w:<>,*& ]+?[\s*&])(\w+)\s*(?:\(|=|\{|\[)")


def anonymous_names(text: str) -> set[str]:
    names, inside = set(), False
    for line in text.splitlines():
        if line == "namespace {":
            inside = True
        elif line == "}  // namespace":
            inside = False
        elif inside and line and line[0] not in " }/#" and not REPEATABLE.match(line):
            found = TYPE.match(line) or VALUE.match(line)
            if found:
                names.add(found[1])
                names.update(re.findall(r", (k[A-Z]\w*) =", line))  # constants that share a line
    return names


def collisions(files: dict[str, str]) -> list[str]:
    """`files`: path relative to src/ -> text."""
    owners = collections.defaultdict(list)
    for path, text in sorted(files.items()):
        for name in anonymous_names(text):
            owners[path.split("/")[0], name].append(f"src/{path}")
    return [f"'{name}' stands in the anonymous namespaces of {', '.join(paths)}: share it, or give it another name"
            for (_, name), paths in sorted(owners.items()) if len(paths) > 1]


def check_the_checker() -> None:
    text = "namespace {\nnamespace fs = std::filesystem;\nusing json = int;\nint f(int a) {\n}\nconstexpr int kA = 1, kB = 2;\n" \
           "struct S {\n};\n}  // namespace\nint g() {}\n"
    assert anonymous_names(text) == {"f", "kA", "kB", "S"}, anonymous_names(text)
    assert collisions({"io/a.cpp": text, "io/ldm/b.cpp": text}) and not collisions({"io/a.cpp": text, "nn/b.cpp": text})


def main() -> int:
    check_the_checker()
    rooms = re.findall(r"^\s*pangu_room\((\w+) TORCH", (ROOT / "CMakeLists.txt").read_text(), re.M)
    assert len(rooms) > 3, rooms
    files = {str(path.relative_to(ROOT / "src")): path.read_text() for room in rooms
             for path in (ROOT / "src" / room).rglob("*.cpp") if not path.name.endswith("_test.cpp")}
    # Kernels are no part of a larger unit (CMakeLists.txt).
    wrong = collisions({name: text for name, text in files.items() if not name.startswith("nn/fused_")})
    print("\n".join(wrong) or f"{len(files)} files, no name twice in a room")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
