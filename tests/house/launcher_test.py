"""The launcher ./pangu-draw in a made-up checkout: no network, nothing is installed.

A later use hands its arguments on untouched and costs under 0.1 s; a changed source means a build;
a wheel of a wrong checksum is refused and one of an unknown name is warned of.
"""

import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAKE_PROGRAM = '#!/bin/sh\nprintf "%s|" "$@"\nprintf "home=%s" "$PANGU_HOME"\nexit 7\n'
MOST_SECONDS = 0.1
# Runs a command at a terminal where a person answers "n".
NO_AT_A_TERMINAL = """
import os, pty, sys
def answered(fd):
    data = os.read(fd, 4096)
    if b"Go on?" in data:
        os.write(fd, b"n\\n")
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], answered)))
"""


def executable(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def checkout(folder: pathlib.Path) -> pathlib.Path:
    """A tree that looks installed and built, with a program that prints its arguments."""
    shutil.copy2(ROOT / "pangu-draw", folder / "pangu-draw")
    shutil.copytree(ROOT / "tools/install", folder / "tools/install")
    for name in ("CMakeLists.txt", "CMakePresets.json", "src/a.cpp", "cmake/a.cmake"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    executable(folder / "build/release/pangu-draw", FAKE_PROGRAM)
    executable(folder / ".venv/bin/python", "#!/bin/sh\nexit 1\n")
    (folder / ".venv/torch.variant").write_text("cpu\n")
    (folder / "build/release/launcher.stamp").write_text(f"cpu {folder}\n")
    return folder / "pangu-draw"


def run(command, **kwargs):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **kwargs.pop("env", {})}
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env=environment, **kwargs)


def arguments_pass_untouched(folder):
    launcher = checkout(folder)
    link = folder / "link"
    link.symlink_to(launcher)
    for called in (launcher, link):
        done = run([called, "draw", "蓝色的鲸鱼 *", "--out", "a b.png", ""], cwd="/")
        assert done.returncode == 7, done
        assert done.stdout == f"draw|蓝色的鲸鱼 *|--out|a b.png||home={folder}", done.stdout
        assert done.stderr == "", done.stderr


def later_use_is_fast(folder):
    launcher = checkout(folder)
    for number in range(300):  # about as many files as the real src/
        (folder / f"src/{number}.cpp").write_text("")
    os.utime(folder / "build/release/launcher.stamp")
    seconds = []
    for _ in range(9):
        begun = time.perf_counter()
        run([launcher])
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    print(f"launcher: median {median * 1000:.0f} ms of {len(seconds)}")
    assert median < MOST_SECONDS, seconds


def with_fake_tools(folder):
    """An environment in which every tool does nothing but write itself into the log."""
    tools = folder / "fakes"
    executable(tools / "dpkg-query", '#!/bin/sh\nshift 2\nfor p; do echo "installed $p"; done\n')
    executable(tools / "cmake", '#!/bin/sh\necho "cmake $*" >>"$LOG"\n')
    executable(tools / "ninja", '#!/bin/sh\necho "ninja $*" >>"$LOG"\n')
    wheel = folder / ".venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so"
    wheel.parent.mkdir(parents=True)
    wheel.write_text("")
    log = folder / "log"
    return {"PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log)}, log


def change_means_a_build(folder):
    launcher = checkout(folder)
    environment, log = with_fake_tools(folder)
    assert run([launcher], env=environment).returncode == 7 and not log.exists()
    ahead = time.time() + 2
    os.utime(folder / "src/a.cpp", (ahead, ahead))
    done = run([launcher, "draw"], env=environment)
    assert done.returncode == 7 and done.stdout.startswith("draw|"), done
    assert "pangu-draw" in log.read_text() and "ninja" in log.read_text(), log.read_text()


def asking_for_words_changes_nothing(folder):
    """--help, help, --version and the like build and install nothing, whatever is missing or out of date."""
    launcher = checkout(folder)
    environment, log = with_fake_tools(folder)
    ahead = time.time() + 2
    os.utime(folder / "src/a.cpp", (ahead, ahead))
    for words in (["draw", "--help"], ["data", "build", "--help"], ["train", "-h"], ["--version"], ["help", "draw"],
                  ["completion", "bash"]):
        done = run([launcher, *words], env=environment)
        assert done.returncode == 7 and done.stdout.startswith("|".join(words) + "|"), done
    for words in (["test", "--help"], ["build", "-h"], ["package", "--help"]):
        done = run([launcher, *words], env=environment)
        assert done.returncode == 0 and "package [FOLDER]" in done.stdout, done
    (folder / "build/release/pangu-draw").unlink()
    for words in (["--help"], ["help"], ["draw", "--help"]):
        done = run([launcher, *words], env=environment)
        assert done.returncode == 0 and "not built yet" in done.stdout and "test [NAME...]" in done.stdout, done
    done = run([launcher, "--version"], env=environment)
    assert done.returncode == 4 and "./pangu-draw build" in done.stderr, done
    assert not log.exists(), log.read_text()
    assert not (folder / ".venv/requirements-data.txt").exists()


def what_installs_asks_first(folder):
    """`data build` says what it will install, and installs nothing where the person says no."""
    checkout(folder)
    script = ('root=$1; PANGU_PYTHON=python3; source "$root/tools/install/main.sh"; '
              'missing_packages() { echo some-dev; }; python_is_there() { false; }; '
              'install_packages() { echo installed; }; need_python() { echo installed; }; install_for_data')
    done = run(["bash", "-c", script, "-", folder])
    assert "The first `data build` will" in done.stderr and "some-dev" in done.stderr, done
    assert "requirements-data.txt" in done.stderr and done.stdout == "installed\ninstalled\n", done
    asked = subprocess.run(
        [sys.executable, "-c", NO_AT_A_TERMINAL, "bash", "-c", script, "-", folder], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}, timeout=60)
    assert asked.returncode == 4 and "as you wished" in asked.stdout, asked
    assert "installed\r\n" not in asked.stdout.replace("not installed", ""), asked


