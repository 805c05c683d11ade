"""The command line as a person meets it: help, exit codes, errors in one line, inspect and doctor.

Usage: command_test.py PROGRAM
"""

import json
import math
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import sparse_files  # noqa: E402

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
    assert "steps" in refused(2, "draw", "a cat", "--steps", "many")
    assert "found nan" in refused(2, "draw", "a cat", "--guidance", "nan")
    assert "infinity" in refused(2, "draw", "a cat", "--guidance", "inf")
    # What is too long to be read again is told by its length.
    for arguments in (["x" * 100_000], ["a cat", "dog " * 25_000], ["a cat", "--sampler", "x" * 100_000]):
        message = refused(2, "draw", *arguments)
        assert "1000" in message and len(message) < 1000, message[:1000]
    refused(2, "draw", "a cat", "--model", "/nonexistent/model")


def wrong_words_are_named():
    """A wrong word is named, with the nearest right one and the help of the subcommand that was said."""
    for words, *expected in (
            (["drwa", "a cat"], "'drwa'", "did you mean 'draw'?"),
            (["txt2img", "a cat"], "'txt2img'", "did you mean 'draw'?"),
            (["a red apple"], "draws a picture"),
            (["data", "pakc"], "data: expected", "did you mean 'pack'?"),
            (["control", "depht", "a", "b"], "'depht'", "edges, hed, pose"),
            (["draw", "a cat", "--stepz", "3"], "'--stepz'", "did you mean '--steps'?"),
            (["draw", "a cat", "--tensors"], "a flag of inspect"),
            (["draw", "a cat", "--sampler", "eular"], "'eular'", "did you mean 'euler'?"),
            (["draw", "a cat", "--schedule", "karas"], "'karas'", "did you mean 'karras'?"),
            (["draw", "a cat", "--model", "minni"], "nothing at 'minni'", "did you mean 'mini'?"),
            (["draw", "a cat", "--with", "edges,wieght=0.5"], "'wieght'", "did you mean 'weight'"),
            (["draw", "a cat", "--steps"], "--steps: expected INT, found nothing"),
            (["draw", "a cat", "--embedding", "x.safetensors"], "x.safetensors", "read prompts by CLIP"),
            (["draw", "a cat", "--model", "someone/something"], "nothing is downloaded"),
            (["coop", "nowhere.toml"], "nothing at 'nowhere.toml'"),
            (["inspect", "minni"], "did you mean 'mini'?"),
            (["convert", "minni", "out"], "did you mean 'mini'?"),
            (["inspect", "a", "b"], "found 'b' too", "pangu-draw inspect --help"),
            (["data", "pack", "folder"], "--out is required", "pangu-draw data pack --help"),
            (["completion", "tcsh"], "bash, zsh or fish"),
            (["draw", "a", "cat", "cat.png"], "the name of a picture, 'cat.png'", "--out")):
        message = refused(2, *words)
        for part in expected:
            assert part in message, (words, part, message)


def words_that_change_nothing_are_told():
    def warnings(*words):
        done = run("draw", "a cat", "--plan", *words)
        assert done.returncode == 0, done
        return done.stderr
    assert warnings() == ""
    for words, *expected in (
            (["--size", "1024"], "1024x1024 is far from 256x256", "repeated"),
            (["--style", "shadde"], "'shadde'", "3d, flat, gradient, shaded, simple", "did you mean 'shaded'?"),
            (["--style-scale", "2"], "there is no --style"),
            (["--negative", "dogs", "--guidance", "1"], "negative prompt"),
            (["--s-noise", "0.5"], "adds no noise")):
        told = warnings(*words)
        assert told.startswith("pangu-draw: warning: ") and told.count("\n") == 1, (words, told)
        for part in expected:
            assert part in told, (words, part, told)
    for words, *expected in (
            (["--strength", "0.5"], "no picture to start from"), (["--clip-skip", "2"], "CLIP"),
            (["--refiner-start", "0.5"], "--refiner"), (["--bridge", "tiny"], "--with")):
        message = refused(2, "draw", "a cat", *words)
        for part in expected:
            assert part in message, (words, part, message)


