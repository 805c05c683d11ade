"""Adds context_norm.mean and context_norm.scale to a text encoder: the mean of its token states over the captions of a
training set, and the inverse of the root mean square of the states minus that mean. The mean of e5's states is far
from zero, and cross-attention learns slowly from such states.

Usage: add_context_norm.py CACHE TEXT_ENCODER/model.safetensors

CACHE is the folder of a training's captions*.safetensors. They must come from the same encoder without context_norm; they
are rewritten in the new form, so that training need not encode the captions again.
"""

import hashlib
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def main() -> int:
    cache_paths, weights_path = sorted(pathlib.Path(sys.argv[1]).glob("captions*.safetensors")), pathlib.Path(sys.argv[2])
    if not cache_paths:
        print(f"{sys.argv[1]}: expected captions*.safetensors, found none", file=sys.stderr)
        return 2
    with safe_open(weights_path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(weights_path)
    if "context_norm.mean" in weights:
        print(f"{weights_path} has context_norm.mean already", file=sys.stderr)
        return 2
    caches = {path: load_file(path) for path in cache_paths}
    states = torch.cat([value for cache in caches.values() for value in cache.values()]).float()
    mean = states.mean(0)
    scale = 1 / (states - mean).square().mean().sqrt()
    weights["context_norm.mean"] = mean.contiguous()
    weights["context_norm.scale"] = scale.reshape(1)
    save_file(weights, weights_path, metadata=metadata)
    # The same digest that the program keeps with its cache (app/train/latent_cache.cpp).
    digest = hashlib.sha256()
    folder = weights_path.parent
    for part in (weights_path, folder / "config.json", folder.parent / "tokenizer/tokenizer.json"):
        digest.update(part.read_bytes())
    for path, cache in caches.items():
        moved = {key: ((value.float() - mean) * scale).bfloat16() for key, value in cache.items()}
        save_file(moved, path, metadata={"maker": digest.hexdigest()})
    print(f"{len(states)} token states, scale {scale:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
