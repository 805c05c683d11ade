"""The second edition of the mini model's data gives away nothing that the first holds out, and its captions
say the style, the colour and the synonyms that they were given. Needs no package and no network.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from mini_data import captions, editions, wordings  # noqa: E402

FIRST_STYLES = list(editions.FIRST)
# The ids need not be emoji: splits are hashes of their names.
IDS = [f"1f{number:03x}" for number in range(2000)]


def what_the_first_edition_holds_out_the_second_holds_out() -> None:
    held = {"heldout_concept": 0, "heldout_pair": 0}
    for cid in IDS:
        first = editions.split_of(cid, FIRST_STYLES)
        second = editions.split_of_second(cid, list(editions.SECOND), FIRST_STYLES, False)
        assert {style: second[style] for style in first} == first, cid
        for split in first.values():
            if split != "train":
                held[split] += 1
    assert held["heldout_concept"] > 100 and held["heldout_pair"] > 100, held


def a_drawing_of_the_same_outlines_is_held_out_with_either_of_the_others() -> None:
    followed = 0
    for cid in IDS:
        if editions.is_held_out_concept(cid):
            continue
        splits = editions.split_of_second(cid, list(editions.SECOND), FIRST_STYLES, False)
        for style, others in editions.SAME_OUTLINES.items():
            given_away = any(splits[other] == "heldout_pair" for other in others)
            assert (splits[style] == "heldout_pair") == given_away, cid
            followed += given_away
    assert followed > 50, followed


def a_concept_of_the_second_edition_alone_keeps_a_style_to_train_on() -> None:
    for cid in IDS:
        splits = editions.split_of_second(cid, ["simple"], [], False)
        assert splits["simple"] == ("heldout_concept" if editions.is_held_out_concept(cid) else "train")


def near_copies_of_held_out_concepts_are_found_by_characters_and_by_names() -> None:
    def near(cid: str, name: str) -> bool:
        return editions.near_held_out(cid, name, {"tulip", "polar bear"}, {"1f9d9", "1f43b-200d-2744"})

    assert near("1f9d9-200d-2640", "woman mage")
    assert near("1f43b-200d-2744-200d-2640", "bear")
    assert near("1f339", "wilted tulip") and near("1f339", "polar bear cub")
    assert not near("1f43b", "bear") and not near("1f339", "tulips")


def captions_say_style_colour_and_synonyms_and_one_form_in_six_says_no_style() -> None:
    for seed in range(0, 1 << 22, 104729):
        found = wordings.compose(seed, ("flat icon", "扁平图标"), ("red apple", "红苹果"), "", "个",
                                 (["fruit"], ["水果"]), (["apple"], ["苹果"]), ("green", "绿色"))
        english, chinese = found["en"], found["zh"]
        assert english[0] == "a flat icon of a red apple" and chinese[0] == "扁平图标的红苹果"
        assert "a green red apple, flat icon" in english and "flat icon of an apple, fruit" in english
        assert sum("flat icon" in text for text in english) == len(english) - 1
        assert sum("扁平图标" in text for text in chinese) == len(chinese) - 1
        assert len(set(english)) == len(english) and len(set(chinese)) == len(chinese)


def a_synonym_is_no_name_of_another_concept_no_kind_and_none_kept_for_tests() -> None:
    candidates = {"a": ["cat", "house cat", "pet", "automobile", "purring"], "b": ["pet"], "c": ["pet"], "d": ["pet"]}
    found = wordings.synonyms(candidates, {"a": "orange cat", "b": "cat", "c": "dog", "d": "owl"})
    assert found["a"] == ["house cat"], found
    assert not set(found["b"]), found


def names_of_labels_are_said_as_a_person_would() -> None:
    for label, name in (("flag: Peru", "flag of peru"), ("keycap: 1", "keycap 1"),
                        ("man: bald", "bald man"), ("woman: curly hair", "woman with curly hair"),
                        ("person: beard", "person with a beard"), ("hot dog", "hot dog")):
        assert wordings.plain_name_en(label) == name, (label, wordings.plain_name_en(label))
    assert wordings.plain_name_zh("旗: 秘鲁", "country-flag") == "秘鲁国旗"
    assert wordings.plain_name_zh("男人: 卷发", "person") == "卷发男人"
    assert wordings.names_within("rescue helmet with a cross", ["cross"]) == []
    assert wordings.names_within("red apple", ["fruit", "apple"]) == ["apple"]
    assert wordings.shortcodes_of("wave", ["sea", "ocean"], ["ocean", "sea_wave", "surf", "wave2"]) == ["ocean", "sea wave"]
    assert set(captions.KEPT_FOR_SYNONYM_TESTS) & {"automobile", "小汽车"}


def main() -> int:
    tests = [value for value in globals().values() if callable(value) and value.__module__ == __name__
             and value is not main]
    for test in tests:
        test()
    print(f"{len(tests)} tests passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
