"""The engines that the bench compares: how each is started, told apart and named."""
import importlib.metadata
import pathlib
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "bench"))
import records  # noqa: E402


ANYWHERE, WITH_BF16, WITHOUT_BF16 = "anywhere", "with bf16", "without bf16"


@dataclass(frozen=True)
class Engine:
    title: str
    script: str = ""  # of this folder; none: this program
    options: dict = field(default_factory=dict)  # of the request "load"
    packages: tuple = ()
    where: str = ANYWHERE  # on which processors it is measured

    def computes_in_f32(self):
        return self.options.get("dtype") == "f32"


F32, TORCH, OPENVINO, NNCF = {"dtype": "f32"}, ("torch", "diffusers"), ("openvino",), ("openvino", "nncf")
SDCPP = ("stable-diffusion-cpp-python",)
# Each engine in the type that it is fastest in on a processor: bf16 where there are instructions for it, f32 elsewhere.
# This program has kernels for bf16 on both.
ENGINES = {
    "ours": Engine("PanGu-Draw in C++, bf16"),
    "ours-f32": Engine("PanGu-Draw in C++, f32", "", F32, (), WITHOUT_BF16),
    "ours-cold": Engine("PanGu-Draw in C++, bf16, first start: packed weights are written"),
    "ours-warm": Engine("PanGu-Draw in C++, bf16, later starts: packed weights are mapped"),
    "ours-int8": Engine("PanGu-Draw in C++, int8", "", {"precision": "int8"}, (), WITH_BF16),
    "torch": Engine("diffusers, bf16, channels-last", "torch_engine.py", {}, TORCH, WITH_BF16),
    "torch-f32": Engine("diffusers, f32, channels-last", "torch_engine.py", F32, TORCH, WITHOUT_BF16),
    "torch-compile": Engine("diffusers, the same with torch.compile", "torch_engine.py", {"compile": True}, TORCH, WITH_BF16),
    "torch-compile-f32": Engine("diffusers, f32, channels-last, torch.compile", "torch_engine.py",
                                {"compile": True, **F32}, TORCH, WITHOUT_BF16),
    "openvino": Engine("OpenVINO, bf16", "openvino_engine.py", {"weights": "bf16"}, OPENVINO, WITH_BF16),
    "openvino-f32": Engine("OpenVINO, f32", "openvino_engine.py", {"weights": "bf16", **F32}, OPENVINO, WITHOUT_BF16),
    "openvino-int8": Engine("OpenVINO, int8 weights (NNCF), bf16", "openvino_engine.py", {"weights": "int8"}, NNCF, WITH_BF16),
    "openvino-int8-f32": Engine("OpenVINO, int8 weights (NNCF), f32", "openvino_engine.py", {"weights": "int8", **F32}, NNCF,
                                WITHOUT_BF16),
    "openvino-w8a8": Engine("OpenVINO, W8A8 (NNCF)", "openvino_engine.py", {"weights": "w8a8"}, NNCF, WITH_BF16),
    "openvino-w8a8-f32": Engine("OpenVINO, W8A8 (NNCF), else f32", "openvino_engine.py", {"weights": "w8a8", **F32}, NNCF,
                                WITHOUT_BF16),
    "sdcpp": Engine("stable-diffusion.cpp, f16", "sdcpp_engine.py", {}, SDCPP),
    "sdcpp-q8": Engine("stable-diffusion.cpp, q8_0", "sdcpp_engine.py", {"weights": "q8_0"}, SDCPP, WITHOUT_BF16),
}


def is_measured_on(name, flags):
    """Whether an engine is among those of a processor with these flags of /proc/cpuinfo."""
    where = ENGINES[name].where
    return where == ANYWHERE or (where == WITH_BF16) == records.multiplies_bf16(flags)


def is_named(name, words):
    """Whether one of the words means this engine: its name, or that of the one in bf16 that it stands for."""
    stem = name.removesuffix("-f32")
    return name in words or (stem in words and ENGINES[stem].where == WITH_BF16)


def command_of(name, programs):
    """programs: the folder of bench_peers_engine."""
    script = ENGINES[name].script
    return [sys.executable, str(HERE / script)] if script else [str(pathlib.Path(programs) / "bench_peers_engine")]


def version_of(name):
    """Returns what a result is a result of; raises PackageNotFoundError if a peer is not installed."""
    packages = ENGINES[name].packages
    if not packages:
        return records.program_version("bench/peers/engine.cpp")
    return " ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
