"""Exports MoveNet SinglePose Lightning of npm `@vladmandic/human` 3.3.6 to a model folder; models/movenet was made so.
It writes the convolutions of a tfjs graph model (MobileNetV2, a feature pyramid, four heads) under names that say what
they do, in the f16 they are stored in, turned to torch's [out,in,kh,kw]; batch normalisations were folded into them
before. The package is MIT; Google published the network under Apache-2.0. It was not trained here.

`--reference OUT PICTURE` evaluates the package's own graph, node by node, on the middle of a picture at 192 x 192 and
writes the picture, the four heads at every sixth place and the keypoints, for the parity test.
"""

import argparse
import base64
import json
import pathlib
import tarfile

import numpy as np
from safetensors.numpy import save_file

import fetch_package

PACKAGE = ("npm", "@vladmandic/human", "3.3.6",
           "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7")
FOLDER = "package/models"
CALL = "StatefulPartitionedCall/"
TRUNK = CALL + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
HEADS = {"center": ("center_0", 3, 4), "heatmap": ("kpt_heatmap_0", 4, 5),
         "regression": ("kpt_regress_0", 5, 6), "offset": ("kpt_offset_0", 6, 7)}
PIXELS, EVERY = 192, 6


def read_package():
    """Returns (nodes of the graph, {name: array as stored})."""
    with tarfile.open(fetch_package.fetch(*PACKAGE)) as package:
        model = json.load(package.extractfile(f"{FOLDER}/movenet-lightning.json"))
        raw = package.extractfile(f"{FOLDER}/movenet-lightning.bin").read()
    tensors, at = {}, 0
    for entry in model["weightsManifest"][0]["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        tensors[entry["name"]] = np.frombuffer(raw, kind, count, at).reshape(entry["shape"])
        at += count * kind.itemsize
    if at != len(raw):
        raise RuntimeError(f"weights: expected {at} bytes, found {len(raw)}")
    return model["modelTopology"]["node"], tensors


def renamed():
    """Returns {our name without .weight and .bias: (kernel, bias or None) of the package}."""
    names = {"backbone.stem": ("model/Conv1/Conv2D_weights", "model/Conv1/Conv2D_bn_offset"),
             "backbone.last": ("model/Conv_1/Conv2D_weights", "model/Conv_1/Conv2D_bn_offset")}
    for block in range(17):
        theirs = f"model/block_{block}_" if block else "model/expanded_conv_"
        for part in ("expand", "depthwise", "project") if block else ("depthwise", "project"):
            kind = "depthwise" if part == "depthwise" else "Conv2D"
            node = f"{theirs}{part}/{kind}"
            names[f"backbone.block_{block}.{part}"] = (f"{node}_weights", f"{node}_bn_offset")
    for level, number in ((32, ""), (16, "_1"), (8, "_2"), (4, "_3")):
        names[f"pyramid.lateral_{level}"] = (f"conv2d{number}/Conv2D/ReadVariableOp",
                                             f"conv2d{number}/BiasAdd/ReadVariableOp")
    for level, number in ((16, ""), (8, "_1"), (4, "_2")):
        node = f"separable_conv2d{number}/separable_conv2d"
        names[f"pyramid.merge_{level}.depthwise"] = (f"{node}/ReadVariableOp", None)
        names[f"pyramid.merge_{level}.pointwise"] = (f"{node}_weights", f"{node}_bn_offset")
    names = {ours: tuple(n and TRUNK + n for n in theirs) for ours, theirs in names.items()}
    for ours, (head, separable, last) in HEADS.items():
        node = f"{CALL}{head}/separable_conv2d_{separable}"
        names[f"{ours}.depthwise"] = (f"{node}/separable_conv2d/ReadVariableOp", None)
        names[f"{ours}.pointwise"] = (f"{node}/separable_conv2d/ReadVariableOp_1", f"{node}/BiasAdd/ReadVariableOp")
        names[f"{ours}.out"] = (f"{CALL}{head}/conv2d_{last}/Conv2D/ReadVariableOp",
                                f"{CALL}{head}/conv2d_{last}/BiasAdd/ReadVariableOp")
    return names


def export(tensors, folder):
    stored = {}
    for ours, (kernel, bias) in renamed().items():
        order = (2, 3, 0, 1) if "depthwise" in ours else (3, 2, 0, 1)
        stored[f"{ours}.weight"] = np.ascontiguousarray(tensors[kernel].transpose(order))
        if bias:
            stored[f"{ours}.bias"] = tensors[bias]
    left = {name for name, value in tensors.items() if value.ndim == 4 and value.size > 3}
    left -= {kernel for kernel, _ in renamed().values()}
    if left:
        raise RuntimeError(f"kernels without a name: {sorted(left)}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file(stored, path, metadata={"source": "npm @vladmandic/human 3.3.6 (MIT), MoveNet Lightning 4",
                                      "format": "pt"})
    path.chmod(0o644)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["MoveNet"], "input_px": PIXELS, "input": "RGB in [-1,1]", "keypoints": 17,
        "torch_dtype": "float16"}, indent=2) + "\n")
    print(f"{path}: {len(stored)} tensors, {path.stat().st_size} bytes")


