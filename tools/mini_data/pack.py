"""Writes a dataset folder as WebDataset shards with deterministic bytes.

A sample is NAME.json (its manifest line), NAME.txt (captions, one a line) and NAME.webp, in the
order of the manifest; owner, mode and time are fixed, so equal inputs give equal shards.
"""
import io
import json
import pathlib
import tarfile


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 0, 0o644
    tar.addfile(info, io.BytesIO(data))


def pack(dataset: pathlib.Path, shards: pathlib.Path, shard_bytes: int) -> list[pathlib.Path]:
    """Packs `dataset` into shards of about `shard_bytes`; returns their paths. Old shards in the
    folder are removed first, so that a smaller set leaves no stale shard behind."""
    shards.mkdir(parents=True, exist_ok=True)
    for old in shards.glob("shard-*.tar"):
        old.unlink()
    paths, tar, filled = [], None, 0
    for line in (dataset / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        picture = (dataset / record["file"]).read_bytes()
        captions = "\n".join(record["captions"]["en"] + record["captions"]["zh"]) + "\n"
        name = f"{record['style']}_{record['concept_id']}"
        if tar is None or filled + len(picture) > shard_bytes:
            if tar is not None:
                tar.close()
            paths.append(shards / f"shard-{len(paths):06d}.tar")
            tar, filled = tarfile.open(paths[-1], "w", format=tarfile.USTAR_FORMAT), 0
        for suffix, data in (("json", line.encode()), ("txt", captions.encode()),
                             ("webp", picture)):
            add(tar, f"{name}.{suffix}", data)
            filled += 512 + (len(data) + 511) // 512 * 512
    if tar is not None:
        tar.close()
    return paths