def names_that_people_type_work():
    def plan(*words):
        done = run("draw", *words, "--plan", "--json")
        assert done.returncode == 0, done
        return done.stdout
    usual = ["a red apple", "--steps", "5", "--sampler", "dpmpp_2m", "--schedule", "exponential", "--seed", "3"]
    own = plan(*usual)
    assert own == plan("a", "red", "apple", "-s", "5", "--sampler", "DPM++ 2M Exponential", "--seed", "3")
    assert own == plan("a red apple", "--num_inference_steps=5", "--sampler", "DPMSolverMultistepScheduler",
                       "--scheduler", "Exponential", "--seed", "-1", "--model", "mini")
    assert own != plan("a red apple", "--steps", "5")
    assert run("draw", "x", "--plan", "--negative-prompt", "dogs", "--cfg", "3", "--width", "256", "-H", "192",
               "-n", "2").stderr == ""
    for words in (["draw", "a cat", "--seed", "-20000"], ["data", "scenes", "x", "--out", "y", "--seed", "-20000"],
                  ["eval", "--seed", "-1"], ["train-bridge", "a", "b", "--images", "c", "-o", "d", "--seed", "-5"]):
        message = refused(2, *words)
        assert "0 or more" in message and words[-1] in message, message
    assert run("control", "canny", "--help").returncode == 0
    assert "UNet2DConditionModel" in run("inspect", "mini").stdout
    assert "model of pangu-draw train (PanGuDrawPipeline)" in run("inspect", "mini").stdout
    assert "that varies a picture" in run("inspect", "variation").stdout


def the_page_of_names_is_right():
    """Every flag and every name of a sampler in docs/command-line.md is one that the program takes."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/command-line.md").read_text()
    manual = run("man").stdout.replace("\\", "")
    for flag in re.findall(r"`(-[-a-zA-Z]+)", page):
        assert flag in manual, flag
    rows = [line.strip("|").split("|") for line in page.split("| sampler |")[1].splitlines() if line.startswith("| `")]
    names = [name for row in rows for cell in (row[0], row[2]) for name in re.findall(r"`([^`]+)`", cell)]
    names += [name.strip() for row in rows for name in row[1].split(",") if name.strip() != "-"]
    assert len(names) > 40, names
    for name in names:
        assert run("draw", "x", "--plan", "--sampler", name).returncode == 0, name


def help_shows_defaults_and_changes_nothing(folder):
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    commands = ("draw", "coop", "train", "train-bridge", "data", "data build", "data pack", "data stats", "data check",
                "data scenes", "eval", "eval coop", "inspect", "convert", "quantize", "control", "control edges", "doctor",
                "completion", "man")
    for command in commands:
        done = run(*command.split(), "--help", cwd=folder, env=environment)
        assert done.returncode == 0 and done.stderr == "", done
        assert f"Usage: pangu-draw {command}" in done.stdout or "Usage:" in done.stdout, done.stdout
        assert done.stdout == run("help", *command.split(), cwd=folder, env=environment).stdout, command
    text = run("draw", "--help").stdout
    for words in ("--steps,--num-inference-steps INT", "(default: the model's)", "(default: cpu)", "(default: any)",
                  "(default: 0.75, with a mask 1)", "--cfg", "(default: 4)"):
        assert words in text, (words, text)
    assert not list(folder.iterdir()), list(folder.iterdir())


def shells_complete_what_the_program_knows():
    script = run("completion", "bash").stdout
    ask = script + """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _pangu_draw; echo "${COMPREPLY[*]}"; }
