"""Captions of the second edition: shorter lists than captions.py's, with synonyms.

Six forms a language, five of which say the style (83 % of captions, for a model that sees each form
equally often); a caption that repeats another is left out. Synonyms take the place of the name, keywords never do.
Which synonym, keyword and comma a picture gets is decided by a hash of its id, so the pictures of one concept say
different ones.
"""
import collections
import re

from . import captions

# Subgroups that only the second edition has -> the plain word for their kind; signs have none.
MORE_KINDS = {
    "country-flag": ("flag", "旗帜"), "subdivision-flag": ("flag", "旗帜"), "flag": ("flag", "旗帜"),
    "person-gesture": ("person", "人物"), "family": ("family", "家庭"),
    "zodiac": ("zodiac sign", "星座"), "arrow": ("arrow", "箭头"), "religion": ("religion", "宗教"),
    "math": ("sign", "符号"), "currency": ("money", "钱"), "transport-sign": ("sign", "标志"),
    "warning": ("warning sign", "警告标志"), "keycap": ("key", "按键"), "gender": ("sign", "符号"),
    "av-symbol": ("button", "按钮"), "alphanum": ("button", "按钮")}

# A word that stands for more concepts than this names their kind ("face", "ball"), not one of them.
MOST_CONCEPTS_OF_A_SYNONYM = 3


# A word after one of these says what the thing has or where it is, not what it is.
PREPOSITIONS = {"with", "of", "in", "on", "and", "over", "behind", "from", "to", "at", "&"}


def plain_name_en(label: str) -> str:
    """emojibase's label as a person would say it: "flag: Peru" is "flag of peru"."""
    name = captions.lower_english(label).replace("“", "").replace("”", "")
    kind, colon, rest = name.partition(": ")
    if not colon:
        return name
    if kind in ("flag", "keycap"):
        return f"flag of {rest}" if kind == "flag" else f"keycap {rest}"
    if rest.endswith(("hair", "beard")):
        return f"{kind} with {rest}" if rest.endswith("hair") else f"{kind} with a {rest}"
    return f"bald {kind}" if rest == "bald" else f"{kind}, {rest}"


def plain_name_zh(label: str, subgroup: str) -> str:
    kind, colon, rest = label.replace("：", ": ").partition(": ")
    if not colon:
        return label
    if subgroup in ("country-flag", "subdivision-flag"):
        return f"{rest}国旗"
    if subgroup == "person":
        return f"{rest}{kind}"
    return f"按键{rest}" if subgroup == "keycap" else f"{kind}，{rest}"


def use_of(subgroup: str, use: str) -> str:
    return "-" if subgroup == "zodiac" else use


def names_within(name: str, tags) -> list[str]:
    """Returns the tags that are the last words of an English name: "apple" of "red apple"."""
    words = name.split(" ")
    if set(words) & PREPOSITIONS:
        return []
    ends = {" ".join(words[i:]) for i in range(1, len(words))}
    return [tag for tag in map(captions.lower_english, tags) if tag in ends]


def shortcodes_of(name: str, tags, codes) -> list[str]:
    """Returns the shortcodes ("hot_dog", "hotdog2") that are words of the name or tags, as plain text."""
    known = {w for text in (name, *tags) for w in captions.lower_english(text).split(" ")}
    texts = [code.replace("_", " ") for code in codes]
    return [text for text in texts
            if re.fullmatch(r"[a-z][a-z ]*[a-z]{2}", text) and set(text.split(" ")) <= known]


def names_within_zh(name: str, tags) -> list[str]:
    """Returns the tags that end a Chinese name, or that it begins or ends: "苹果" of "红苹果"."""
    return [tag for tag in tags if re.fullmatch(r"[\u4e00-\u9fff]{2,6}", tag)
            and (name.endswith(tag) or (len(name) > 1 and name in tag and len(tag) <= len(name) + 1))]


def synonyms(candidates: dict[str, list[str]], names: dict[str, str]) -> dict[str, list[str]]:
    """Returns concept id -> at most three synonyms, out of `candidates` by concept id. A synonym must not be the name
    of another concept, name a kind or an activity ("surfing"), or be kept for tests."""
    taken = set(names.values()) | captions.KEPT_FOR_SYNONYM_TESTS
    uses = collections.Counter(w for words in candidates.values() for w in set(words))
    return {cid: [w for w in dict.fromkeys(words)
                  if w not in taken and uses[w] <= MOST_CONCEPTS_OF_A_SYNONYM
                  and not re.fullmatch("[a-z]{3,}ing", w)][:3]
            for cid, words in candidates.items()}


def turned(words: list[str], seed: int) -> list[str]:
    turn = seed % len(words) if words else 0
    return words[turn:] + words[:turn]


def compose(seed: int, style: tuple[str, str], names: tuple[str, str], use: str, measure: str,
            keywords: tuple[list[str], list[str]], synonyms_of: tuple[list[str], list[str]],
            colour: tuple[str, str] | None) -> dict[str, list[str]]:
    """Returns the captions. style, names, keywords, synonyms_of and colour are pairs of English and Chinese; `use` is
    that of names.py."""
    style_en, style_zh = style
    name_en, name_zh = names
    phrase = captions.with_article(name_en, use)
    others = turned(synonyms_of[0], seed) + [name_en, name_en]
    k = captions.rotated(keywords[0], seed) + ["", ""]
    # A synonym has the article of its own sound, but is counted as the name is.
    other = captions.with_article(others[0], use)
    coloured = captions.with_article(f"{colour[0]} {name_en}", use) if colour else other
    joined = captions.joined
    english = [f"a {style_en} of {phrase}",
               f"{others[1]}, {style_en}",
               f"{coloured}, {style_en}",
               joined([f"{style_en} of {other}", k[0]], ", "),
               joined([style_en, name_en, k[0], k[1]], ", "),
               [phrase, coloured, other, joined([name_en, k[0]], ", ")][(seed >> 20) % 4]]
    commas = [",，"[(seed >> (8 + i)) & 1] for i in range(4)]
    others = turned(synonyms_of[1], seed) + [name_zh, name_zh]
    z = captions.rotated(keywords[1], seed) + ["", ""]
    coloured = f"{colour[1]}的{name_zh}" if colour else others[0]
    counted = f"一{measure}{name_zh}" if measure else name_zh
    chinese = [f"{style_zh}的{name_zh}",
               joined([others[1], style_zh], commas[0]),
               joined([coloured, style_zh], commas[1]),
               joined([f"{others[0]}的{style_zh}", z[0]], commas[2]),
               joined([style_zh, counted, z[0], z[1]], commas[3]),
               [name_zh, coloured, counted, joined([name_zh, z[0]], commas[0])][(seed >> 20) % 4]]
    return {"en": captions.unique(english), "zh": captions.unique(chinese)}
