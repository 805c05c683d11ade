"""The type that the autoencoder computes in: its error in bf16, its defaults, and that a picture carries it.

Usage: vae_dtype_test.py PROGRAM
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/mini"
PROGRAM = sys.argv.pop(1)
PROMPTS = ("a red apple, 3D render", "a castle, flat icon", "a fox, 3D render", "蓝色的鲸鱼,扁平图标")
FAST = ("--seed", "3", "--steps", "4", "--quiet", "--threads", "1")


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False,
                          env={"PANGU_HOME": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_WAIT_POLICY": "passive"})


def chunks(path):
    data, at = pathlib.Path(path).read_bytes(), 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + size]
        at += 12 + size


def levels(path):
    """The bytes of an RGB picture, its rows' filters undone."""
    width, height = struct.unpack(">II", pathlib.Path(path).read_bytes()[16:24])
    raw = zlib.decompress(b"".join(data for kind, data in chunks(path) if kind == b"IDAT"))
    stride, rows, above = 3 * width, [], bytes(3 * width)
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left, up = row[x - 3] if x > 2 else 0, above[x]
            corner = above[x - 3] if x > 2 else 0
            near = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            row[x] = (row[x] + (0, left, up, (left + up) // 2, near)[kind]) % 256
        rows.append(bytes(row))
        above = row
    return b"".join(rows)


class VaeDtype(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def draw(self, name, *flags, command="draw"):
        out = self.folder / f"{name}.png"
        done = run(command, *flags, *FAST, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        return levels(out)

    def test_bf16_costs_the_embedded_model_less_than_one_level(self):
        # The bound on which the default of own models rests (FamilySpec::vae_follows_dtype).
        for number, prompt in enumerate(PROMPTS):
            exact = self.draw(f"exact{number}", prompt, "--dtype", "f32")
            rough = self.draw(f"rough{number}", prompt, "--dtype", "f32", "--vae-dtype", "bf16")
            error = sum(abs(a - b) for a, b in zip(exact, rough)) / len(exact)
            print(f"bf16 autoencoder, '{prompt}': mean error {error:.2f} of 255")
            self.assertGreater(error, 0)
            self.assertLess(error, 1.0)

    def test_own_autoencoders_follow_the_type_unless_they_force_f32(self):
        both = self.draw("both", "fox", "--dtype", "bf16")
        self.assertEqual(both, self.draw("said", "fox", "--dtype", "bf16", "--vae-dtype", "bf16"))
        exact = self.draw("exact", "fox", "--dtype", "bf16", "--vae-dtype", "f32")
        self.assertNotEqual(both, exact)
        forced = self.folder / "forced"
        shutil.copytree(MODEL, forced)
        config = json.loads((forced / "vae/config.json").read_text())
        (forced / "vae/config.json").write_text(json.dumps(config | {"force_upcast": True}))
        self.assertEqual(exact, self.draw("forced", "fox", "--dtype", "bf16", "--model", forced))

    def test_a_picture_says_the_type_and_is_repeated_with_it(self):
        exact = self.draw("exact", "fox", "--dtype", "bf16", "--vae-dtype", "f32")
        repeated = self.draw("repeated", "--dtype", "bf16", "--from", self.folder / "exact.png")
        self.assertEqual(exact, repeated)
        other = self.draw("other", "--dtype", "bf16", "--vae-dtype", "bf16", "--from", self.folder / "exact.png")
        self.assertNotEqual(exact, other)

    def test_bridges_of_several_models_compute_in_the_type(self):
        # The members' autoencoders differ, so that latents go from one into the other through pixels.
        shutil.copytree(MODEL / "vae", self.folder / "vae")
        weights = self.folder / "vae/diffusion_pytorch_model.safetensors"
        data = bytearray(weights.read_bytes())
        header = struct.unpack("<Q", data[:8])[0]
        tensors = json.loads(data[8:8 + header])
        first = min(t["data_offsets"][0] for name, t in tensors.items() if name.startswith("encoder."))
        data[8 + header + first] ^= 1
        weights.write_bytes(data)
        recipe = self.folder / "recipe.toml"
        recipe.write_text('prompt = "a fox"\nsize = "128"\nbridge = "exact"\n[[member]]\nname = "a"\nhub = true\n'
                          '[[member]]\nname = "b"\nvae = "vae"\n')
        usual = self.draw("usual", recipe, "--dtype", "f32", command="coop")
        self.assertEqual(usual, self.draw("f32", recipe, "--dtype", "f32", "--vae-dtype", "f32", command="coop"))
        rough = self.draw("bf16", recipe, "--dtype", "f32", "--vae-dtype", "bf16", command="coop")
        self.assertNotEqual(usual, rough)
        again = self.draw("again", "--from", self.folder / "bf16.png", "--dtype", "f32", command="coop")
        self.assertEqual(rough, again)


if __name__ == "__main__":
    unittest.main()
