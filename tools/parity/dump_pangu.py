"""Writes a narrow random pair of PanGu-Draw 3 files and what the second implementation draws with it.

  dump_pangu.py OUT_FOLDER [--full]

OUT_FOLDER/pair is the model. cases.json lists the cases with their requests (absent fields have the family's
defaults), the expert of every step, and a change {setting, patch}: the patch, merged into the case, gives the tested
setting another value. NAME.safetensors holds the conditions, the first prediction of the network, the latents before
every step and after the last, and NAME.png the picture. See tools/pangu_reference.py. With --full OUT_FOLDER/unet.ckpt
is one UNet at its released width instead, 10.3 GB of numbers that bf16 holds, and full.safetensors one forward of it.
"""

import json
import pathlib
import sys

import torch
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from pangu_reference import ckpt, networks, pair, sampling, tiny  # noqa: E402

CASES = {
    "English": dict(prompt="A red fox in the snow, oil painting", width=256, height=1024, steps=8,
                    seed=42),
    "Chinese, style": dict(prompt="一只戴着草帽的橘猫，坐在窗台上，水彩画", styles=["aesthetic"],
                           width=1024, height=256, steps=8, seed=7),
    "two styles, negative": dict(prompt="黄山云海，日出；ｆｉｎｅ “details”", negative="blurry, 模糊",
                                 styles=["cartoon", "photography"], width=512, height=512, steps=5,
                                 seed=4294967295),
}
CHANGES = {"English": ("another prompt", {"prompt": "A red fox in the snow, watercolour"}),
           "Chinese, style": ("no style", {"styles": []}),
           "two styles, negative": ("no negative prompt", {"negative": ""})}


def full(out):
    rows = [row for row in tiny.released(pair.NAMES) if row[0].startswith("model.diffusion_model.")]
    ckpt.write_ckpt(out / "unet.ckpt", tiny.tensors(rows, 3, rounded=True))
    unet, draw = ckpt.read_ckpt(out / "unet.ckpt"), torch.Generator().manual_seed(4)
    x = torch.randn((1, 4, 16, 16), generator=draw)
    context = torch.randn((1, 77, 2048), generator=draw)
    pooled = torch.randn((1, 1280), generator=draw)
    size, t = torch.tensor([[5.0]]), torch.tensor([874.0])
    y = torch.cat([pooled, networks.sinusoid(size[0], 256)], 1)
    with torch.no_grad():
        eps = networks.unet(unet, x, t, context, y)
    save_file({"x": x, "context": context, "pooled": pooled, "size": size, "t": t, "eps": eps.contiguous()},
              out / "full.safetensors")


def main():
    out = pathlib.Path(sys.argv[1])
    if "--full" in sys.argv:
        return full(out)
    pair.write_tiny_pair(out / "pair")
    low, high = pair.open_pair(out / "pair")
    tokenizers, listed = pair.tokenizers(), []
    torch.set_num_threads(1)
    for name, request in CASES.items():
        with torch.no_grad():
            drawn = sampling.draw(low, high, tokenizers, **request)
        tensors = {key: drawn[key].contiguous() for key in ("context", "y", "path", "eps")}
        save_file(tensors, out / f"{name}.safetensors")
        Image.fromarray(drawn["bytes"]).save(out / f"{name}.png")
        setting, fields = CHANGES[name]
        listed.append({"name": name, "request": request, "experts": drawn["experts"],
                       "change": {"setting": setting, "patch": {"request": fields}}})
    (out / "cases.json").write_text(json.dumps(listed), encoding="utf-8")


if __name__ == "__main__":
    main()
