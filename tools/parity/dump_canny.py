"""Dumps Canny's edges, computed in plain numpy, for tests/parity/canny_test.cpp.

  dump_canny.py OUT_DIR

It is a second implementation of OpenCV's Canny (aperture 3) from its documentation and source, on whole arrays. With
OpenCV itself installed, `dump_canny.py OUT_DIR --check` prints in how many pixels the two differ (none, with 5.0.0).
Writes OUT_DIR/tensors.safetensors: NAME/picture [H,W,3] u8, NAME/edges [H,W] u8, NAME/options f32 [low, high, l2].
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file


def shifted(array, dy, dx):
    """Returns array[y + dy, x + dx], zero outside."""
    padded = np.pad(array, 1)
    return padded[1 + dy: 1 + dy + array.shape[0], 1 + dx: 1 + dx + array.shape[1]]


def gradients(picture):
    """Returns dx, dy [H,W,3] by Sobel's kernels, with the border repeated."""
    p = np.pad(picture.astype(np.int64), ((1, 1), (1, 1), (0, 0)), "edge")
    rows = p[:-2] + 2 * p[1:-1] + p[2:]
    columns = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]


def canny(picture, low, high, l2):
    dx, dy = gradients(picture)
    size = dx * dx + dy * dy if l2 else abs(dx) + abs(dy)
    channel = size.argmax(-1)[..., None]
    dx, dy, size = (np.take_along_axis(a, channel, -1)[..., 0] for a in (dx, dy, size))
    low, high = ((min(t, 32767.0) ** 2 if l2 else t) // 1 for t in (low, high))

    tangent = (abs(dy) << 15)
    flat = tangent < abs(dx) * 13573
    steep = tangent > abs(dx) * 13573 + (abs(dx) << 16)
    falling = (dx < 0) != (dy < 0)
    horizontal = (size > shifted(size, 0, -1)) & (size >= shifted(size, 0, 1))
    vertical = (size > shifted(size, -1, 0)) & (size >= shifted(size, 1, 0))
    down = (size > shifted(size, -1, -1)) & (size > shifted(size, 1, 1))
    up = (size > shifted(size, -1, 1)) & (size > shifted(size, 1, -1))
    ridge = np.where(flat, horizontal, np.where(steep, vertical, np.where(falling, up, down))) & (size > low)

    edges = ridge & (size > high)
    while True:
        wider = edges.copy()
        for y in (-1, 0, 1):
            for x in (-1, 0, 1):
                wider |= shifted(edges, y, x)
        wider &= ridge
        if (wider == edges).all():
            return edges.astype(np.uint8) * 255
        edges = wider


def pictures():
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:96, 0:131]
    waves = np.stack([127 + 120 * np.sin(x / (4 + k) + y / (9 - k)) * np.cos(y / 7.0 + k) for k in range(3)], -1)
    noisy = waves * 0.6 + random.normal(0, 12, waves.shape) + 40
    discs = np.full((96, 131, 3), 30.0)
    for k in range(12):
        near = (x - random.integers(131)) ** 2 + (y - random.integers(96)) ** 2 < random.integers(30, 900)
        discs[near] = random.integers(0, 256, 3)
    yield "waves", waves
    yield "noisy", noisy
    yield "discs", discs
    yield "noise", random.integers(0, 256, (40, 33, 3))
    yield "few levels", random.integers(0, 3, (64, 64, 3)) * 40
    for height, width in ((1, 1), (1, 7), (7, 1), (2, 2), (3, 2)):
        yield f"{width}x{height}", random.integers(0, 256, (height, width, 3))


def main():
    out, tensors, wrong = pathlib.Path(sys.argv[1]), {}, 0
    for name, picture in pictures():
        picture = np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
        for low, high, l2 in ((100, 200, 0), (30.5, 90.5, 0), (100, 200, 1), (0, 0, 0), (255, 255, 1)):
            case = f"{name} {low} {high} {'L2' if l2 else 'L1'}"
            edges = canny(picture, low, high, l2)
            tensors |= {f"{case}/picture": picture, f"{case}/edges": edges,
                        f"{case}/options": np.array([low, high, l2], np.float32)}
            if "--check" in sys.argv:
                import cv2
                differ = int((cv2.Canny(picture, low, high, L2gradient=bool(l2)) != edges).sum())
                wrong += differ
                print(f"{case}: {int((edges > 0).sum())} edges, {differ} differ from OpenCV {cv2.__version__}")
    save_file(tensors, out / "tensors.safetensors")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
