"""Exports the InceptionV3 of npm `nsfwjs` 4.3.0 (MIT; uint8 tfjs layers model) to safetensors: the 94 convolutions
with their batch normalisations as stored, uint8 plus (scale, minimum) a tensor, turned to torch's [out,in,kh,kw]. The
classifier's head is left out. These are not the weights of the usual FID, so scores made with them must name them.
Tensors: conv2d_N.weight_u8, batch_normalization_N.{beta,mean,variance}_u8 and for each X_u8 an X_range F32 [2] =
scale, minimum. Input: RGB in [0, 1], 299 x 299; normalisation epsilon 1e-3.

`--reference OUT` evaluates the package's own layer graph (walked node by node, f32) on a small
drawn picture and writes picture, mixed6 and final features, for the parity test.
"""

import argparse
import base64
import json
import pathlib
import re
import tarfile

import numpy as np
from safetensors.numpy import save_file

import fetch_package

PACKAGE = ("npm", "nsfwjs", "4.3.0",
           "4496790efc9bdc6f3e85a826a8e482c1fa1e9db4b3d18c095e98cc0c73cfb12f")
FOLDER = "package/dist/models/inception_v3"
STATISTICS = {"beta": "beta", "moving_mean": "mean", "moving_variance": "variance"}
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|!0|!1|[A-Za-z_$][\w$]*|-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?'
                   r"|[{}\[\]:,]", re.I)


def parse_literal(script):
    """Reads the object literal of a minified module as JSON data; the script itself is never run."""
    at, depth, out = script.index("{modelTopology"), 0, []
    while True:
        match = TOKEN.match(script, at)
        if not match:
            raise RuntimeError(f"model.min.js: unexpected text {script[at:at + 40]!r}")
        token, at = match.group(), match.end()
        depth += (token in "{[") - (token in "}]")
        if token in ("!0", "!1"):
            token = "true" if token == "!0" else "false"
        elif re.match(r"[A-Za-z_$]", token) and token != "null":
            token = json.dumps(token)
        elif re.match(r"-?\.", token):
            token = token.replace(".", "0.", 1)
        out.append(token)
        if depth == 0:
            return json.loads("".join(out))


def read_package():
    """Returns (layers of the Keras graph, {name: (uint8 array, scale, minimum)})."""
    with tarfile.open(fetch_package.fetch(*PACKAGE)) as package:
        def text(name):
            return package.extractfile(f"{FOLDER}/{name}.min.js").read().decode()
        model = parse_literal(text("model"))
        tensors = {}
        for group in model["weightsManifest"]:
            # The one long base64 string of each shard module is its bytes.
            raw = b"".join(base64.b64decode(re.search(r'"([A-Za-z0-9+/=]{1000,})"', text(p)).group(1))
                           for p in group["paths"])
            at = 0
            for entry in group["weights"]:
                quantised = entry["quantization"]
                count = int(np.prod(entry["shape"]))
                value = np.frombuffer(raw, np.uint8, count, at).reshape(entry["shape"])
                tensors[entry["name"]] = (value, quantised["scale"], quantised["min"])
                at += count
            if at != len(raw):
                raise RuntimeError(f"weights: expected {at} bytes, found {len(raw)}")
    return model["modelTopology"]["model_config"]["config"]["layers"], tensors


def export(tensors, out):
    stored = {}
    for name, (value, scale, minimum) in tensors.items():
        layer, kind = name.split("/")
        if layer.startswith("dense"):
            continue
        target = f"{layer}.{STATISTICS.get(kind, 'weight')}"
        value = value.transpose(3, 2, 0, 1) if kind == "kernel" else value
        stored[f"{target}_u8"] = np.ascontiguousarray(value)
        stored[f"{target}_range"] = np.array([scale, minimum], np.float32)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, out, metadata={"source": "npm nsfwjs 4.3.0 (MIT): InceptionV3",
                                     "input": "RGB in [0,1], 299x299"})
    out.chmod(0o644)
    print(f"{out}: {len(stored)} tensors, {out.stat().st_size} bytes")


def evaluate(layers, tensors, image, wanted):
    """Walks the graph on image [1,3,299,299]; returns {name: activation} of the wanted layers."""
    import torch
    from torch.nn import functional as F
    values = {}

    def weight(name):
        value, scale, minimum = tensors[name]
        return torch.from_numpy(value.astype(np.float32) * np.float32(scale) + np.float32(minimum))

    def same_padding(x, kernel, stride):
        total = [max((-(-size // s) - 1) * s + k - size, 0)
                 for size, k, s in zip(x.shape[2:], kernel, stride)]
        return (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2)

    for layer in layers:
        kind, name, config = layer["class_name"], layer["name"], layer["config"]
        inputs = [values[node[0]] for group in layer["inbound_nodes"] for node in group]
        x = inputs[0] if inputs else torch.from_numpy(image)
        if kind == "Conv2D":
            if config["padding"] == "same":
                x = F.pad(x, same_padding(x, config["kernel_size"], config["strides"]))
            x = F.conv2d(x, weight(f"{name}/kernel").permute(3, 2, 0, 1), stride=config["strides"])
        elif kind == "BatchNormalization":
            beta, mean, var = (weight(f"{name}/{k}")[None, :, None, None] for k in STATISTICS)
            x = (x - mean) / torch.sqrt(var + config["epsilon"]) + beta
        elif kind == "Activation":
            x = torch.relu(x)
        elif kind == "Concatenate":
            x = torch.cat(inputs, 1)
        elif kind == "MaxPooling2D":
            x = F.max_pool2d(x, config["pool_size"], config["strides"])
        elif kind == "AveragePooling2D":
            pad = 1 if config["padding"] == "same" else 0
            x = F.avg_pool2d(x, config["pool_size"], config["strides"], pad,
                             count_include_pad=False)
        elif kind == "Flatten":
            break
        values[name] = x
    return {name: values[name] for name in wanted}


def drawn_picture():
    """A 299 x 299 picture in [0,1]: a gradient, two discs and stripes; u8 so that it is exact."""
    y, x = np.mgrid[0:299, 0:299].astype(np.float32) / 298
    picture = np.stack([x, y, 1 - x])
    picture[:, (x - .35) ** 2 + (y - .4) ** 2 < .05] = np.array([[.9], [.15], [.1]])
    picture[:, (x - .7) ** 2 + (y - .65) ** 2 < .03] = np.array([[.1], [.3], [.85]])
    picture[:, (y > .85) & (np.sin(x * 60) > 0)] = 0.05
    return np.round(picture * 255).astype(np.uint8)


def write_reference(layers, tensors, out):
    """The picture is stored as u8 at a third of its size, columns and rows 0, 3, 6, ..., 297."""
    small = np.ascontiguousarray(drawn_picture()[:, ::3, ::3])
    big = np.repeat(np.repeat(small, 3, 1), 3, 2)[:, :299, :299].astype(np.float32) / 255
    found = evaluate(layers, tensors, big[None], ["mixed6", "average_pooling2d_10"])
    save_file({"picture": small,
               "mixed6": found["mixed6"].mean((2, 3))[0].numpy(),
               "final": found["average_pooling2d_10"].reshape(-1).numpy()}, out)
    print(f"{out}: {out.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("inception.safetensors"))
    parser.add_argument("--reference", type=pathlib.Path)
    args = parser.parse_args()
    layers, tensors = read_package()
    export(tensors, args.out)
    if args.reference:
        write_reference(layers, tensors, args.reference)


if __name__ == "__main__":
    main()