ask pangu-draw dr
ask pangu-draw draw --neg
ask pangu-draw draw x --sampler dpmpp_2
ask pangu-draw data pa
ask pangu-draw data pack --sh
"""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout.split("\n")[:5] == [
        "draw", "--negative --negative-prompt", "dpmpp_2s_a dpmpp_2m dpmpp_2m_sde", "pack", "--shard-mb"], done.stdout
    for shell in ("zsh", "fish"):
        script = run("completion", shell).stdout
        assert "negative-prompt" in script and "dpmpp_2m_sde" in script and "shard-mb" in script, shell
        if shutil.which(shell):
            assert subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True).returncode == 0, shell
    page = run("man").stdout
    assert page.startswith(".TH pangu\\-draw 1") and "\\-\\-negative\\-prompt" in page, page[:300]
    if shutil.which("man"):
        shown = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True)
        assert shown.returncode == 0 and "warning" not in shown.stderr, shown.stderr


def files_that_are_not_there_are_called_that(folder):
    nowhere = folder / "nowhere"
    for words in (["--model", nowhere], ["--init-image", nowhere], ["--vae", nowhere], ["--lora", nowhere],
                  ["--from", nowhere], ["--refiner", nowhere],
                  ["--init-image", PICTURES / "rgb.png", "--mask", nowhere], ["--controlnet", nowhere],
                  ["--with", f"{nowhere},weight=0.5"]):
        done = run("draw", "a cat", *words, "--out", folder / "out.png")
        assert done.returncode in (2, 3), done
        assert "'" + str(nowhere) + "'" in done.stderr, (words, done.stderr)
        assert "nothing at" in done.stderr or "o such file" in done.stderr or "not there" in done.stderr, done.stderr


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
    cut = folder / "cut.png"
    cut.write_bytes((PICTURES / "rgb.png").read_bytes()[:40])
    assert "cut.png" in refused(2, "inspect", cut)
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
    for odd in ("[]", "3", '{"_class_name": 3}', '{"architectures": [3]}'):
        (model / "unet/config.json").write_text(odd)
        assert json.loads(run("inspect", model, "--json").stdout)["parts"][0]["class"] == "", odd
    (model / "model_index.json").write_text("{")
    refused(2, "inspect", model)


def inspect_is_quick(folder):
    """A 7 GB file in under a second, told by its headers: those of a real checkpoint, without weights."""
    path = folder / "pangu.safetensors"
    sparse_files.write_safetensors(path)
    assert path.stat().st_size > 6.9e9
    seconds = []
    for _ in range(3):  # the machine may be busy with something else
        start = time.monotonic()
        found = json.loads(run("inspect", path, "--json").stdout)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1, seconds
    whole_pangu(found, "safetensors", "F16")
    path.unlink()
    path = folder / "pangu_low.ckpt"
    sparse_files.write_mindspore(path, sparse_files.released_tensors())
    assert path.stat().st_size == 13_840_689_166
    whole_pangu(json.loads(run("inspect", path, "--json").stdout), "MindSpore ckpt", "F32")
    text = run("inspect", path).stdout
    assert "PanGu-Draw 3" in text and "MindSpore ckpt" in text and "2.6 G" in text, text
    print(f"inspect: a 7 GB file in {min(seconds):.2f} s")


def whole_pangu(found, kind, dtype):
    assert found["kind"] == kind and found["recognised"]["family"] == "PanGu-Draw 3", found
    assert found["parameters"] == 3_460_111_596 and found["tensors"] == 2498, found
    assert found["missing"] == [] and found["unexpected"] == [] and found["skipped"] == {"buffer": 1}
    parameters = {part["name"]: part["parameters"] for part in found["components"]}
    assert parameters["unet"] == 2_565_825_284, parameters
    assert sum(parameters.values()) == 3_460_111_595, parameters  # but for logit_scale
    assert list(found["parameters_by_dtype"]) == [dtype], found


def inspect_tells_adapters_and_gaps(folder):
    def write(name, shapes, **metadata):
        header, at = {"__metadata__": metadata}, 0
        for key, shape in shapes.items():
            end = at + 4 * math.prod(shape)
            header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
            at = end
        (folder / name).write_bytes(safetensors(header, bytes(at)))
        return folder / name

    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    lora = write("lora.safetensors", {module + ".lora_down.weight": [4, 768],
                                      module + ".lora_up.weight": [320, 4], module + ".alpha": []})
    found = json.loads(run("inspect", lora, "--json").stdout)
    assert found["recognised"]["part"] == "LoRA", found
    assert found["recognised"]["family"] == "Stable Diffusion 1.x", found
    assert found["lora"]["ranks"] == [{"value": 4, "modules": 1}], found
    assert found["lora"]["alphas"] == [{"value": 0.0, "modules": 1}], found
    assert found["lora"]["targets"] == {"unet": 1}, found
    assert "rank" in run("inspect", lora).stdout
    dora = write("dora.safetensors", {module + ".lora_down.weight": [4, 768],
                                      module + ".lora_up.weight": [320, 4],
                                      module + ".dora_scale": [320, 1]})
    assert "DoRA" in run("inspect", dora).stdout
    half = write("vae.safetensors", {"decoder.conv_in.weight": [8, 4, 3, 3], "decoder.other": [1]})
    found = json.loads(run("inspect", half, "--json").stdout)
    assert found["recognised"]["part"] == "autoencoder", found
    assert "vae.decoder.conv_in.bias" in found["missing"], found
    assert found["unexpected"] == ["decoder.other"], found
    (folder / "model.ckpt").write_bytes(b"PK\x03\x04" + bytes(22) + b"\x10\0\0\0archive/data.pkl")
    assert "pickled" in refused(2, "inspect", folder / "model.ckpt")
    (folder / "empty.safetensors").write_bytes(b"")
    assert "empty" in refused(2, "inspect", folder / "empty.safetensors")


def data_of_ones_own(folder):
    """A folder of pictures with .txt captions, one of them broken, to shards and back."""
    dataset = folder / "pictures/inside"
    dataset.mkdir(parents=True)
    for name in ("rgb.png", "rgba.png", "baseline.jpg", "lossy.webp"):
        shutil.copy(PICTURES / name, dataset)
        (dataset / name).with_suffix(".txt").write_text("a test picture\n一张测试图片\n")
    (dataset / "broken.png").write_bytes((PICTURES / "rgb.png").read_bytes()[:60])
    (dataset / "broken.txt").write_text("half a picture\n")
    (dataset / "notes.md").write_text("no part of the data\n")
    (folder / "pictures/gone.png").symlink_to("nowhere")
    found = json.loads(run("data", "stats", folder / "pictures", "--json").stdout)
    assert found["captions_zh"] == 4, found
    done = run("data", "check", folder / "pictures", "--json")
    checked = json.loads(done.stdout)
    assert done.returncode == 2, "a script must see that something was left out"
    assert checked["whole"] == 4 and checked["skipped"]["count"] == 2, checked
    left_out = [name for reason in checked["skipped"]["reasons"] for name in reason["first"]]
    assert left_out == ["gone.png", "inside/broken"], checked
    assert checked["passed_over"] == {"md": 1} and checked["warnings"]["count"] == 0, checked
    text = run("data", "check", folder / "pictures").stdout
    assert text.startswith("4 pictures are whole, 2 left out\n") and "1 md" in text, text
    packed = run("data", "pack", folder / "pictures", "--out", folder / "shards", "-q")
    assert packed.returncode == 0 and list((folder / "shards").glob("*.tar")), packed
    assert packed.stdout == f"4 pictures in 1 shard in {folder / 'shards'}\n", packed
    assert "4 kept, 2 skipped" in packed.stderr, packed
    assert run("data", "check", folder / "shards").returncode == 0
    again = json.loads(run("data", "stats", folder / "shards", "--json").stdout)
    assert again["pictures"] == 4 and again["captions_en"] == 4, again
    refused(2, "data", "stats", folder / "nothing here")
    refused(2, "data", "stats", folder / "pictures", "--part", "middle")
    refused(2, "data", "pack", folder / "pictures")


def data_of_other_programs(folder):
    """Folders as kohya's trainer and Hugging Face have them, and captions as Windows writes them."""
    def picture(name):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PICTURES / "rgb.png", folder / name)

    for i in range(3):
        picture(f"kohya/10_red fox/{i}.png")
        picture(f"hub/{i}.png")
        picture(f"meta/{i}.png")
    (folder / "kohya/10_red fox/0.caption").write_text("a fox")
    (folder / "hub/metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{i}.png", "text": f"fox {i}"}) + "\n" for i in range(3)))
    (folder / "meta/meta_cap.json").write_text(
        json.dumps({f"{i}.png": {"caption": "a fox", "tags": "fox, red"} for i in range(3)}))
    picture("utf16/a.png")
    (folder / "utf16/a.txt").write_bytes("a red fox\n红色的狐狸\n".encode("utf-16"))
    for name, an_epoch, chinese in (("kohya", 30, 0), ("hub", 3, 0), ("meta", 3, 0), ("utf16", 1, 1)):
        assert run("data", "check", folder / name).returncode == 0, name
        found = json.loads(run("data", "stats", folder / name, "--json").stdout)
        assert found["an_epoch"] == an_epoch and found["captions_zh"] == chinese, (name, found)
    picture("gbk/a.png")
    (folder / "gbk/a.txt").write_bytes("红色的狐狸".encode("gbk"))
    done = run("data", "check", folder / "gbk")
    assert done.returncode == 2 and "iconv -f GBK" in done.stderr, done