def evaluate(nodes, tensors, image):
    """Returns {node: value} of the graph on image [1,192,192,3] int32; values are NHWC numpy arrays."""
    import torch
    from torch.nn import functional as F
    values = {name: value.astype(np.float32) if value.dtype == np.float16 else value
              for name, value in tensors.items()}

    def words(node, key):
        return [base64.b64decode(s).decode() for s in node["attr"].get(key, {}).get("list", {}).get("s", [])]

    def convolution(node, x, kernel, *bias):
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        depthwise = "epthwise" in node["op"]
        t = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
        if base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME":
            pad = []
            for size, k in ((t.shape[3], kernel.shape[1]), (t.shape[2], kernel.shape[0])):
                total = max((-(-size // stride) - 1) * stride + k - size, 0)
                pad += [total // 2, total - total // 2]
            t = F.pad(t, pad)
        w = torch.from_numpy(np.ascontiguousarray(kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))))
        t = F.conv2d(t, w, torch.from_numpy(bias[0].copy()) if bias else None, stride,
                     groups=t.shape[1] if depthwise else 1)
        for word in words(node, "fused_ops"):
            t = {"BiasAdd": lambda v: v, "Relu": F.relu, "Relu6": F.relu6}[word](t)
        return t.permute(0, 2, 3, 1).numpy()

    def resized(x, size):
        t = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
        return F.interpolate(t, tuple(int(s) for s in size), mode="bilinear").permute(0, 2, 3, 1).numpy()

    operations = {
        "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "RealDiv": np.divide, "FloorDiv": np.floor_divide,
        "SquaredDifference": lambda a, b: (a - b) ** 2, "Sqrt": np.sqrt, "Identity": lambda a: a,
        "Sigmoid": lambda a: 1 / (1 + np.exp(-a)), "Reshape": lambda a, shape: a.reshape(shape),
        "ArgMax": lambda a, axis: a.argmax(int(axis)).astype(np.int32), "Squeeze": lambda a: a.squeeze(0),
        "ExpandDims": lambda a, axis: np.expand_dims(a, int(axis)), "ResizeBilinear": resized,
        "GatherNd": lambda a, at: a[tuple(np.moveaxis(at, -1, 0))],
        "ConcatV2": lambda *a: np.concatenate(a[:-1], int(a[-1])),
    }

    def axis_of(node):
        return int(node["attr"].get("axis", {}).get("i", 0))

    for node in nodes:
        op, name = node["op"], node["name"]
        if op == "Const":
            continue
        inputs = [values[i] for i in node.get("input", [])]
        if op == "Placeholder":
            values[name] = image
        elif op == "Cast":
            values[name] = inputs[0].astype(np.float32)
        elif "onv2" in op:
            values[name] = convolution(node, *inputs)
        elif op == "Pack":
            values[name] = np.stack(inputs, axis_of(node))
        elif op == "Unpack":
            for i, part in enumerate(np.moveaxis(inputs[0], axis_of(node), 0)):
                values[f"{name}:{i}" if i else name] = part
        else:
            values[name] = np.asarray(operations[op](*inputs))
    return values


def write_reference(nodes, tensors, picture, out):
    from PIL import Image
    image = Image.open(picture).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((PIXELS, PIXELS), Image.Resampling.BOX)
    pixels = np.asarray(image)
    found = evaluate(nodes, tensors, pixels.astype(np.int32)[None])
    reference = {"picture": pixels, "keypoints": found["Identity"].reshape(17, 3)}
    for ours, (head, _, last) in HEADS.items():
        value = found[f"{CALL}{head}/conv2d_{last}/BiasAdd"][0].transpose(2, 0, 1)
        reference[ours] = np.ascontiguousarray(value[:, ::EVERY, ::EVERY])
    save_file({name: np.ascontiguousarray(value) for name, value in reference.items()}, out)
    print(f"{out}: {out.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/movenet"), help="folder to write")
    parser.add_argument("--reference", nargs=2, type=pathlib.Path, metavar=("OUT", "PICTURE"))
    args = parser.parse_args()
    nodes, tensors = read_package()
    export(tensors, args.out)
    if args.reference:
        write_reference(nodes, tensors, args.reference[1], args.reference[0])


if __name__ == "__main__":
    main()
