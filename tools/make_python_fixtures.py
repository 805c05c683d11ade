"""Writes the small files of PyTorch and NumPy that the tests of src/io/python and its fuzzers read.

Usage: make_python_fixtures.py FOLDER, for which tests/fuzz/corpus is meant; needs torch and numpy.
"""

import pathlib
import sys

import numpy
import torch


class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6, dtype=torch.float16).reshape(2, 3))
        self.inner = torch.nn.Linear(2, 1)
        with torch.no_grad():
            self.inner.weight.copy_(torch.tensor([[0.5, -1.0]]))
            self.inner.bias.fill_(2.0)

    def forward(self, x):
        return self.inner(x @ self.weight.float().t())


def main(folder):
    pytorch, npz = folder / "pytorch_file", folder / "npz"
    pytorch.mkdir(parents=True, exist_ok=True)
    npz.mkdir(parents=True, exist_ok=True)
    shared = torch.arange(12, dtype=torch.float32)
    state = {
        "a.weight": shared.reshape(3, 4),
        "a.turned": shared.reshape(3, 4).t(),
        "a.part": shared[2:5],
        "b.steps": torch.tensor(7, dtype=torch.int64),
        "b.half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "b.empty": torch.zeros(0, 3),
        "c": torch.nn.Parameter(torch.tensor([True, False]).float()),
    }
    torch.save(state, pytorch / "zip.pth")
    torch.save(state, pytorch / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "name": "run", "state_dict": {"module." + k: v for k, v in state.items()},
                "optimizer": {"lr": 0.1, "steps": [1, 2]}}, pytorch / "checkpoint.pt")
    torch.jit.script(Part()).save(str(pytorch / "script.pt"))
    mu, sigma = numpy.array([0.5, 2.0]), numpy.asfortranarray([[1.0, 2.0], [3.0, 4.0]])
    numpy.savez(npz / "plain.npz", mu=mu, sigma=sigma)
    numpy.savez_compressed(npz / "compressed.npz", mu=mu, sigma=sigma.astype(numpy.float32))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
