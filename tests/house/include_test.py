"""Every #include "room/..." under src/ against the table of rooms.

The rooms and what each may include are the rows `pangu_room(NAME ... DEPS ...)` of CMakeLists.txt;
the table in docs/architecture.md must say the same. The torch-free rooms must not include libtorch.
A room's groups, the folders below it, are those of the architecture's table of groups, one level deep. A row with
`FROM folders` is a library of groups that their own room leaves out; each of these folders has a row of the document.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TORCH = re.compile(r"(torch|ATen|c10|caffe2)/")


def rooms_of_cmake(text: str) -> dict[str, tuple[bool, set[str]]]:
    """Folder below src/ -> (may include libtorch, folders it may include beside itself)."""
    rooms = {}
    for name, rest in re.findall(r"^\s*pangu_room\((\w+)([^)]*)\)", text, re.M):
        words = rest.split()
        deps = set(words[words.index("DEPS") + 1:]) if "DEPS" in words else set()
        folders = words[words.index("FROM") + 1:words.index("DEPS")] if "FROM" in words else [name]
        for folder in folders:
            rooms[folder] = (bool({"TORCH", "TORCH_NN"} & set(words)), deps | set(folders) - {folder})
    return rooms


def room_of(path: str, rooms) -> str | None:
    """The room, or group with a row of its own, that a path relative to src/ lies in."""
    parts = path.split("/")[:-1]
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in rooms:
            return "/".join(parts[:count])
    return None


def rooms_of_document(text: str) -> dict[str, set[str]]:
    """Rows "| `room/` | responsibility | core io |" of the table of rooms."""
    rooms = {}
    for name, may in re.findall(r"^\| `([\w/]+)/` \|[^|]*\|([^|]*)\|\s*$", text, re.M):
        rooms[name] = set(may.replace("-", " ").split())
    return rooms


def groups_of_document(text: str) -> set[str]:
    """Rows "| `room/group/` | what is in it |" of the table of groups."""
    return set(re.findall(r"^\| `(\w+/\w+)/` \|[^|]*\|\s*$", text, re.M))


def groups_of_folders(paths: list[str]) -> set[str]:
    """The folders below the rooms that hold these files; paths are relative to src/."""
    return {"/".join(path.split("/")[1:-1] and path.split("/")[:-1]) for path in paths} - {""}


def wrong_includes(path: str, text: str, rooms) -> list[str]:
    """`path` is relative to src/."""
    room = room_of(path, rooms)
    if room is None:
        return [] if "/" not in path else [f"src/{path}:1: its room is not in CMakeLists.txt"]
    torch, may = rooms[room]
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        quote, name = found.groups()
        here = f"src/{path}:{number}: {room}/ includes {name}"
        if quote == '"':
            other = room_of(name, rooms)
            if other is None:
                wrong.append(f"{here}, which names no room")
            elif other != room and other not in may:
                wrong.append(f"{here}, but may include only: {' '.join(sorted(may)) or 'itself'}")
        elif TORCH.match(name) and not torch:
            wrong.append(f"{here}, but is torch-free")
    return wrong


def check_the_checker() -> None:
    rooms = rooms_of_cmake("pangu_room(core)\n  pangu_room(nn TORCH_NN DEPS core)\npangu_room(io DEPS core)")
    assert rooms == {"core": (False, set()), "nn": (True, {"core"}), "io": (False, {"core"})}, rooms
    apart = rooms_of_cmake("pangu_room(app EXCEPT b DEPS io)\npangu_room(app_b FROM app/b app/c\n  DEPS io app)")
    assert apart == {"app": (False, {"io"}), "app/b": (False, {"io", "app", "app/c"}),
                     "app/c": (False, {"io", "app", "app/b"})}, apart
    assert wrong_includes("app/a.cpp", '#include "app/b/b.h"\n', apart)
    assert not wrong_includes("app/b/b.cpp", '#include "app/c/c.h"\n#include "app/a.h"\n', apart)
    assert wrong_includes("io/a.cpp", '#include "nn/unet/unet.h"\n', rooms)
    assert wrong_includes("io/a.cpp", "#include <torch/torch.h>\n", rooms)
    assert wrong_includes("io/a.cpp", '#include "a.h"\n', rooms)
    assert wrong_includes("new/a.cpp", "", rooms)
    assert not wrong_includes("nn/a.cpp", '#include "core/error.h"\n#include <torch/torch.h>\n', rooms)
    assert groups_of_document("| `io/lora/` | names |\n| `io/` | bytes | core |\n") == {"io/lora"}
    assert groups_of_folders(["main.cpp", "io/a.h", "io/lora/a.h", "io/a/b/c.h"]) == {"io/lora", "io/a/b"}
    assert rooms_of_document("| `io/` | bytes | core |\n| `core/` | x | - |") == {
        "io": {"core"}, "core": set()}


def main() -> int:
    check_the_checker()
    rooms = rooms_of_cmake((ROOT / "CMakeLists.txt").read_text())
    document = (ROOT / "docs/architecture.md").read_text()
    files = {str(path.relative_to(ROOT / "src")): path for path in sorted((ROOT / "src").rglob("*"))
             if path.suffix in (".h", ".cpp")}
    wrong = []
    for name, path in files.items():
        wrong += wrong_includes(name, path.read_text(), rooms)
    found = groups_of_folders(list(files))
    told = groups_of_document(document) | {room for room in rooms if "/" in room}
    wrong += [f"src/{group}/ is not in the table of groups of docs/architecture.md" for group in found - told]
    wrong += [f"docs/architecture.md: src/{group}/ has no files" for group in told - found]
    documented = rooms_of_document(document)
    for name, (_, deps) in rooms.items():
        said = documented.get(name)
        deps = {dep for dep in deps if "/" not in dep}
        if said != deps:
            wrong.append(f"docs/architecture.md: {name}/ may include {sorted(said or [])}, "
                         f"CMakeLists.txt says {sorted(deps)}")
    wrong += [f"docs/architecture.md: {name}/ is no room of CMakeLists.txt"
              for name in documented.keys() - rooms.keys()]
    print("\n".join(wrong) or f"{len(rooms)} rooms, {len(found)} groups, every include is in its row")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
