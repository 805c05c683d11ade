"""Opens or makes a folder with PanGu-Draw 3's low and high file and the tokenizers."""

import pathlib

from . import ckpt, tiny, words

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ROOT / "tests/parity/data/pangu_draw_3_tensors.tsv"


def open_pair(folder):
    """Returns the tensors of the low and of the high file."""
    return [ckpt.read_ckpt(next(pathlib.Path(folder).glob(f"*{part}*.ckpt"))) for part in ("low", "high")]


def tokenizers(folder=ROOT / "models/tokenizers"):
    return (words.Chinese(folder / "zh/vocab.txt"),
            words.OpenClip(folder / "clip/bpe_simple_vocab_16e6.txt.gz"))


def write_tiny_pair(folder, seed=1, blocks=tiny.KEPT):
    return write_pair(folder, tiny.narrowed(tiny.released(NAMES), blocks), seed)


def write_pair(folder, rows, seed=1):
    """Writes random files of (name, shape) rows. Both hold all parts and differ in all of them."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, part in enumerate(("low", "high")):
        ckpt.write_ckpt(folder / f"pangu_{part}_timestamp-{i:08x}.ckpt", tiny.tensors(rows, seed + i))
    return folder
