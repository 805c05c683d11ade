"""Writes token ids of the reference tokenizers for tests/parity/tokenizer_test.cpp.

References: transformers' CLIPTokenizer and BertTokenizer, open_clip's SimpleTokenizer (run from its
wheel) with ftfy, and, written here from their rules, PanGu-Draw's Chinese tokenizer and A1111's
prompt syntax. The vocabularies are those in models/tokenizers; open_clip's code comes from its wheel.
Usage: dump_tokenizers.py OUT_FOLDER. Without a package index open_clip's ids are left out: it says SKIPPED,
writes OUT_FOLDER/unavailable.txt and exits with 77.
"""

import gzip
import html
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import unicodedata
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fetch_package  # noqa: E402
import tokenizer_texts  # noqa: E402

OPEN_CLIP = ("pypi", "open-clip-torch", "3.3.0",
             "c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce")
VOCABULARIES = pathlib.Path(__file__).resolve().parents[2] / "models/tokenizers"
MERGES = VOCABULARIES / "clip/bpe_simple_vocab_16e6.txt.gz"
CHINESE = VOCABULARIES / "zh/vocab.txt"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
SKIPPED = 77


def openai_vocabulary():
    """Returns token -> id and the merges of CLIP."""
    merges = gzip.decompress(MERGES.read_bytes()).decode("utf-8").split("\n")[1:48895]
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = [chr(c) for c in own] + [chr(0x100 + i) for i in range(256 - len(own))]
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges]
    return {token: i for i, token in enumerate([*tokens, BOS, EOS])}, merges


def special(content, normalized):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False,
            "single_word": False}


def clip_folders(out):
    """Returns name of a case -> folder with the files as published models have them."""
    vocabulary, merges = openai_vocabulary()
    written = json.dumps(vocabulary)
    sd = {"bos_token": special(BOS, True), "eos_token": special(EOS, True), "pad_token": EOS,
          "unk_token": special(EOS, True)}
    listed = {"0": {**special("!", False), "special": True},
              "49406": {**special(BOS, True), "special": True},
              "49407": {**special(EOS, True), "special": True}}
    xl = {"added_tokens_decoder": listed, "bos_token": BOS, "eos_token": EOS, "pad_token": "!",
          "unk_token": EOS, "model_max_length": 77}
    kinds = {"clip": {}, "clip_sd1": {"special_tokens_map.json": sd},
             "clip_pad": {"tokenizer_config.json": {"pad_token": "!"}},
             "clip_sdxl_2": {"tokenizer_config.json": xl}}
    folders = {}
    for name, files in kinds.items():
        folders[name] = out / name
        folders[name].mkdir(parents=True)
        (folders[name] / "vocab.json").write_text(written, encoding="utf-8")
        (folders[name] / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n",
                                                  encoding="utf-8")
        for file, content in files.items():
            (folders[name] / file).write_text(json.dumps(content), encoding="utf-8")
    return folders


def dump(out, name, texts, encode, **more):
    rows = {"texts": texts, "ids": [list(encode(text)) for text in texts], **more}
    (out / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")


def dump_clip(out, texts):
    from transformers import CLIPTokenizer
    folders = clip_folders(out)
    for name in ("clip", "clip_sdxl_2"):
        folders[name + "_json"] = out / (name + "_json")
        CLIPTokenizer.from_pretrained(folders[name]).save_pretrained(folders[name + "_json"])
    for name, folder in folders.items():
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        some = texts if name in ("clip", "clip_sdxl_2") else texts[:600]
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in some]
        cut = tokenizer(some, padding="max_length", truncation=True, max_length=77).input_ids
        decoded = [tokenizer.decode(row) for row in ids]
        dump(out, name, some, lambda text: ids[some.index(text)], cut=cut, decoded=decoded)
    words = ["<Cat-Toy>", "<cat-toy>2", "sks dog", "Éé"]
    tokenizer = CLIPTokenizer.from_pretrained(folders["clip"])
    tokenizer.add_tokens(words)
    some = [text for text in texts[:100]] + tokenizer_texts.with_words(words, 400)
    dump(out, "clip_added", some, lambda text: tokenizer(text, add_special_tokens=False).input_ids,
         words=words)


