"""Reads names.txt: names that replace those of the sources, and how a name is used in a sentence.

One line a concept: `id|English|Chinese|use`. An empty field keeps the source's own name. The
sources' Chinese names of faces are often interjections; here they are replaced by what the picture
shows, so that both languages mean the same thing. `use`: `-` no article (a mass or a plural),
`the` for a unique thing, empty for `a` or `an`.
"""
import pathlib


def load() -> dict[str, tuple[str, str, str]]:
    """Returns concept id -> (English or "", Chinese or "", use)."""
    table = {}
    path = pathlib.Path(__file__).with_name("names.txt")
    for line in path.read_text(encoding="utf-8").splitlines():
        concept_id, english, chinese, use = line.split("|")
        if concept_id in table or use not in ("", "-", "the"):
            raise SystemExit(f"names.txt: {concept_id} appears twice or has a wrong use {use!r}")
        table[concept_id] = (english, chinese, use)
    return table
