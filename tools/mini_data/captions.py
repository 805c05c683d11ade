"""Turns a concept and a style into whole captions in English and Chinese.

Forms with the style in front and behind, without a style, and with up to three keywords; plain and
full-width commas alternate in Chinese. Which keywords and which comma a picture gets is decided by
a hash of its id, so the same inputs always give the same captions.
"""
import hashlib
import re
import xml.etree.ElementTree

STYLES = {"3d": ("3D render", "三维渲染"),
          "flat": ("flat icon", "扁平图标"),
          "shaded": ("shaded emoji", "立体表情")}

# Words that stay out of every caption, so that they can test what the text encoder itself knows.
KEPT_FOR_SYNONYM_TESTS = {"automobile", "automobiles", "小汽车", "轿车"}

# Subgroup of emojibase -> the plain word for its kind, English and Chinese.
KINDS = {
    "face-smiling": ("smiley", "表情"), "face-affection": ("smiley", "表情"),
    "face-tongue": ("smiley", "表情"), "face-hand": ("smiley", "表情"),
    "face-neutral-skeptical": ("smiley", "表情"), "face-sleepy": ("smiley", "表情"),
    "face-unwell": ("smiley", "表情"), "face-hat": ("smiley", "表情"),
    "face-glasses": ("smiley", "表情"), "face-concerned": ("smiley", "表情"),
    "face-negative": ("smiley", "表情"), "face-costume": ("character", "角色"),
    "cat-face": ("cat", "猫"), "monkey-face": ("monkey", "猴子"), "heart": ("heart", "爱心"),
    "emotion": ("", ""), "body-parts": ("body part", "身体部位"),
    "person": ("person", "人物"), "person-role": ("person", "人物"),
    "person-fantasy": ("character", "角色"), "person-activity": ("person", "人物"),
    "person-sport": ("sport", "运动"), "person-resting": ("person", "人物"),
    "person-symbol": ("", ""),
    "animal-mammal": ("animal", "动物"), "animal-bird": ("bird", "鸟类"),
    "animal-amphibian": ("animal", "动物"), "animal-reptile": ("reptile", "爬行动物"),
    "animal-marine": ("sea animal", "海洋动物"), "animal-bug": ("insect", "昆虫"),
    "plant-flower": ("flower", "花"), "plant-other": ("plant", "植物"),
    "food-fruit": ("fruit", "水果"), "food-vegetable": ("vegetable", "蔬菜"),
    "food-prepared": ("food", "食物"), "food-asian": ("asian food", "亚洲美食"),
    "food-sweet": ("dessert", "甜点"), "drink": ("drink", "饮料"),
    "dishware": ("tableware", "餐具"),
    "place-map": ("map", "地图"), "place-geographic": ("landscape", "风景"),
    "place-building": ("building", "建筑"), "place-religious": ("building", "建筑"),
    "place-other": ("place", "地点"), "transport-ground": ("transport", "交通"),
    "transport-water": ("water transport", "水上交通"), "transport-air": ("air transport", "空中交通"),
    "hotel": ("hotel", "酒店"), "time": ("time", "时间"), "sky-weather": ("weather", "天气"),
    "event": ("celebration", "庆祝"), "award-medal": ("award", "奖项"), "sport": ("sport", "运动"),
    "game": ("game", "游戏"), "arts-crafts": ("crafts", "手工艺"),
    "clothing": ("clothing", "服饰"), "sound": ("sound", "声音"), "music": ("music", "音乐"),
    "musical-instrument": ("musical instrument", "乐器"), "phone": ("phone", "电话"),
    "computer": ("computer", "电脑"), "light-video": ("film equipment", "影像设备"),
    "book-paper": ("paper", "纸张"), "money": ("money", "钱"), "mail": ("mail", "邮件"),
    "writing": ("writing", "书写"), "office": ("office", "办公"), "lock": ("lock", "锁"),
    "tool": ("tool", "工具"), "science": ("science", "科学"), "medical": ("medical", "医疗"),
    "household": ("household", "家居"), "other-object": ("object", "物品"),
    "geometric": ("shape", "形状"),
    "hand-fingers-open": ("hand", "手"), "hand-fingers-partial": ("hand", "手"),
    "hand-single-finger": ("hand", "手"), "hand-fingers-closed": ("hand", "手"),
    "hands": ("hands", "双手"), "hand-prop": ("hand", "手"),
}
# The members of a subgroup that are not of its kind.
KIND_OF = {
    "1f9a0": ("microbe", "微生物"), "1f577": ("animal", "动物"), "1f578": ("web", "网"),
    "1f982": ("animal", "动物"), "1f40c": ("animal", "动物"), "1fab1": ("animal", "动物"),
    "1f43e": ("footprints", "足迹"), "1fab6": ("feather", "羽毛"), "1fabd": ("wing", "翅膀"),
    "1f409": ("mythical animal", "神话动物"), "1f432": ("mythical animal", "神话动物"),
    "1f3f5": ("decoration", "装饰"), "1fab9": ("nest", "鸟巢"), "1faba": ("nest", "鸟巢"),
    "1f344": ("mushroom", "蘑菇"), "1f480": ("skull", "骷髅"), "2620": ("skull", "骷髅"),
    "1f4a9": ("smiley", "表情"), "1f921": ("smiley", "表情"), "1f48c": ("letter", "信"),
    "1f608": ("devil", "恶魔"), "1f47f": ("devil", "恶魔"), "1f9f1": ("wall", "墙"),
    "1faa8": ("stone", "石头"), "1fab5": ("wood", "木材"), "1f5fd": ("statue", "雕像"),
    "1f9ed": ("navigation", "导航"), "1f32d": ("food", "食物"), "1f37c": ("bottle", "瓶子"),
    "1f9ca": ("ice", "冰"), "2693": ("ship part", "船具"), "1f321": ("temperature", "温度"),
    "1f302": ("umbrella", "雨伞"), "2602": ("umbrella", "雨伞"), "2614": ("umbrella", "雨伞"),
    "26f1": ("umbrella", "伞"), "1f56f": ("light", "灯光"), "1f4a1": ("light", "灯光"),
    "1f526": ("light", "灯光"), "1f3ee": ("light", "灯光"), "1fa94": ("light", "灯光"),
    "1f525": ("fire", "火"), "2b50": ("star", "星星"), "1f5a8": ("office", "办公"),
    "1f4a3": ("weapon", "武器"), "1f5e1": ("weapon", "武器"), "2694": ("weapon", "武器"),
    "1f6e1": ("armor", "盔甲"), "1f3f9": ("weapon", "武器"), "1f463": ("footprints", "足迹"),
    "1f453": ("eyewear", "眼镜"), "1f576": ("eyewear", "眼镜"), "1f97d": ("eyewear", "眼镜"),
    "1f48d": ("jewelry", "首饰"), "1f48e": ("jewelry", "首饰"), "1f4ff": ("jewelry", "首饰"),
    "1f484": ("makeup", "化妆品"), "1fac6": ("fingerprint", "指纹"), "1f46f": ("person", "人物"),
}
MEASURE_ZH = {  # subgroup -> measure word; what is not here takes 个
    "animal-mammal": "只", "animal-bird": "只", "animal-amphibian": "只", "animal-reptile": "只",
    "animal-marine": "只", "animal-bug": "只", "cat-face": "只", "monkey-face": "只",
    "plant-flower": "朵", "clothing": "件", "face-smiling": "张", "face-affection": "张",
    "face-tongue": "张", "face-hand": "张", "face-neutral-skeptical": "张", "face-sleepy": "张",
    "face-unwell": "张", "face-glasses": "张", "face-concerned": "张",
    "heart": "颗", "place-building": "座", "place-religious": "座",
    "person-role": "位", "country-flag": "面", "subdivision-flag": "面", "flag": "面",
}
MEASURE_ZH_OF = {
    "1f40e": "匹", "1f993": "匹", "1f404": "头", "1f402": "头", "1f403": "头", "1f418": "头",
    "1f416": "头", "1f417": "头", "1f42a": "头", "1f42b": "头", "1facf": "头", "1f40d": "条",
    "1f409": "条", "1f41f": "条", "1f420": "条", "1f421": "条", "1f42c": "条", "1f40b": "条",
    "1f433": "条", "1f988": "条", "1f41b": "条", "1fab1": "条", "1f332": "棵", "1f333": "棵",
    "1f334": "棵", "1f335": "棵", "1f384": "棵", "1f331": "棵", "1f340": "棵", "1f966": "棵",
    "1f341": "片", "1f697": "辆", "1f68c": "辆", "1f695": "辆", "1f691": "辆", "1f692": "辆",
    "1f693": "辆", "1f69a": "辆", "1f69c": "辆", "1f6b2": "辆", "1f3cd": "辆", "1f6f5": "辆",
    "1f699": "辆", "1f6fb": "辆", "1f3ce": "辆", "1f690": "辆", "26f5": "艘", "1f6a2": "艘",
    "1f6a4": "艘", "1f6f3": "艘", "26f4": "艘", "1f6f6": "艘", "2708": "架", "1f6e9": "架",
    "1f681": "架", "1f680": "枚", "1f34c": "根", "1f955": "根", "1f957": "份", "1f355": "块",
    "1f9c0": "块", "1f370": "块", "1f36a": "块", "1f349": "片", "1f35e": "块", "2b50": "颗",
    "1f31f": "颗", "1f353": "颗", "1f451": "顶", "1f452": "顶", "1f3a9": "顶", "1f9e2": "顶",
    "1f393": "顶", "1f45c": "个", "1f392": "个", "1f45b": "个", "1f4d6": "本", "1f4d7": "本",
    "1f4d8": "本", "1f4d9": "本", "1f4d5": "本", "1f511": "把", "1f528": "把", "1fa91": "把",
    "2702": "把", "1f3b8": "把", "1f3bb": "把", "1f52a": "把", "2602": "把", "1f302": "把",
    "1f5dd": "把", "1f944": "把", "270f": "支", "1f58a": "支", "1f58b": "支", "1f56f": "支",
    "1f48d": "枚", "1f48e": "颗", "1f4f1": "部", "1f4f7": "台", "1f4bb": "台", "1f5a5": "台",
    "1f4fa": "台", "1f4fb": "台", "1fabd": "只", "1fab6": "根", "1f43d": "个", "1f578": "张",
    "1f33b": "朵", "1f3f5": "枚", "1f339": "朵", "1f6cf": "张", "1f6aa": "扇",
    "1fa9f": "扇", "2601": "朵", "1f308": "道",
    "1f45d": "个", "1faad": "把", "1f45e": "只", "1f45f": "只", "1f97e": "只", "1f97f": "只",
    "1f460": "只", "1f461": "只", "1f462": "只", "1fa74": "只", "1faae": "把", "1fa96": "顶",
    "26d1": "顶", "1f484": "支", "1f9e3": "条", "1f454": "条", "1f457": "条", "1f9a0": "个",
    "1fab8": "株", "1f41a": "个", "1faa8": "块", "1f9f1": "面", "1fab5": "根", "1f6d6": "间",
    "1f52b": "把", "1fa93": "把", "1f5e1": "把", "1f527": "把", "1fa9b": "把", "1f9f9": "把",
    "1f58d": "支", "1faa5": "支", "1f58c": "支", "1f6e9": "架", "1f682": "个", "1f686": "列",
    "1f685": "列", "1f68b": "辆", "1f68e": "辆", "1f69b": "辆", "1f6fa": "辆", "1f4a3": "枚",
}