def simple_tokenizer(out):
    with zipfile.ZipFile(fetch_package.fetch(*OPEN_CLIP)) as archive:
        source = out / "open_clip_tokenizer.py"
        source.write_bytes(archive.read("open_clip/tokenizer.py"))
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer(str(MERGES))


def dump_open_clip(out, texts):
    import ftfy
    import ftfy.chardata as tables
    tokenizer = simple_tokenizer(out)

    def cleaned(text):
        text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        return " ".join(text.split()).lower()

    plain = texts[:tokenizer_texts.REAL]
    dump(out, "open_clip_whole_ftfy", plain, tokenizer.encode,
         fixed=[ftfy.fix_text(text) for text in plain], cleaned=[cleaned(text) for text in plain])
    known = {bytes([i]).decode("sloppy-windows-1252") for i in range(256)} | {"\ufffd"}
    known |= {chr(i) for i in range(0x80, 0x100)}
    others = tables.CHARMAP_ENCODINGS[2:]
    foreign = {c for e in others for c in bytes(range(0x80, 256)).decode(e, "ignore")} - known
    del tables.CHARMAP_ENCODINGS[2:]  # what src/text/mojibake.h says it covers
    some = [text for text in texts
            if not (set(text) & foreign and (set(html.unescape(text)) & known - set(map(chr, range(128)))))]
    dump(out, "open_clip", some, tokenizer.encode, fixed=[ftfy.fix_text(text) for text in some],
         cleaned=[cleaned(text) for text in some],
         cut=[tokenizer([text])[0].tolist() for text in some])


class PanguChinese:
    """PanGu-Draw's WordPiece, written from its rules."""

    KEPT = {"[UNK]", "[CLS]", "[SEP]"}
    CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
               (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))

    def __init__(self, path):
        with open(path, encoding="utf-8") as lines:
            self.ids = {line.strip(): i for i, line in enumerate(lines)}

    def character(self, c):
        if c in " \t\n\r" or unicodedata.category(c) == "Zs":
            return " "
        if c in "\0\ufffd" or unicodedata.category(c).startswith("C"):
            return ""
        return f" {c} " if any(a <= ord(c) <= b for a, b in self.CHINESE) else c

    @staticmethod
    def is_mark(c):
        ascii_mark = ord(c) < 128 and c.isprintable() and not c.isalnum() and c != " "
        return ascii_mark or unicodedata.category(c).startswith("P")

    def pieces(self, word):
        if len(word) > 100:
            return ["[UNK]"]
        found = []
        while word:
            lead = "##" if found else ""
            length = next((n for n in range(len(word), 0, -1) if lead + word[:n] in self.ids), 0)
            if length == 0:
                return ["[UNK]"]
            found.append(lead + word[:length])
            word = word[length:]
        return found

    def encode(self, text):
        tokens = []
        for word in "".join(map(self.character, text)).split():
            if word in self.KEPT:
                tokens.append(word)
                continue
            letters = (c for c in unicodedata.normalize("NFD", word.lower())
                       if unicodedata.category(c) != "Mn")
            for part in "".join(f" {c} " if self.is_mark(c) else c for c in letters).split():
                tokens += self.pieces(part)
        return [self.ids[token] for token in tokens]


