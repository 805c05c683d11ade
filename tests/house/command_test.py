"""The command line as a person meets it: help, exit codes, errors in one line, inspect and doctor.

Usage: command_test.py PROGRAM
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
PICTURES = pathlib.Path(__file__).resolve().parents[1] / "fuzz/corpus/image"


def run(*arguments, **kwargs):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **kwargs)


def safetensors(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def refused(code: int, *arguments) -> str:
    """The program's error line for arguments that it must refuse with this exit code."""
    done = run(*arguments)
    assert done.returncode == code, (arguments, done)
    assert done.stdout == "" and done.stderr.startswith("pangu-draw: error: "), done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def help_and_version():
    names = ("draw", "train", "data", "eval", "inspect", "doctor")
    text = run("--help")
    assert text.returncode == 0 and all(name in text.stdout for name in names), text
    for name in names:
        assert run(name, "--help").returncode == 0
    assert run("--version").stdout.startswith("pangu-draw ")


def bad_flags_are_code_2():
    refused(2)
    refused(2, "paint")
    assert "--stepz" in refused(2, "draw", "a cat", "--stepz", "3")
    refused(2, "draw", "a cat", "--steps", "many")
    refused(2, "draw", "a cat", "--model", "/nonexistent/model")


def inspect_reads_headers(folder):
    path = folder / "a.safetensors"
    path.write_bytes(safetensors({"__metadata__": {"from": "a test"},
                                  "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                                  "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}},
                                 bytes(32)))
    found = json.loads(run("inspect", path, "--json", "--tensors").stdout)
    assert (found["tensors"], found["parameters"], found["size_bytes"]) == (2, 10, 32), found
    assert found["parameters_by_dtype"] == {"F32": 6, "BF16": 4}, found
    assert found["metadata"] == {"from": "a test"}, found
    assert found["tensor_list"][1] == {"name": "w", "dtype": "F32", "shape": [2, 3]}, found
    table = run("inspect", path, "--tensors").stdout
    assert "2x3" in table and "BF16" in table, table
    path.write_bytes(safetensors({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]}},
                                 bytes(20)))
    assert "a.safetensors" in refused(2, "inspect", path)
    refused(3, "inspect", folder / "missing.safetensors")
    refused(2, "inspect", folder)


def inspect_reads_models(folder):
    model = folder / "model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text('{"_class_name": "X"}')
    (model / "unet/config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    (model / "unet/w.safetensors").write_bytes(safetensors(
        {"w": {"dtype": "I8", "shape": [5], "data_offsets": [0, 5]}}, bytes(5)))
    found = json.loads(run("inspect", model, "--json").stdout)
    assert found["parameters"] == 5 and found["parts"][0]["class"] == "UNet2DConditionModel", found
    assert "UNet2DConditionModel" in run("inspect", model).stdout
    (model / "model_index.json").write_text("{")
    refused(2, "inspect", model)


def data_of_ones_own(folder):
    """A folder of pictures with .txt captions, one of them broken, to shards and back."""
    dataset = folder / "pictures/inside"
    dataset.mkdir(parents=True)
    for name in ("rgb.png", "rgba.png", "baseline.jpg", "lossy.webp"):
        shutil.copy(PICTURES / name, dataset)
        (dataset / name).with_suffix(".txt").write_text("a test picture\n一张测试图片\n")
    (dataset / "broken.png").write_bytes((PICTURES / "rgb.png").read_bytes()[:60])
    (dataset / "broken.txt").write_text("half a picture\n")
    found = json.loads(run("data", "stats", folder / "pictures", "--json").stdout)
    assert found["captions_zh"] == 4, found
    checked = json.loads(run("data", "check", folder / "pictures", "--json").stdout)
    assert checked["whole"] == 4 and checked["skipped"]["count"] == 1, checked
    assert "broken" in checked["skipped"]["first"][0]["name"], checked
    packed = run("data", "pack", folder / "pictures", "--out", folder / "shards", "-q")
    assert packed.returncode == 0 and list((folder / "shards").glob("*.tar")), packed
    again = json.loads(run("data", "stats", folder / "shards", "--json").stdout)
    assert again["pictures"] == 4 and again["captions_en"] == 4, again
    refused(2, "data", "stats", folder / "nothing here")
    refused(2, "data", "stats", folder / "pictures", "--part", "middle")
    refused(2, "data", "pack", folder / "pictures")


def doctor_reports():
    found = json.loads(run("doctor", "--json").stdout)
    assert found["processor"]["cores_allowed"] >= 1, found
    assert 0 < found["memory"]["available_bytes"] <= found["memory"]["total_bytes"], found
    assert found["libtorch"]["version"].startswith("2."), found
    assert "memory" in run("doctor").stdout


def main() -> int:
    help_and_version()
    bad_flags_are_code_2()
    doctor_reports()
    with tempfile.TemporaryDirectory() as folder:
        inspect_reads_headers(pathlib.Path(folder))
        inspect_reads_models(pathlib.Path(folder))
        data_of_ones_own(pathlib.Path(folder))
    print("command line in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())
