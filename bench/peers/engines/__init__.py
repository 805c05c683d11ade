"""The engines that the bench compares: how each is started, told apart and named."""
import importlib.metadata
import pathlib
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "bench"))
import records  # noqa: E402


@dataclass(frozen=True)
class Engine:
    title: str
    script: str = ""  # of this folder; none: this program
    options: dict = field(default_factory=dict)  # of the request "load"
    packages: tuple = ()


ENGINES = {
    "ours": Engine("PanGu-Draw in C++, bf16"),
    "ours-cold": Engine("PanGu-Draw in C++, bf16, first start: packed weights are written"),
    "ours-warm": Engine("PanGu-Draw in C++, bf16, later starts: packed weights are mapped"),
    "ours-int8": Engine("PanGu-Draw in C++, int8", "", {"precision": "int8"}),
    "torch": Engine("diffusers, bf16, channels-last", "torch_engine.py", {}, ("torch", "diffusers")),
    "torch-compile": Engine("diffusers, the same with torch.compile", "torch_engine.py", {"compile": True},
                            ("torch", "diffusers")),
    "openvino": Engine("OpenVINO, bf16", "openvino_engine.py", {"weights": "bf16"}, ("openvino",)),
    "openvino-int8": Engine("OpenVINO, int8 weights (NNCF), bf16", "openvino_engine.py", {"weights": "int8"},
                            ("openvino", "nncf")),
    "openvino-w8a8": Engine("OpenVINO, W8A8 (NNCF)", "openvino_engine.py", {"weights": "w8a8"}, ("openvino", "nncf")),
    "sdcpp": Engine("stable-diffusion.cpp, f16", "sdcpp_engine.py", {}, ("stable-diffusion-cpp-python",)),
}


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
