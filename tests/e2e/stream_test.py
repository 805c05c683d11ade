"""Trains on shards that a web server gives (nginx on loopback): the bits of a folder's training, kills, broken members,
a server that goes away, several runs that fill one cache, and memory that does not grow with the data.

Usage: stream_test.py PROGRAM
It wants Debian's nginx, which tools/install/packages.sh lists; its absence is a failure.
"""

import io
import json
import pathlib
import random
import subprocess
import tarfile
import tempfile
import time
import unittest

from nginx import Nginx
from ports import free_port
from program import PROGRAM, ROOT
from small_training import checkpoint_name, disc_png, write_config, write_networks

SHARDS, A_SHARD = 4, 6


class Stream(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        write_networks(self.folder)
        self.shards = self.folder / "web"
        self.shards.mkdir()
        served = self.folder / "nginx"
        served.mkdir()
        port = free_port()
        self.nginx = Nginx(served, port, f"    server {{ listen 127.0.0.1:{port}; root {self.shards}; }}")
        self.addCleanup(self.nginx.stop)

    def url(self, name):
        return f"http://127.0.0.1:{self.nginx.port}/{name}"

    def write_shards(self, count=SHARDS, broken=()):
        """Shards of pictures of two shapes. broken: numbers of pictures whose pixels are cut."""
        for shard in range(count):
            with tarfile.open(self.shards / f"shard-{shard:06}.tar", "w") as tar:
                for i in range(shard * A_SHARD, (shard + 1) * A_SHARD):
                    picture = disc_png(72, 64 if i % 3 else 96, i)
                    if i in broken:
                        picture = picture[:len(picture) // 2]
                    for name, content in ((f"{i:04}.png", picture), (f"{i:04}.txt", f"disc number {i}\n".encode())):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
        return self.url(f"shard-{{000000..{count - 1:06}}}.tar")

    def config(self, output, data, **keys):
        values = {"task": "denoiser", "output_dir": str(self.folder / output), "train_data_dir": [str(data)],
                  "network_config": str(self.folder / "unet.json"), "model_dir": str(ROOT / "models/mini"),
                  "seed": 5, "replicas": 2, "train_batch_size": 4, "resolution": 64, "enable_bucket": True,
                  "bucket_reso_steps": 32, "sample_every_n_steps": 0, "log_every_n_steps": 5,
                  "save_every_n_steps": 3, "max_train_steps": 20, **keys}
        return write_config(self.folder / f"{output}.toml", values)

    def start(self, config):
        return subprocess.Popen([PROGRAM, "train", str(config), "--quiet"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def train(self, config, code=0):
        process = self.start(config)
        out, err = process.communicate()
        self.assertEqual(process.returncode, code, (out, err))
        return out + err

    def weights(self, output):
        return (self.folder / output / "model/unet/diffusion_pytorch_model.safetensors").read_bytes()

    def test_shards_on_a_server_train_to_the_bits_of_a_folder_unbroken_or_killed(self):
        url = self.write_shards()
        self.train(self.config("far", url))
        self.train(self.config("near", self.shards))
        self.assertEqual(self.weights("far"), self.weights("near"))
        # Every picture by a range of its own, no shard more than once.
        whole = [line for line in self.nginx.requests() if '" 200 ' in line]
        self.assertEqual(whole, [])
        metrics = (self.folder / "far/metrics.jsonl").read_text().splitlines()
        self.assertGreaterEqual(json.loads(metrics[-1])["data_wait_share"], 0)

        config, draw = self.config("killed", url), random.Random(1)
        for kill in range(5):
            before = checkpoint_name(self.folder / "killed")
            process = self.start(config)
            while kill > 1 and process.poll() is None and checkpoint_name(self.folder / "killed") == before:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 1.0 if kill < 2 else 0.05))  # the first ones die while they cache
            process.kill()
            process.communicate()
        self.train(config)
        self.assertEqual(self.weights("killed"), self.weights("far"))
        self.assertEqual(list((self.folder / "killed/cache/index").glob("*.tar*")), [])

    def test_broken_members_are_named_and_left_out_alike_and_the_order_of_the_others_stays(self):
        url = self.write_shards(2, broken=(3, 8))
        said = self.train(self.config("one", url))
        for name in ("0003", "0008"):
            self.assertIn(name, said)
        self.assertIn("2 skipped", said)
        # Again out of the cache, and with one process more.
        again = self.train(self.config("two", url, cache_dir=str(self.folder / "one/cache")))
        self.assertIn("2 skipped", again)
        self.assertEqual(self.weights("two"), self.weights("one"))

    def test_a_server_that_is_away_ends_the_run_with_its_name_and_the_run_goes_on_later(self):
        url = self.write_shards(2)
        self.train(self.config("whole", url))
        config = self.config("run", url)
        self.nginx.stop()
        said = self.train(config, code=3)
        self.assertIn("127.0.0.1", said)
        self.assertIn("5 times", said)
        self.nginx.start()
        (self.shards / "shard-000001.tar").rename(self.shards / "gone.tar")
        said = self.train(config)
        self.assertIn("HTTP 404", said)
        self.assertIn("shard-000001.tar", said)
        (self.shards / "gone.tar").rename(self.shards / "shard-000001.tar")
        self.assertIn("data", self.train(config, code=2))  # another dataset than the run's
        config.write_text(config.read_text().replace(str(self.folder / "run"), str(self.folder / "anew")))
        self.train(config)
        self.assertEqual(self.weights("anew"), self.weights("whole"))

    def test_runs_that_begin_at_once_fill_one_cache_together(self):
        url, cache = self.write_shards(), str(self.folder / "cache")
        configs = [self.config(f"run{i}", url, cache_dir=cache) for i in range(3)]
        processes = [self.start(config) for config in configs]
        for process in processes:
            out, err = process.communicate()
            self.assertEqual(process.returncode, 0, (out, err))
        self.assertEqual(len(set(self.weights(f"run{i}") for i in range(3))), 1)
        self.assertEqual(len(list((self.folder / "cache/index").glob("*.jsonl"))), SHARDS)


if __name__ == "__main__":
    unittest.main()