def dump_bert(out, texts):
    from transformers import BertTokenizer
    folder = out / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(CHINESE.read_bytes())
    tokenizer = BertTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(out / "bert_json")
    cut = tokenizer(texts, padding="max_length", truncation=True, max_length=77).input_ids
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    dump(out, "bert", texts, lambda text: ids[texts.index(text)], cut=cut)
    some = texts[:600]
    dump(out, "bert_json", some, lambda text: ids[texts.index(text)], cut=cut[:600])
    (out / "bert_cased").mkdir()
    (out / "bert_cased" / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    (out / "bert_cased" / "tokenizer_config.json").write_text(
        '{"do_lower_case": false, "tokenize_chinese_chars": false}')
    cased = BertTokenizer.from_pretrained(out / "bert_cased")
    dump(out, "bert_cased", some, lambda text: cased(text, add_special_tokens=False).input_ids)
    pangu = PanguChinese(folder / "vocab.txt")
    rows = [pangu.encode(text) for text in texts]
    ends = [[101, *row[:75], 102] for row in rows]
    dump(out, "pangu_zh", texts, lambda text: rows[texts.index(text)],
         cut=[row + [0] * (77 - len(row)) for row in ends])


class WebUi:
    """A1111's prompt syntax, written from its rules; BREAK separates chunks inside of brackets too."""

    WEIGHT = re.compile(r":\s*([+-]?[.0-9]+)\s*\)")
    BREAK = re.compile(r"\s*\bBREAK\b\s*")

    def __init__(self, prompt):
        self.runs = []  # [text or None for BREAK, weight]
        opened = {"(": [], "[": []}
        while prompt:
            weight = self.WEIGHT.match(prompt)
            number = self.number(weight.group(1)) if weight else None
            taken = 1
            if prompt[0] == "\\":
                taken = 2 if prompt[1:2] and prompt[1] in "()[]\\" else 1
                self.runs.append([prompt[1:taken], 1.0])
            elif prompt[0] in opened:
                opened[prompt[0]].append(len(self.runs))
            elif number is not None and opened["("]:
                taken = weight.end()
                self.scale(opened["("].pop(), number)
            elif prompt[0] == ")" and opened["("]:
                self.scale(opened["("].pop(), 1.1)
            elif prompt[0] == "]" and opened["["]:
                self.scale(opened["["].pop(), 1 / 1.1)
            else:
                taken = weight.end() if number is not None else max(
                    1, len(re.match(r"[^\\()\[\]:]*", prompt).group()))
                for i, text in enumerate(self.BREAK.split(prompt[:taken])):
                    self.runs += [[None, 0.0]] * (i > 0) + [[text, 1.0]]
            prompt = prompt[taken:]
        for start in opened["("]:
            self.scale(start, 1.1)
        for start in opened["["]:
            self.scale(start, 1 / 1.1)

    @staticmethod
    def number(text):
        try:
            return float(text)
        except ValueError:
            return None

    def scale(self, start, factor):
        self.runs[start:] = [[text, weight * factor] for text, weight in self.runs[start:]]

    def joined(self):
        out = []
        for text, weight in self.runs:
            if out and text is not None and out[-1][0] is not None and out[-1][1] == weight:
                out[-1][0] += text
            else:
                out.append([text, weight])
        return out or [["", 1.0]]


def chunks_of(runs, tokenize, pad, size=75, backtrack=20, bos=49406, eos=49407, comma=267):
    done, now = [], []

    def finish():
        ids = [bos, *(i for i, _ in now)] + [eos] * (size + 1 - len(now))
        first = ids.index(eos)
        if pad != eos:
            ids[first + 1:] = [pad] * (size + 1 - first)
        done.append([ids, [1.0, *(w for _, w in now)] + [1.0] * (size + 1 - len(now))])
        now.clear()

    comma_at = None
    for text, weight in runs:
        if text is None:
            finish()
            comma_at = None
            continue
        for token in tokenize(text):
            if token == comma:
                comma_at = len(now)
            elif len(now) == size and comma_at is not None and size - comma_at <= backtrack:
                moved = now[comma_at + 1:]
                del now[comma_at + 1:]
                finish()
                now.extend(moved)
                comma_at = None
            if len(now) == size:
                finish()
                comma_at = None
            now.append((token, weight))
    if now or not done:
        finish()
    return done


def dump_prompts(out):
    from transformers import CLIPTokenizer
    tokenizer = CLIPTokenizer.from_pretrained(out / "clip")
    rows = []
    for i, prompt in enumerate(tokenizer_texts.prompts(2000)):
        runs = WebUi(prompt).joined()
        pad = 0 if i % 3 == 0 else 49407
        chunks = chunks_of(runs, lambda text: tokenizer(text, add_special_tokens=False).input_ids, pad)
        rows.append({"prompt": prompt, "runs": runs, "pad": pad, "chunks": chunks})
    (out / "prompts.json").write_text(json.dumps(rows), encoding="utf-8")


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    texts = tokenizer_texts.all_texts()
    if unicodedata.unidata_version == "14.0.0":
        texts += tokenizer_texts.every_character()
    dump_clip(out, texts)
    dump_bert(out, texts)
    dump_prompts(out)
    try:
        dump_open_clip(out, texts + tokenizer_texts.misread(1500))
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"SKIPPED: open_clip's ids, because its wheel is not to be had: {problem}", file=sys.stderr)
        (out / "unavailable.txt").write_text(str(problem), encoding="utf-8")
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
