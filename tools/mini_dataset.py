#!/usr/bin/env python3
"""Makes the dataset of the mini model from pinned packages, with one command.

    python tools/mini_dataset.py --out DIR [--edition 1|2] [--cache DIR] [--pack DIR]

Models are scored on the first edition (973 concepts in three styles) and trained on the second (all concepts, five
styles, synonyms in the captions); see mini_data/editions.py. DIR gets images/STYLE/CODEPOINTS.webp (RGBA cut-outs),
manifest.jsonl, words.txt, NOTICE and stats.json; --pack writes WebDataset shards. Needs Pillow, fontTools and numpy,
npm, apt-get, dpkg-deb and rsvg-convert. Not needed to run the program.

Held-out sets are fixed for ever by SHA-256 (first 8 bytes, big-endian, modulo 10,000):
  heldout_concept: hash(concept_id) < 500; all styles of 5 % of the concepts.
  heldout_pair: of the other concepts, hash(concept_id + "/" + style) < 1000, 10 % of the pairs; if
  that took every style of a concept, the style with the largest hash is trained on after all.
The second edition holds out the same items, near copies of them, and items of its own by the same rule.
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from mini_data import (captions, colours, concepts, editions, fetch, names, pack,  # noqa: E402
                       pictures, wordings)

CLDR_FOLDER = "./usr/share/unicode/cldr/common/annotations/"
NOTO_FILE = "./usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
SHARD_BYTES = 12_000_000
TOOLS = ("npm", "apt-get", "dpkg-deb", "rsvg-convert")


def load_sources(cache: pathlib.Path, packages) -> dict:
    opened = {key: fetch.open_archive(fetch.PACKAGES[key], fetch.fetch(fetch.PACKAGES[key], cache))
              for key in packages}

    def json_of(key, name):
        return pictures.load_json(fetch.read_member(opened[key], f"package/{name}"))

    sources = {
        "english": json_of("emojibase", "en/data.json"),
        "chinese": json_of("emojibase", "zh/data.json"),
        "messages": json_of("emojibase", "en/messages.json"),
        "shortcodes": [json_of("emojibase", f"en/shortcodes/{name}.json")
                       for name in ("cldr", "emojibase", "github", "joypixels")],
        "cldr": {lang: captions.read_cldr(fetch.read_member(opened["cldr"],
                                                            f"{CLDR_FOLDER}{lang}.xml"))
                 for lang in ("en", "zh")},
        "archives": opened,
    }
    for key in ("fluentflat", "notosvg"):
        if key in opened:
            sources[key] = (json_of(key, "icons.json"), json_of(key, "chars.json"))
    return sources


def read_pictures(sources: dict, styles: dict[str, editions.Style],
                  wanted: set[str]) -> dict[str, dict[str, tuple[bytes, int, int]]]:
    """Returns style -> concept id -> encoded picture, width, height."""
    archives = sources["archives"]
    readers = {
        "fluent3d": lambda: pictures.read_3d(archives["fluent3d"], wanted),
        "fluentflat": lambda: pictures.read_iconify(*sources["fluentflat"], wanted),
        "notosvg": lambda: pictures.read_iconify(*sources["notosvg"], wanted),
        "noto": lambda: pictures.read_shaded(fetch.read_member(archives["noto"], NOTO_FILE),
                                             wanted),
        "fluentmodern": lambda: pictures.read_fluent_modern(archives["fluentmodern"],
                                                            sources["fluentflat"][1], wanted),
        "twemoji": lambda: pictures.read_twemoji(archives["twemoji"], wanted)}
    return {style: readers[source.package]() for style, source in styles.items()}


def is_colourable(concept, chinese: str) -> bool:
    """Whether a caption may name the colour: skin is not named by colour, and 一杯... reads badly after a colour."""
    face = concept.subgroup.startswith("face-") and concept.subgroup != "face-costume"
    return not (face or concept.group == "people-body" or chinese.startswith("一"))


def words_of(concept, english: str, chinese: str, cldr) -> tuple[list[str], list[str]]:
    """Returns the keywords in English and Chinese."""
    kind_en, kind_zh = (captions.KIND_OF.get(concept.concept_id)
                        or captions.KINDS.get(concept.subgroup)
                        or wordings.MORE_KINDS.get(concept.subgroup, ("", "")))
    characters = characters_of(concept.concept_id)
    return (captions.keywords_en(english, kind_en, cldr["en"].get(characters) or concept.tags_en),
            captions.keywords_zh(chinese, kind_zh, cldr["zh"].get(characters) or concept.tags_zh))


def characters_of(concept_id: str) -> str:
    return "".join(chr(int(part, 16)) for part in concept_id.split("-"))


def record_of(concept, style: str, source: editions.Style, picture, split: str, english: str,
              chinese: str, use: str) -> dict:
    """Returns a line of the manifest without its captions."""
    data, width, height = picture
    package = fetch.PACKAGES[source.package]
    colour = (colours.main_colour(data, english, chinese) if is_colourable(concept, chinese)
              else None)
    return {
        "file": f"images/{style}/{concept.concept_id}.webp", "concept": english,
        "concept_id": concept.concept_id, "group": concept.group, "style": style,
        "part": "high" if min(width, height) >= pictures.SIZE_PX else "low",
        "licence": package.licence, "source": package.source, "width": width,
        "height": height, "split": split,
        "names": {"en": english, "zh": chinese},
        "phrase_en": captions.with_article(english, use),
        "measure_zh": captions.measure_of(concept.concept_id, concept.subgroup, chinese, use),
        "colour": {"en": colour[0], "zh": colour[1]} if colour else None}


def colour_of(record: dict) -> tuple[str, str] | None:
    return (record["colour"]["en"], record["colour"]["zh"]) if record["colour"] else None


def names_of_first(concept, table) -> tuple[str, str, str]:
    """Returns the English name, the Chinese name and the use."""
    english, chinese, use = table.get(concept.concept_id, ("", "", ""))
    return captions.lower_english(english or concept.label_en), chinese or concept.label_zh, use


def make_records(chosen, found, sources) -> list[dict]:
    """Returns the records of the first edition."""
    table = names.load()
    records = []
    for concept in chosen:
        cid = concept.concept_id
        styles = [s for s in editions.FIRST if cid in found[s]]
        if not set(styles) & {"3d", "flat"}:
            continue
        english, chinese, use = names_of_first(concept, table)
        words_en, words_zh = words_of(concept, english, chinese, sources["cldr"])
        splits = editions.split_of(cid, styles)
        for style in styles:
            record = record_of(concept, style, editions.FIRST[style], found[style][cid],
                               splits[style], english, chinese, use)
            record["captions"] = captions.compose(
                cid, style, english, chinese, use, record["measure_zh"], words_en, words_zh,
                colour_of(record))
            records.append(record)
    return records


def synonym_table(chosen, named, sources) -> list[dict[str, list[str]]]:
    """Returns concept id -> synonyms, in English and in Chinese."""
    english, chinese = {}, {}
    for concept in chosen:
        cid = concept.concept_id
        if concept.group in ("flags", "symbols") or concept.subgroup.startswith("face-"):
            continue  # their codes are no names ("blowing a kiss")
        name_en, name_zh, _ = named[cid]
        characters = characters_of(cid)
        tags_en = [*sources["cldr"]["en"].get(characters, ()), *concept.tags_en]
        tags_zh = [*sources["cldr"]["zh"].get(characters, ()), *concept.tags_zh]
        codes = []
        for table in sources["shortcodes"]:
            entry = table.get(concept.hexcode, [])
            codes += [entry] if isinstance(entry, str) else entry
        is_person = concept.group == "people-body"  # the end of whose name is a kind of people
        english[cid] = (([] if is_person else wordings.names_within(name_en, tags_en))
                        + wordings.shortcodes_of(name_en, tags_en, codes))
        chinese[cid] = [] if is_person else wordings.names_within_zh(name_zh, tags_zh)
    return [wordings.synonyms(english, {c: n[0] for c, n in named.items()}),
            wordings.synonyms(chinese, {c: n[1] for c, n in named.items()})]


def make_second_records(chosen, found, first_records, sources) -> list[dict]:
    table = names.load()
    first = {}
    for record in first_records:
        first.setdefault(record["concept_id"], []).append(record)
    held_ids = {r["concept_id"] for r in first_records if r["split"] == "heldout_concept"}
    named = {}
    for concept in chosen:
        english, chinese, use = names_of_first(concept, table)
        if concept.concept_id not in first:
            english = wordings.plain_name_en(english)
            chinese = wordings.plain_name_zh(chinese, concept.subgroup)
            use = wordings.use_of(concept.subgroup, use)
        named[concept.concept_id] = (english, chinese, use)
    held_names = [{named[cid][i] for cid in held_ids} for i in (0, 1)]
    synonyms_en, synonyms_zh = synonym_table(chosen, named, sources)
    records = []
    for concept in chosen:
        cid = concept.concept_id
        english, chinese, use = named[cid]
        styles = [s for s in editions.SECOND if cid in found[s]]
        if not styles:
            continue
        first_styles = [r["style"] for r in first.get(cid, [])]
        near = cid not in first and editions.near_held_out(cid, english, held_names[0], held_ids)
        splits = editions.split_of_second(cid, styles, first_styles, near)
        words = [[word for word in some if word not in held] for some, held in
                 zip(words_of(concept, english, chinese, sources["cldr"]), held_names)]
        for style in styles:
            source = editions.SECOND[style]
            record = record_of(concept, style, source, found[style][cid], splits[style], english,
                               chinese, use)
            record["captions"] = wordings.compose(
                captions.number_of(f"{cid}/{style}/wordings"), source.words, (english, chinese),
                use, record["measure_zh"], tuple(words),
                (synonyms_en.get(cid, []), synonyms_zh.get(cid, [])), colour_of(record))
            records.append(record)
    return records


def write_dataset(records, found, packages, out: pathlib.Path) -> dict:
    for style in found:
        folder = out / "images" / style
        folder.mkdir(parents=True, exist_ok=True)
        kept = {f"{r['concept_id']}.webp" for r in records if r["style"] == style}
        for old in folder.glob("*.webp"):
            if old.name not in kept:
                old.unlink()
    for record in records:
        (out / record["file"]).write_bytes(found[record["style"]][record["concept_id"]][0])
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records]
    # The manifest comes last and whole, so a reader never sees a line without its picture.
    (out / "manifest.jsonl.part").write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(out / "manifest.jsonl.part", out / "manifest.jsonl")
    words = sorted({(r["concept_id"], r["names"]["en"], r["names"]["zh"]) for r in records})
    (out / "words.txt").write_text("".join("\t".join(w) + "\n" for w in words), encoding="utf-8")
    notice = ["Pictures, names and keywords come from these packages:"]
    notice += [f"- {p.source} ({p.client}), {p.licence}. {p.attribution}"
               for p in (fetch.PACKAGES[key] for key in packages)]
    (out / "NOTICE").write_text("\n".join(notice) + "\n", encoding="utf-8")
    stats = {
        "pictures": len(records),
        "concepts": len({r["concept_id"] for r in records}),
        "image_bytes": sum((out / r["file"]).stat().st_size for r in records),
        "captions": sum(len(c) for r in records for c in r["captions"].values()),
        "by_style": collections.Counter(r["style"] for r in records),
        "by_split": collections.Counter(r["split"] for r in records),
        "by_style_and_split": collections.Counter(f"{r['style']} {r['split']}" for r in records),
        "by_group_and_style": collections.Counter(f"{r['group']} {r['style']}" for r in records),
    }
    (out / "stats.json").write_text(json.dumps(stats, indent=1, sort_keys=True) + "\n")
    return stats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="dataset folder to write")
    parser.add_argument("--edition", type=int, choices=(1, 2), default=1,
                        help="1: the ruler; 2: more concepts, styles and wordings")
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(base) / "pangu-draw",
                        help="folder for the fetched packages")
    parser.add_argument("--pack", type=pathlib.Path, help="also write WebDataset shards here")
    args = parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        sys.exit(f"data build: expected the programs {', '.join(TOOLS)}, found no {', '.join(missing)}; "
                 "hint: `pangu-draw data build` by the launcher installs them on Debian")
    start = time.monotonic()
    packages = editions.FIRST_PACKAGES if args.edition == 1 else tuple(fetch.PACKAGES)
    sources = load_sources(args.cache, packages)

    def chosen_concepts(every: bool):
        return concepts.choose(sources["english"], sources["chinese"], sources["messages"],
                               pictures.concept_id_of, every)

    chosen = chosen_concepts(every=False)
    found = read_pictures(sources, editions.FIRST, {c.concept_id for c in chosen})
    records = make_records(chosen, found, sources)
    if args.edition == 2:
        chosen = chosen_concepts(every=True)
        found = read_pictures(sources, editions.SECOND, {c.concept_id for c in chosen})
        records = make_second_records(chosen, found, records, sources)
    args.out.mkdir(parents=True, exist_ok=True)
    stats = write_dataset(records, found, packages, args.out)
    print(json.dumps(stats, indent=1, sort_keys=True))
    if args.pack:
        shards = pack.pack(args.out, args.pack, SHARD_BYTES)
        total = sum(path.stat().st_size for path in shards)
        print(f"{len(shards)} shards, {total} bytes in {args.pack}")
    print(f"{time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