def doctor_reports():
    found = json.loads(run("doctor", "--json").stdout)
    assert found["processor"]["cores_allowed"] >= 1, found
    assert 0 < found["memory"]["available_bytes"] <= found["memory"]["total_bytes"], found
    assert found["libtorch"]["version"].startswith("2."), found
    assert found["kernels"] in ("plain", "avx2", "avx512", "avx512_bf16", "amx"), found
    assert "memory" in run("doctor").stdout


def main() -> int:
    help_and_version()
    bad_flags_are_code_2()
    wrong_words_are_named()
    words_that_change_nothing_are_told()
    names_that_people_type_work()
    the_page_of_names_is_right()
    shells_complete_what_the_program_knows()
    doctor_reports()
    with tempfile.TemporaryDirectory() as folder:
        help_shows_defaults_and_changes_nothing(pathlib.Path(folder))
        files_that_are_not_there_are_called_that(pathlib.Path(folder))
        inspect_reads_headers(pathlib.Path(folder))
        inspect_reads_models(pathlib.Path(folder))
        inspect_is_quick(pathlib.Path(folder))
        inspect_tells_adapters_and_gaps(pathlib.Path(folder))
        data_of_ones_own(pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        data_of_other_programs(pathlib.Path(folder))
    print("command line in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())
