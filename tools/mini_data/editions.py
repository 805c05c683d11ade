"""The two editions of the dataset: their styles, the sources of their pictures, and the held-out
sets.

Models are scored on the first edition, which never changes by a byte. They are trained on the
second, which has every concept with a name in both languages, in up to five styles. The second
holds out everything that the first holds out, and near copies of it.
"""
from dataclasses import dataclass

from . import captions


@dataclass(frozen=True)
class Style:
    package: str  # key of fetch.PACKAGES
    words: tuple[str, str]  # English, Chinese


FIRST = {"3d": Style("fluent3d", captions.STYLES["3d"]),
         "flat": Style("fluentflat", captions.STYLES["flat"]),
         "shaded": Style("noto", captions.STYLES["shaded"])}
SECOND = {**FIRST,
          "shaded": Style("notosvg", captions.STYLES["shaded"]),
          "gradient": Style("fluentmodern", ("gradient icon", "渐变图标")),
          "simple": Style("twemoji", ("simple emoji", "简约表情"))}
# A drawing of the same outlines: held out with either of these, or it would give them away.
SAME_OUTLINES = {"gradient": ("3d", "flat")}
FIRST_PACKAGES = ("emojibase", "fluent3d", "fluentflat", "noto", "cldr")


def is_held_out_concept(concept_id: str) -> bool:
    return captions.number_of(concept_id) % 10_000 < 500


def pair_score(concept_id: str, style: str) -> int:
    """The number that decides about a pair: below 1000 it is held out."""
    return captions.number_of(f"{concept_id}/{style}") % 10_000


def split_of(concept_id: str, styles: list[str]) -> dict[str, str]:
    """Returns style -> split for one concept of the first edition; mini_dataset.py has the
    rule."""
    if is_held_out_concept(concept_id):
        return {style: "heldout_concept" for style in styles}
    scores = {s: pair_score(concept_id, s) for s in styles}
    held = {s for s in styles if scores[s] < 1000}
    if held == set(styles):
        held.discard(max(styles, key=lambda s: (scores[s], s)))
    return {s: "heldout_pair" if s in held else "train" for s in styles}


def split_of_second(concept_id: str, styles: list[str], first_styles: list[str],
                    is_near_held_out: bool) -> dict[str, str]:
    """The same for the second edition, where `first_styles` are those that the first has."""
    if is_near_held_out or is_held_out_concept(concept_id):
        return {style: "heldout_concept" for style in styles}
    splits = split_of(concept_id, first_styles or styles)
    for style in styles:
        if style in SAME_OUTLINES:
            held = any(splits.get(s) == "heldout_pair" for s in SAME_OUTLINES[style])
        else:
            held = style not in splits and pair_score(concept_id, style) < 1000
        if held:
            splits[style] = "heldout_pair"
    return {style: splits.get(style, "train") for style in styles}


def near_held_out(concept_id: str, name: str, held_names: set[str], held_ids: set[str]) -> bool:
    """Whether a concept is a copy of a held-out one: made of its characters, or its whole name
    among the words of this one ("tulip" in "wilted tulip")."""
    parts = concept_id.split("-")
    if any("-".join(parts[i:j]) in held_ids for i in range(len(parts))
           for j in range(i + 1, len(parts) + 1)):
        return True
    return any(f" {held} " in f" {name} " for held in held_names)
