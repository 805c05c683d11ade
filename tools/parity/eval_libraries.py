"""torch-fidelity, clean-fid, open_clip and cn_clip for tests, in an environment of their own.

A script that imports this calls enter() first: it makes build/eval-venv if that is missing (with the packages of
tools/install/requirements-eval.txt, and a link to those of this Python) and goes on there. They cannot lie beside the
other test packages: they bring torchvision, which transformers would find and whose wheel does not fit a torch without
CUDA. Its operators, which nothing here uses, are declared before it is imported.
"""

import fcntl
import os
import pathlib
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "eval-venv"
WANTED = ROOT / "tools" / "install" / "requirements-eval.txt"
OPERATORS = ("nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d",
             "_roi_align_backward", "_roi_pool_backward", "_ps_roi_align_backward", "_ps_roi_pool_backward",
             "_deform_conv2d_backward")


def site_packages():
    return PLACE / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def install():
    """The environment, whole: the copy of its list of packages is written last."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with open(PLACE.with_suffix(".lock"), "w") as lock:  # several tests may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = PLACE / "requirements.txt"
        if mark.is_file() and mark.read_text() == WANTED.read_text():
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE], check=True)
        subprocess.run([PLACE / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", WANTED],
                       check=True)
        (site_packages() / "tests_python.pth").write_text(sysconfig.get_path("purelib") + "\n")
        mark.write_text(WANTED.read_text())


def enter():
    if pathlib.Path(sys.prefix).resolve() != PLACE.resolve():
        install()
        os.execv(PLACE / "bin" / "python", [str(PLACE / "bin" / "python"), *sys.orig_argv[1:]])
    import torch
    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(name + "(Tensor x) -> Tensor")
    import torchvision  # noqa: F401
    enter.kept = library  # its operators last as long as it


def random_inception(seed, path):
    """torch-fidelity's network with random weights under which its features have spread, written as a state dict; the
    network itself."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(seed)
    load, FeatureExtractorInceptionV3.load_state_dict = FeatureExtractorInceptionV3.load_state_dict, lambda *_: None
    torch.save({}, path)
    names = ["2048", "logits_unbiased"]
    network = FeatureExtractorInceptionV3("random", names, feature_extractor_weights_path=str(path))
    FeatureExtractorInceptionV3.load_state_dict = load
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.3)
    torch.nn.init.normal_(network.fc.weight, std=0.1)
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=seed % 2 == 0)
    return network
