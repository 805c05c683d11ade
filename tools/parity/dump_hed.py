"""Dumps HED's logits and the outputs of preprocessors for edge maps, for tests/parity/hed_test.cpp.

  dump_hed.py OUT_DIR

The network is written again with torch's functions and the embedded weights (models/hed), whose bytes are turned back
to numbers here in numpy. Writes OUT_DIR/tensors.safetensors: NAME/picture [H,W,3] u8, NAME/logits [6,H,W] f32 (five
sides, then fused); map/NAME [H,W] u8 with safe/NAME and scribble/NAME. With OpenCV installed, `--check` compares the
scribbles with the results of its functions.
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEAN_RGB = np.array((122.67892, 116.66877, 104.00699), np.float32)
BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def weights():
    stored, out = load_file(ROOT / "models/hed/model.safetensors"), {}
    for name, value in stored.items():
        if name.endswith("_u8"):
            limits = stored[name[:-3] + "_range"]
            value = value * limits[:, 0, None, None, None] + limits[:, 1, None, None, None]
            name = name[:-3]
        out[name] = torch.from_numpy(np.ascontiguousarray(value, np.float32))
    return out


@torch.no_grad()
def logits(w, picture):
    x = torch.from_numpy(picture.astype(np.float32) - MEAN_RGB).permute(2, 0, 1)[None]
    sides = []
    for number, block in enumerate(BLOCKS, 1):
        if number > 1:
            x = F.max_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-1e30), 2)
        for index in block:
            x = F.conv2d(x, w[f"features.{index}.weight"], w[f"features.{index}.bias"], padding=1).clamp_min(0)
        side = (x * w[f"dsn{number}.weight"].view(1, -1, 1, 1)).sum(1, keepdim=True) + w[f"dsn{number}.bias"]
        sides.append(F.interpolate(side, picture.shape[:2], mode="bilinear", align_corners=False))
    sides.append(sum(f * s for f, s in zip(w["fuse.weight"].view(5), sides)) + w["fuse.bias"])
    return torch.cat(sides, 1)[0].numpy()


def blur(image, radius):
    """Blurs by a Gaussian of sigma 3 px with a mirrored border."""
    at = np.arange(-radius, radius + 1)
    kernel = np.exp(-at ** 2 / 18.0)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius, radius)
        image = np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), axis, np.pad(image, pad, "reflect"))
    return image


def scribble(edges):
    smooth = blur(edges.astype(np.float64), 12)
    around = np.pad(smooth, 1, constant_values=-np.inf)
    height, width = edges.shape
    ridge = np.zeros(edges.shape, bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        ahead = around[1 + dy:1 + dy + height, 1 + dx:1 + dx + width]
        behind = around[1 - dy:1 - dy + height, 1 - dx:1 - dx + width]
        ridge |= np.maximum(ahead, behind) <= smooth
    return ((np.round(blur(np.where(ridge & (smooth > 127), 255.0, 0.0), 9)) > 4) * 255).astype(np.uint8)


def scribble_by_opencv(edges):
    import cv2
    smooth = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), 3.0)
    best = np.zeros_like(edges)
    for line in ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 1, 0]] * 3, np.eye(3), np.eye(3)[::-1]):
        best[cv2.dilate(smooth, np.array(line, np.uint8)) == smooth] = 1
    lines = np.where((best > 0) & (smooth > 127), 255, 0).astype(np.uint8)
    return np.where(cv2.GaussianBlur(lines, (0, 0), 3.0) > 4, 255, 0).astype(np.uint8)


def pictures():
    random = np.random.default_rng(2)
    for name, height, width in (("wide", 90, 141), ("tall", 120, 67), ("least", 16, 16), ("odd", 33, 17)):
        y, x = np.mgrid[0:height, 0:width]
        picture = np.stack([100 + 60 * np.sin(x / (9 + k) + y / 23 + k) for k in range(3)], -1)
        for _ in range(6):
            centre, radius = random.integers(0, (height, width)), random.integers(4, max(5, height // 3))
            picture[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius ** 2] = random.integers(0, 256, 3)
        yield name, (picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)


def main():
    w, tensors = weights(), {}
    for name, picture in pictures():
        found = logits(w, picture)
        edges = np.round(255 / (1 + np.exp(-found[5].astype(np.float64)))).astype(np.uint8)
        tensors |= {f"{name}/picture": picture, f"{name}/logits": found, f"map/{name}": edges,
                    f"safe/{name}": ((edges >= 85) * 127 + (edges >= 170) * 128).astype(np.uint8),
                    f"scribble/{name}": scribble(edges)}
        if "--check" in sys.argv:
            print(f"{name}: edges {edges.mean():.1f}, scribble {(scribble(edges) > 0).mean():.3f}, of OpenCV's differ "
                  f"{(scribble_by_opencv(edges) != scribble(edges)).mean():.5f}")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()},
              pathlib.Path(sys.argv[1]) / "tensors.safetensors")


if __name__ == "__main__":
    main()
