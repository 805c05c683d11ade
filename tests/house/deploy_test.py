"""The files of deploy/: manifests fit Kubernetes' schemas, their parts fit together, the program takes the configuration,
and the image is built by the program's own installer alone.

Usage: deploy_test.py PROGRAM. It runs neither Docker nor a cluster.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import pytorch_job
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.31"


def check(right, message):
    if not right:
        sys.exit(f"deploy: {message}")


def commands(documents):
    """The words that containers give to the program."""
    for document in documents:
        if document["kind"] == "Deployment":
            for container in document["spec"]["template"]["spec"]["containers"]:
                yield container["args"]


def manifests():
    documents = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            try:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                sys.exit(f"{path.relative_to(ROOT)}: {error.message}")
            documents.append(document)
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    for document in documents:
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        for container in pod["containers"]:
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                check(probe in container, f"{container['name']} has no {probe}")
            for source in container["envFrom"]:
                check(("Secret", source["secretRef"]["name"]) in names, f"there is no Secret {source}")
        for volume in pod["volumes"]:
            if "secret" in volume:
                check(("Secret", volume["secret"]["secretName"]) in names, f"there is no Secret of {volume}")
    scaled = next(document for document in documents if document["kind"] == "HorizontalPodAutoscaler")
    metric = scaled["spec"]["metrics"][0]["external"]["metric"]["name"]
    check(metric in (ROOT / "src/serve/metrics.cpp").read_text(), f"the program has no metric {metric}")
    return documents


def training_job():
    """The words of the processes that train together."""
    job = yaml.safe_load((DEPLOY / "training/pytorchjob.yaml").read_text())
    try:
        pytorch_job.check(job, KUBERNETES)
    except pytorch_job.Unfit as error:
        sys.exit(f"deploy/training/pytorchjob.yaml: {error}")
    for path, wrong in pytorch_job.misspelt(job):
        try:
            pytorch_job.check(wrong, KUBERNETES)
        except pytorch_job.Unfit:
            continue
        sys.exit(f"deploy: a PyTorchJob with {'.'.join(map(str, path))} misspelt is taken")
    for one in job["spec"]["pytorchReplicaSpecs"].values():
        yield one["template"]["spec"]["containers"][0]["args"]


def check_training(program):
    script = DEPLOY / "training/train.slurm"
    subprocess.run(["bash", "-n", script], check=True)
    check(os.access(script, os.X_OK), "train.slurm cannot be run")
    for line in training_job():
        check(line[0] == "train", line)
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write("nonsense = 1\n")
            config.flush()
            line = [config.name if word.endswith(".toml") else word for word in line]
            done = subprocess.run([program, *line], text=True, capture_output=True,
                                  env={"PATH": "/usr/bin:/bin", "PANGU_HOME": str(ROOT)}, timeout=60)
        check(done.returncode == 2 and "nonsense" in done.stderr, f"{line}: {done.stderr}")


def main():
    check_training(sys.argv[1])
    words = list(commands(manifests()))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    check({"front", "worker", "postgres", "pictures"} <= set(compose["services"]), "compose.yaml lacks a service")
    words += [service["command"] for name, service in compose["services"].items() if name in ("front", "worker")]
    check({line[0] for line in words} == {"serve", "worker"}, words)
    # Every command is taken up to the address of the database; its keys lie elsewhere.
    keys = DEPLOY / "keys.example.txt"
    for line in words:
        line = [str(DEPLOY / "server.toml") if word.endswith("server.toml") else word for word in line]
        line = ["postgres://draw@localhost/draw?nonsense=1" if "postgres:" in word else word for word in line]
        done = subprocess.run([sys.argv[1], *line, "--set", f'api_key_file="{keys}"'], text=True, capture_output=True,
                              env={"PATH": "/usr/bin:/bin", "PANGU_HOME": str(ROOT)}, timeout=60)
        check(done.returncode != 0 and "nonsense" in done.stderr, f"{line}: {done.stderr}")
    recipe = (DEPLOY / "Dockerfile").read_text()
    runs = re.findall(r"^RUN (\S+ \S+ \S+)", recipe, re.M)
    check(runs == ["./pangu-draw -y package"], f"the Dockerfile installs by other means: {runs}")
    print(f"{len(words)} commands and the manifests are as the program and Kubernetes {KUBERNETES} take them")


if __name__ == "__main__":
    main()
