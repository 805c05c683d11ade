"""Products, convolutions and attention are called in one place each of the room nn.

A kernel of our own, or packed weights, then reach every network by a change of that one file. And a kernel that
shares its work among threads does so by nn/parallel.h, which sees to it that there are any.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = re.compile(r"\bat::(linear|conv2d|convolution|scaled_dot_product_attention|matmul|mm|bmm|addmm|"
                     r"baddbmm|einsum)\(|\btorch::nn::(Linear|Conv2d)\b")

# Files that may, and why.
MAY = {
    "linear.cpp": "the product",
    "conv.cpp": "the convolution",
    "attention.cpp": "the attention",
    "upcast_products.cpp": "the product and the convolution of linear.cpp and conv.cpp by another way",
    "lora.cpp": "multiplies weights with weights, once, when they are read",
    "autoencoder/latent_converter.cpp": "resamples grids, and fits weights by least squares in f64",
}
MAY_FOLDER = "features/"  # depthwise, asymmetric and valid convolutions of networks that are never trained


def wrong_calls(name: str, text: str) -> list[str]:
    """`name` is relative to src/nn."""
    if name in MAY or name.startswith(MAY_FOLDER) or name.endswith("_test.cpp"):
        return []
    return [f"src/nn/{name}:{number}: {found.group(0)}, which belongs to nn/linear, nn/conv or nn/attention"
            for number, line in enumerate(text.splitlines(), 1)
            if (found := PRODUCT.search(line.split("//")[0]))]


def serial_loop(name: str, text: str) -> list[str]:
    """`name` is relative to src/."""
    if "at::parallel_for(" not in text or '#include "nn/parallel.h"' in text:
        return []
    return [f"src/{name}: at::parallel_for without nn/parallel.h"]


def main() -> int:
    assert len(wrong_calls("unet/x.cpp", "y = at::linear(x, w, b);")) == 1
    assert serial_loop("nn/x.cpp", "at::parallel_for(0, n, 1, f);")
    assert wrong_calls("unet/x.cpp", "// as at::linear(x)") == []
    folder = ROOT / "src" / "nn"
    files = [path for pattern in ("*.cpp", "*.h") for path in folder.rglob(pattern)]
    missing = [name for name in MAY if not (folder / name).is_file()]
    wrong = [line for path in sorted(files)
             for line in wrong_calls(str(path.relative_to(folder)), path.read_text())]
    for path in sorted((ROOT / "src").rglob("*.cpp")):
        wrong += serial_loop(str(path.relative_to(ROOT / "src")), path.read_text())
    for name in missing:
        print(f"{__file__}: src/nn/{name} is gone")
    for line in wrong:
        print(line)
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
