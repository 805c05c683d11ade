#!/usr/bin/env python3
"""Makes the dataset of the mini model from pinned packages, with one command.

    python tools/mini_dataset.py --out DIR [--cache DIR] [--pack DIR]

DIR gets images/STYLE/CODEPOINTS.webp (RGBA cut-outs), manifest.jsonl, words.txt, NOTICE and
stats.json; --pack writes WebDataset shards. Needs Pillow, fontTools and numpy, npm, apt-get,
dpkg-deb and rsvg-convert. Not needed to run the program.

Held-out sets are fixed for ever by SHA-256 (first 8 bytes, big-endian, modulo 10,000):
  heldout_concept: hash(concept_id) < 500; all styles of 5 % of the concepts.
  heldout_pair: of the other concepts, hash(concept_id + "/" + style) < 1000, 10 % of the pairs; if
  that took every style of a concept, the style with the largest hash is trained on after all.
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
from mini_data import captions, colours, concepts, fetch, names, pack, pictures  # noqa: E402

STYLE_ORDER = ("3d", "flat", "shaded")
STYLE_PACKAGE = {"3d": "fluent3d", "flat": "fluentflat", "shaded": "noto"}
STYLE_PART = {"3d": "high", "flat": "high", "shaded": "low"}
CLDR_FOLDER = "./usr/share/unicode/cldr/common/annotations/"
NOTO_FILE = "./usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
SHARD_BYTES = 12_000_000
TOOLS = ("npm", "apt-get", "dpkg-deb", "rsvg-convert")


def split_of(concept_id: str, styles: list[str]) -> dict[str, str]:
    """Style -> split for one concept; the rule is in the file comment."""
    if captions.number_of(concept_id) % 10_000 < 500:
        return {style: "heldout_concept" for style in styles}
    scores = {s: captions.number_of(f"{concept_id}/{s}") % 10_000 for s in styles}
    held = {s for s in styles if scores[s] < 1000}
    if held == set(styles):
        held.discard(max(styles, key=lambda s: (scores[s], s)))
    return {s: "heldout_pair" if s in held else "train" for s in styles}


def load_sources(cache: pathlib.Path) -> dict:
    opened = {key: fetch.open_archive(p, fetch.fetch(p, cache))
              for key, p in fetch.PACKAGES.items()}

    def json_of(key, name):
        return pictures.load_json(fetch.read_member(opened[key], name))

    return {
        "english": json_of("emojibase", "package/en/data.json"),
        "chinese": json_of("emojibase", "package/zh/data.json"),
        "messages": json_of("emojibase", "package/en/messages.json"),
        "cldr": {lang: captions.read_cldr(fetch.read_member(opened["cldr"],
                                                            f"{CLDR_FOLDER}{lang}.xml"))
                 for lang in ("en", "zh")},
        "icons": json_of("fluentflat", "package/icons.json"),
        "chars": json_of("fluentflat", "package/chars.json"),
        "3d": opened["fluent3d"],
        "noto": fetch.read_member(opened["noto"], NOTO_FILE),
    }


def is_colourable(concept, chinese: str) -> bool:
    """Skin is not named by colour, and 一杯... reads badly after one."""
    face = concept.subgroup.startswith("face-") and concept.subgroup != "face-costume"
    return not (face or concept.group == "people-body" or chinese.startswith("一"))


def make_records(chosen, found, cldr) -> list[dict]:
    table = names.load()
    records = []
    for concept in chosen:
        cid = concept.concept_id
        styles = [s for s in STYLE_ORDER if cid in found[s]]
        if not set(styles) & {"3d", "flat"}:
            continue
        english, chinese, use = table.get(cid, ("", "", ""))
        english = captions.lower_english(english or concept.label_en)
        chinese = chinese or concept.label_zh
        kind_en, kind_zh = captions.KIND_OF.get(cid) or captions.KINDS[concept.subgroup]
        characters = "".join(chr(int(part, 16)) for part in cid.split("-"))
        words_en = captions.keywords_en(english, kind_en,
                                        cldr["en"].get(characters) or concept.tags_en)
        words_zh = captions.keywords_zh(chinese, kind_zh,
                                        cldr["zh"].get(characters) or concept.tags_zh)
        measure = captions.measure_of(cid, concept.subgroup, chinese, use)
        splits = split_of(cid, styles)
        for style in styles:
            data, width, height = found[style][cid]
            package = fetch.PACKAGES[STYLE_PACKAGE[style]]
            colour = (colours.main_colour(data, english, chinese)
                      if is_colourable(concept, chinese) else None)
            records.append({
                "file": f"images/{style}/{cid}.webp", "concept": english, "concept_id": cid,
                "group": concept.group, "style": style, "part": STYLE_PART[style],
                "licence": package.licence, "source": package.source, "width": width,
                "height": height, "split": splits[style],
                "names": {"en": english, "zh": chinese},
                "phrase_en": captions.with_article(english, use),
                "measure_zh": measure,
                "colour": {"en": colour[0], "zh": colour[1]} if colour else None,
                "captions": captions.compose(cid, style, english, chinese, use, measure, words_en,
                                             words_zh, colour)})
    return records


def write_dataset(records, found, out: pathlib.Path) -> dict:
    for style in STYLE_ORDER:
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
               for p in fetch.PACKAGES.values()]
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
    sources = load_sources(args.cache)
    chosen = concepts.choose(sources["english"], sources["chinese"], sources["messages"],
                             pictures.concept_id_of)
    wanted = {c.concept_id for c in chosen}
    found = {"3d": pictures.read_3d(sources["3d"], wanted),
             "flat": pictures.read_flat(sources["icons"], sources["chars"], wanted),
             "shaded": pictures.read_shaded(sources["noto"], wanted)}
    records = make_records(chosen, found, sources["cldr"])
    args.out.mkdir(parents=True, exist_ok=True)
    stats = write_dataset(records, found, args.out)
    print(json.dumps(stats, indent=1, sort_keys=True))
    if args.pack:
        shards = pack.pack(args.out, args.pack, SHARD_BYTES)
        total = sum(path.stat().st_size for path in shards)
        print(f"{len(shards)} shards, {total} bytes in {args.pack}")
    print(f"{time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
