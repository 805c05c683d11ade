"""Chooses the concepts of the dataset: things that a person can name from a picture.

Whole groups of emojibase are taken, and the exceptions listed here (signs, letters, near copies,
clocks beyond one, moon phases) are dropped; people and plain shapes are taken only by name, one
neutral form each. Nothing here looks at a picture.

That is the first edition. The second takes everything that has a name in both languages, except
letters of flags and skin tones, which are no pictures of their own.
"""
from dataclasses import dataclass

WHOLE_GROUPS = {"smileys-emotion", "animals-nature", "food-drink", "travel-places", "activities",
                "objects"}

LEFT_OUT = set("""
1f636-200d-1f32b 1faea 1f642-200d-2194 1f642-200d-2195 1fae9 1f4af 1f4a2 1faef 1f4ab 1f4a8
1f441-200d-1f5e8 1f5e8 1f5ef 1f4a4 2763 1f49f 1f4ae 1f3e3 1f3e9 2668 1f687 1f312 1f313 1f314 1f316
1f317 1f318 1f31c 1f325 1f504 2660 2665 2666 2663 1f507 1f508 1f509 1f515 1f4f2 1faab 1f50e 1f4b9
1f4e7 1f4e8 1f4e9 1f4ea 1f4ec 1f4ed 1f4c6 1f5d3 1f5c2 1f587 1f50f 1f6d7 1f4c3 1f31a 1f6d8 1facd
1fa8a 1fa8e 26d3-200d-1f4a5 1f55b 1f567 1f550 1f55c 1f551 1f55d 1f55e 1f553 1f55f 1f554 1f560
1f555 1f561 1f556 1f562 1f557 1f563 1f558 1f564 1f559 1f565 1f55a 1f566 1f561 1f4d4 1f4d2 1f4d1
1f4c7 1f5c3 1f4df 1f4bd 1f5b2 1f39a 1f39b 1f4b4 1f4b6 1f4b7 1f696 1f698 1f694 1f68d 1f69f 1f6a1
1f69e 1f688 1f684 1f69d 1f68a 1f306 1f301 1f38d 1f38b 1f391 1f3b4 1f3f5 1f397 1f39f 2692 1f5dc
1f9ff 1faac 26b1 1f4ff 1f6a5 1f4e4 1f4e5 1f5f3 1f3d8 1f6e5 1f30e 1f30f 1f5fe 23f3 1f510 1f5d2
1f324 1f329 2603 1f396 1fad7 1f9c9 1fad4 1f358 1f4c2 1f4f8 1f9ae 1f415-200d-1f9ba 1f517
""".split())

# People, hands, parts of the body: one neutral picture each, the ones with a plain name.
PEOPLE = set("""
1f44b 1f44c 270c 1f91e 1f918 261d 1f44d 1f44e 270a 1f44f 1faf6 1f450 1f91d 1f64f 270d 1f485 1f4aa
1f9be 1f9bf 1f9b5 1f9b6 1f442 1f443 1f9e0 1fac0 1fac1 1f9b7 1f9b4 1f440 1f441 1f445 1f444
1f476 1f466 1f467 1f474 1f475 1f47c 1f385 1f936 1f9d9 1f9da 1f9db 1f9dc-200d-2640 1f9de 1f9df 1f9cc
1f977 1f934 1f478 1f46e 1f482 1f477 1f9d1-200d-1f680 1f9d1-200d-1f692 1f9d1-200d-1f373
1f9d1-200d-1f33e 1f9d1-200d-1f3a8 1f9d1-200d-1f52c 1f575 1f483 1f57a 1f93a 1f3c7 26f7 1f3c2 1f3c4
1f3ca 1f6b4 1f3cb 1f938 1f939 1f9d8 1f6c0 1f9d7 1f463 1fac6
""".split())

SHAPES = set("""
1f534 1f7e0 1f7e1 1f7e2 1f535 1f7e3 1f7e4 26ab 26aa 1f7e5 1f7e7 1f7e8 1f7e9 1f7e6 1f7ea 1f7eb
""".split())


@dataclass(frozen=True)
class Concept:
    concept_id: str
    order: int
    group: str
    subgroup: str
    label_en: str
    label_zh: str
    tags_en: tuple[str, ...]
    tags_zh: tuple[str, ...]
    hexcode: str  # emojibase's


def is_chosen(group: str, concept_id: str) -> bool:
    if concept_id in LEFT_OUT:
        return False
    return group in WHOLE_GROUPS or concept_id in PEOPLE or concept_id in SHAPES


def choose(english: list[dict], chinese: list[dict], messages: dict, id_of,
           every: bool = False) -> list[Concept]:
    """Returns the chosen concepts in emojibase's order, or every concept; `id_of` turns a hexcode
    into a concept id."""
    groups = {g["order"]: g["key"] for g in messages["groups"]}
    subgroups = {s["order"]: s["key"] for s in messages["subgroups"]}
    by_hexcode = {entry["hexcode"]: entry for entry in chinese}
    chosen = []
    for entry in english:
        other = by_hexcode.get(entry["hexcode"])
        if "group" not in entry or other is None:
            continue
        concept_id, group = id_of(entry["hexcode"]), groups[entry["group"]]
        if is_chosen(group, concept_id) or (every and group != "component"):
            is_shape = concept_id in SHAPES if every else group == "symbols"
            chosen.append(Concept(
                concept_id, entry["order"], "shapes" if is_shape else group,
                subgroups[entry["subgroup"]], entry["label"], other["label"],
                tuple(entry.get("tags", [])), tuple(other.get("tags", [])),
                entry["hexcode"]))
    return sorted(chosen, key=lambda c: c.order)