def measure_of(concept_id: str, subgroup: str, name_zh: str, use: str) -> str:
    """The measure word of a thing: "一", the measure word and the name say one of it. It is empty
    for things that are not counted so (masses, plurals, unique things) or whose name begins with
    its own 一杯 or 一摞."""
    if use != "" or name_zh.startswith("一"):
        return ""
    if name_zh.endswith("脸"):
        return "张"
    return MEASURE_ZH_OF.get(concept_id, MEASURE_ZH.get(subgroup, "个"))


def number_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def with_article(name: str, use: str) -> str:
    if use == "-":
        return name
    if use == "the":
        return f"the {name}"
    vowel = name[0] in "aeiou" and not name.startswith(("uni", "euro", "one-", "ukulele", "ewe"))
    letter = name.startswith(("x-ray",))
    return f"{'an' if vowel or letter else 'a'} {name}"


def lower_english(name: str) -> str:
    name = name.replace("’", "'").replace("ñ", "n")
    return name.lower()


def read_cldr(data: bytes) -> dict[str, tuple[str, ...]]:
    """Returns the keywords by character sequence (without FE0F), from an annotations XML of
    CLDR."""
    keywords = {}
    for node in xml.etree.ElementTree.fromstring(data).iter("annotation"):
        if node.get("type") is None and node.text:
            key = node.get("cp").replace("\ufe0f", "")
            keywords[key] = tuple(word.strip() for word in node.text.split("|"))
    return keywords