def a_package_has_manual_and_completions(folder):
    checkout(folder)
    executable(folder / "package/bin/pangu-draw", '#!/bin/sh\necho "$@"\n')
    script = 'root=$1; PANGU_PYTHON=python3; source "$root/tools/install/main.sh"; write_shell_files "$1/package"'
    assert run(["bash", "-c", script, "-", folder]).returncode == 0
    for name, words in (("man/man1/pangu-draw.1", "man"), ("zsh/site-functions/_pangu_draw", "completion zsh"),
                        ("bash-completion/completions/pangu-draw", "completion bash"),
                        ("fish/vendor_completions.d/pangu-draw.fish", "completion fish")):
        assert (folder / "package/share" / name).read_text() == words + "\n", name


def training_is_built_when_first_used(folder):
    launcher = checkout(folder)
    environment, log = with_fake_tools(folder)
    assert run([launcher, "draw"], env=environment).returncode == 7 and not log.exists()
    assert run([launcher, "train", "a.toml"], env=environment).returncode == 7
    assert "pangu_training" in log.read_text(), log.read_text()
    log.unlink()
    assert run([launcher, "eval"], env=environment).returncode == 7 and not log.exists()


def wheel_is_verified(folder):
    checkout(folder)
    wheel = folder / "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    wheel.write_text("not what it says")
    script = 'root=$1; PANGU_PYTHON=python3; source "$root/tools/install/main.sh"; verify_wheel "$2"'
    done = run(["bash", "-c", script, "-", folder, wheel])
    assert done.returncode == 4 and "expected SHA-256 60fcdcb2" in done.stderr, done
    table = folder / "tools/install/torch_wheels.sha256"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    table.write_text(f"{digest}  {wheel.name}\n")
    assert run(["bash", "-c", script, "-", folder, wheel]).returncode == 0
    table.write_text("")
    done = run(["bash", "-c", script, "-", folder, wheel])
    assert done.returncode == 0 and "UNVERIFIED" in done.stderr and digest in done.stderr, done


def other_distributions_are_told(folder):
    checkout(folder)
    script = ('root=$1; PANGU_PYTHON=python3; source "$root/tools/install/main.sh"; '
              'missing_packages() { echo some-dev; }; PATH=; install_packages')
    done = run([shutil.which("bash"), "-c", script, "-", folder])
    assert done.returncode == 4 and "some-dev" in done.stderr, done


def main() -> int:
    for test in (arguments_pass_untouched, later_use_is_fast, change_means_a_build,
                 training_is_built_when_first_used, asking_for_words_changes_nothing, what_installs_asks_first,
                 a_package_has_manual_and_completions, wheel_is_verified, other_distributions_are_told):
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder).resolve())
            print(f"ok: {test.__name__.replace('_', ' ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
