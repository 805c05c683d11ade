#!/usr/bin/env python3
"""Memory and waiting of a training whose data lies in shards: the same small training on data sets of several sizes.

    bench/stream.py PROGRAM [--pictures 1000,4000] [--steps 60]

Pictures are noise of 64 px in WebDataset shards of 500, with twenty captions, served by a web server of Python's on
loopback that answers ranges. The first run of each size indexes the shards and encodes all pictures (models/mini); the second
one trains out of the cache. Prints the peak of resident memory of both (getrusage), the share of their time that steps
waited for data, and what a picture more costs in each run, from the smallest size to the largest.
"""
import argparse
import functools
import http.server
import io
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from png_file import png_of  # noqa: E402

SIDE, A_SHARD, CAPTIONS = 64, 500, 20
MIB = 1 << 20


class Ranges(http.server.BaseHTTPRequestHandler):
    """Files of a folder by ranges, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder, *arguments):
        self.folder = folder
        super().__init__(*arguments)

    def do_GET(self):  # noqa: N802: http.server's name
        path = self.folder / self.path.lstrip("/")
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        size = path.stat().st_size
        last = min(last, size - 1)
        with path.open("rb") as file:
            file.seek(first)
            body = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def write_shards(folder, count):
    draw = random.Random(1)
    for shard in range(0, count, A_SHARD):
        with tarfile.open(folder / f"{shard // A_SHARD:06}.tar", "w") as tar:
            for i in range(shard, min(count, shard + A_SHARD)):
                picture = png_of(SIDE, SIDE, draw.randbytes(3 * SIDE * SIDE))
                for name, content in ((f"{i:07}.png", picture), (f"{i:07}.txt", f"noise of kind {i % CAPTIONS}".encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return (count - 1) // A_SHARD


def run(program, config):
    """Peak memory of one training, bytes, and its lines of metrics."""
    process = subprocess.Popen([program, "train", str(config), "--quiet", "--fresh"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"bench/stream.py: the training ended with {os.waitstatus_to_exitcode(status)}")
    metrics = (config.parent / "run/metrics.jsonl").read_text().splitlines()
    return usage.ru_maxrss * 1024, [json.loads(line) for line in metrics]


def measure(args, count):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "web").mkdir()
        last = write_shards(folder / "web", count)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, folder / "web"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = folder / "config.toml"
        values = {"output_dir": str(folder / "run"), "task": "denoiser", "network_config": str(ROOT / "configs/mini/unet.json"),
                  "model_dir": str(ROOT / "models/mini"), "resolution": SIDE, "train_batch_size": 16,
                  "train_data_dir": [f"http://127.0.0.1:{server.server_port}/{{000000..{last:06}}}.tar"],
                  "sample_every_n_steps": 0, "log_every_n_steps": 10, "max_train_steps": args.steps}
        config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        filling, _ = run(args.program, config)
        training, metrics = run(args.program, config)
        server.shutdown()
        seconds = [line["seconds"] for line in metrics]
        spans = [b - a for a, b in zip([0, *seconds], seconds)]
        waited = sum(line["data_wait_share"] * span for line, span in zip(metrics, spans)) / sum(spans)
        return filling, training, waited, (seconds[-1] - seconds[0]) / (metrics[-1]["step"] - metrics[0]["step"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--pictures", default="1000,4000")
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    counts = [int(count) for count in args.pictures.split(",")]
    found = []
    print("pictures | filling, MiB | training, MiB | waiting for data | a step")
    for count in counts:
        found.append(measure(args, count))
        filling, training, waited, step = found[-1]
        print(f"{count} | {filling / MIB:.0f} | {training / MIB:.0f} | {100 * waited:.2f} % | {step:.3f} s", flush=True)
    if len(counts) > 1:
        more = counts[-1] - counts[0]
        for name, part in (("filling", 0), ("training", 1)):
            print(f"a picture more, {name}: {(found[-1][part] - found[0][part]) / more / 1024:.2f} KiB")


if __name__ == "__main__":
    main()