def keywords_en(name: str, kind: str, words) -> list[str]:
    """Returns at most five keywords, none of which repeats a word of the name."""
    seen = set(re.findall(r"[a-z0-9]+", name))
    kept = []
    for word in [kind, *words]:
        word = lower_english(word)
        parts = set(re.findall(r"[a-z0-9]+", word))
        repeats = any(p in seen or p.rstrip("s") in seen or p + "s" in seen for p in parts)
        if (not parts or repeats or len(word) > 18 or word in KEPT_FOR_SYNONYM_TESTS
                or not re.fullmatch(r"[a-z][a-z '-]*", word) or len(word) < 3):
            continue
        kept.append(word)
        seen |= parts
    return kept[:5]


def keywords_zh(name: str, kind: str, words) -> list[str]:
    kept = []
    for word in [kind, *words]:
        word = word.strip()
        if (not re.fullmatch(r"[\u4e00-\u9fff]{1,5}", word) or word in name or name in word
                or word in KEPT_FOR_SYNONYM_TESTS or any(word in k or k in word for k in kept)):
            continue
        kept.append(word)
    return kept[:5]


def joined(parts: list[str], comma: str) -> str:
    return comma.join(part for part in parts if part)


def unique(captions: list[str]) -> list[str]:
    return list(dict.fromkeys(captions))


