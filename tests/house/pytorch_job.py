"""Whether a manifest is a PyTorchJob as Kubeflow's training operator takes it: its own parts by the models that Kubeflow
generates from the operator's schema (kubeflow-training), the pods that it starts by Kubernetes' schema. Neither needs a
cluster. A key that no schema has is refused, as `kubectl apply --validate=strict` does.
"""

import copy
import re

import kubernetes_validate
from kubeflow.training import models

PODS = "V1PodTemplateSpec"
PLAIN = {"str": str, "int": int, "bool": bool}
RESTARTS = ("Always", "OnFailure", "Never", "ExitCode")  # of the operator's ReplicaSpec
# Keys that a manifest chooses itself.
FREE = ("labels", "annotations", "requests", "limits", "nodeSelector")


class Unfit(Exception):
    pass


def require(right, where, message):
    if not right:
        raise Unfit(f"{where}: {message}")


def check_pods(template, version, where):
    whole = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pods"}, "template": template}
    try:
        kubernetes_validate.validate(whole, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Unfit(f"{where}: {error.message}") from None


def check_value(value, kind, version, where):
    """kind: a type as the generated models write it."""
    inner = re.fullmatch(r"dict\(str, (\w+)\)|list\[(\w+)\]", kind)
    if kind == PODS:
        check_pods(value, version, where)
    elif kind in PLAIN:
        is_right = isinstance(value, PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
        require(is_right, where, f"expected {kind}, found {value!r}")
    elif inner:
        require(isinstance(value, dict if inner[1] else list), where, f"expected {kind}, found {value!r}")
        for key, one in value.items() if inner[1] else enumerate(value):
            check_value(one, inner[1] or inner[2], version, f"{where}.{key}")
    elif hasattr(models, kind):
        check_object(value, getattr(models, kind), version, where)
    else:
        require(kind == "V1ObjectMeta", where, f"there is no schema of {kind}")
        check_pods({"metadata": value, "spec": {"containers": [{"name": "x"}]}}, version, where)


def check_object(value, model, version, where):
    require(isinstance(value, dict), where, f"expected {model.__name__}, found {value!r}")
    kinds = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    for key, one in value.items():
        require(key in kinds, where, f"expected one of {', '.join(kinds)}, found '{key}'")
        check_value(one, kinds[key], version, f"{where}.{key}")


def check(job, version):
    """Throws Unfit. version: of Kubernetes."""
    require((job.get("apiVersion"), job.get("kind")) == ("kubeflow.org/v1", "PyTorchJob"), "job", "no PyTorchJob")
    check_object(job, models.KubeflowOrgV1PyTorchJob, version, "job")
    replicas = job.get("spec", {}).get("pytorchReplicaSpecs", {})
    require(set(replicas) == {"Master", "Worker"}, "pytorchReplicaSpecs", f"expected Master and Worker, found {list(replicas)}")
    require(replicas["Master"].get("replicas") == 1, "Master", "the operator takes one master")
    for name, one in replicas.items():
        require(one.get("restartPolicy") in RESTARTS, name, f"restartPolicy: {one.get('restartPolicy')}")
        names = [container["name"] for container in one.get("template", {}).get("spec", {}).get("containers", [])]
        require(names == ["pytorch"], name, f"the operator looks for a container 'pytorch', found {names}")


def keys_of(value, path=()):
    """The paths of all keys whose names a schema says."""
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(key, str) and not (path and path[-1] in FREE):
            yield (*path, key)
        yield from keys_of(one, (*path, key))


def misspelt(job):
    """Copies of a job that each have one key wrong, with the path of that key."""
    for path in keys_of(job):
        wrong = copy.deepcopy(job)
        parent = wrong
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1] + "s"] = parent.pop(path[-1])
        yield path, wrong