def rotated(words: list[str], seed: int) -> list[str]:
    """Rotates the keywords by `seed`, so that styles do not all show the same words; the kind
    stays first."""
    if len(words) < 3:
        return words
    rest = words[1:]
    turn = seed % len(rest)
    return words[:1] + rest[turn:] + rest[:turn]


def compose(concept_id: str, style: str, name_en: str, name_zh: str, use: str, measure: str,
            words_en: list[str], words_zh: list[str],
            colour: tuple[str, str] | None) -> dict[str, list[str]]:
    """Returns seven or eight captions for each language; see the file comment for the forms."""
    style_en, style_zh = STYLES[style]
    seed = number_of(f"{concept_id}/{style}/captions")
    phrase = with_article(name_en, use)
    k = rotated(words_en, seed) + ["", "", ""]
    english = [f"a {style_en} of {phrase}",
               f"{name_en}, {style_en}",
               phrase,
               joined([name_en, k[0], style_en], ", "),
               joined([f"{style_en} of {phrase}", k[1]], ", "),
               joined([name_en, k[0], k[1]], ", "),
               joined([style_en, name_en, *k[:3]], ", ")]
    z = rotated(words_zh, seed) + ["", "", ""]
    commas = [",，"[(seed >> (8 + i)) & 1] for i in range(8)]
    chinese = [f"{style_zh}的{name_zh}",
               joined([name_zh, style_zh], commas[0]),
               name_zh,
               joined([name_zh, z[0], style_zh], commas[1]),
               joined([f"{name_zh}的{style_zh}", z[1]], commas[2]),
               joined([name_zh, z[0], z[1]], commas[3]),
               joined([style_zh, name_zh, *z[:3]], commas[4])]
    if colour is not None:
        coloured = with_article(f"{colour[0]} {name_en}", use)
        english.append([f"{coloured}, {style_en}", coloured][(seed >> 20) & 1])
        chinese.append([joined([f"{colour[1]}的{name_zh}", style_zh], commas[5]),
                        f"{colour[1]}的{name_zh}"][(seed >> 20) & 1])
    else:
        english.append(f"{phrase}, {style_en}")
        counted = f"一{measure}{name_zh}" if measure else name_zh
        chinese.append(joined([counted, style_zh], commas[5]))
    return {"en": unique(english), "zh": unique(chinese)}
