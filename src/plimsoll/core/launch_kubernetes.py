"""Kubernetes: a Deployment with its Service and the volume that keeps the weights.

Sources: docs/deployment/k8s.md of vLLM@051f9b87abc8 (GPU limits, probes of /health, a memory volume for
/dev/shm); Kubernetes API reference, apps/v1 and core/v1 ($$ before a bracket stops $(VAR) in arguments).
"""

from __future__ import annotations

from plimsoll.core.launch_container import (
    HUB_CACHE,
    KEY_VARIABLES,
    PORT,
    RUNTIMES,
    Container,
    contained,
    gpu_numbers,
    ranks_count,
    slug,
    startup_seconds,
    weights_bytes,
)
from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.launch import LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.runtimes.tensorrt_llm.launch import EXTRA_FILE
from plimsoll.units import GIB, format_bytes

__all__ = ["RUNTIMES", "files"]

_FILE = "kubernetes.yaml"
_RESOURCES = {"cuda": "nvidia.com/gpu", "rocm": "amd.com/gpu"}
_PROBE_S = 10
_SHARED_MEMORY = "2Gi"


def files(parts: LaunchParts) -> LaunchFiles:
    """One manifest: PersistentVolumeClaim (for a hub id), Deployment, Service."""
    made, name = contained(parts), slug(parts.serving.served_name)
    backend = parts.deployment.machine.devices[0].backend if parts.deployment.machine.devices else ""
    if backend and backend not in _RESOURCES:
        raise BadSetting(
            f"under which name Kubernetes hands out {backend} devices is not known", hint="--as compose"
        )
    devices = parts.deployment.machine.devices
    if len(devices) > len(gpu_numbers(parts.deployment)) and parts.deployment.runtime.id == "llama_cpp":
        raise BadSetting(
            "llama.cpp's flags name cards by number, and Kubernetes chooses which ones a container sees",
            hint="tell --on the cards that are to be used, and no others",
        )
    objects = [_claim(parts, name)] if made.is_hub else []
    if made.extra:
        objects.append(_object("v1", "ConfigMap", name, {"data": {EXTRA_FILE: made.extra}}))
    objects += [_deployment(parts, made, name), _service(parts, name)]
    promised = ", ".join(f"{t.name}: {format_bytes(t.used_bytes)}" for t in parts.promise.devices)
    head = f"{parts.deployment.model.id}. Promised by plimsoll fit: {promised}"
    texts = [document(objects[0], head), *(document(each) for each in objects[1:])]
    return LaunchFiles(
        files=(LaunchFile(name=_FILE, text="---\n".join(texts), reason="volume, server and its address"),),
        start=("kubectl", "apply", "-f", _FILE), notes=tuple(_notes(made, name)),
    )  # fmt: skip


def _object(version: str, kind: str, name: str, rest: dict[str, Value]) -> dict[str, Value]:
    labels: dict[str, Value] = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "plimsoll"}
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, **rest,
    }  # fmt: skip


def _claim(parts: LaunchParts, name: str) -> dict[str, Value]:
    size = weights_bytes(parts.deployment)
    asked = -(-size * 11 // 10 // GIB)
    note = f"{format_bytes(size)} of weights and a tenth more for the other files"
    storage = {"requests": {"storage": Noted(f"{asked}Gi", note)}}
    spec: dict[str, Value] = {"accessModes": ["ReadWriteOnce"], "resources": storage}
    return _object("v1", "PersistentVolumeClaim", name, {"spec": spec})


def _service(parts: LaunchParts, name: str) -> dict[str, Value]:
    ports: Value = [{"name": "http", "port": parts.serving.port, "targetPort": "http"}]
    spec: dict[str, Value] = {
        "type": Noted("ClusterIP", "reachable inside the cluster only"),
        "selector": {"app.kubernetes.io/name": name}, "ports": ports,
    }  # fmt: skip
    return _object("v1", "Service", name, {"spec": spec})


def _deployment(parts: LaunchParts, made: Container, name: str) -> dict[str, Value]:
    pod: dict[str, Value] = {
        "automountServiceAccountToken": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(parts, made, name)], "volumes": _volumes(parts, made, name),
    }  # fmt: skip
    spec: dict[str, Value] = {
        "replicas": 1,
        "strategy": Noted({"type": "Recreate"}, "a second server would find the devices taken"),
        "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
        "template": {"metadata": {"labels": {"app.kubernetes.io/name": name}}, "spec": pod},
    }  # fmt: skip
    return _object("apps/v1", "Deployment", name, {"spec": spec})


def _container(parts: LaunchParts, made: Container, name: str) -> dict[str, Value]:
    deployment = parts.deployment
    arguments: list[Value] = []
    for flag in made.command.flags:
        words = [_text(word) for word in (flag.name, flag.value) if word]
        arguments += [Noted(words[0], flag.reason) if flag.reason else words[0], *words[1:]]
    found: dict[str, Value] = {
        "name": "server", "image": Noted(made.image or "IMAGE", "; ".join(made.notes)),
        "command": [_text(word) for word in made.command.program], "args": arguments,
        "env": _environment(deployment.runtime.id, made, name),
        "ports": [{"name": "http", "containerPort": PORT}],
        "volumeMounts": _mounts(parts, made),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **_probes(parts),
    }  # fmt: skip
    if deployment.machine.devices:
        count = len(gpu_numbers(deployment))
        resource = _RESOURCES[deployment.machine.devices[0].backend]
        kind = " or ".join(dict.fromkeys(d.name for d in deployment.machine.devices))
        limits = {resource: Noted(count, f"the bill holds for {kind}; label the nodes that have it")}
        found["resources"] = {"limits": limits}
    return found


def _text(text: str) -> str:
    """Text that Kubernetes reads as it is: $(NAME) would be replaced."""
    return text.replace("$(", "$$(")


def _environment(runtime: str, made: Container, name: str) -> list[Value]:
    wanted = [(v, "MODEL_API_KEY") for v in (KEY_VARIABLES.get(runtime),) if v]
    wanted += [("HF_TOKEN", "HF_TOKEN")] if made.is_hub else []
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {
            "name": f"{name}-secrets", "key": key, "optional": key == "HF_TOKEN",
        }}}
        for variable, key in wanted
    ]  # fmt: skip


def _probes(parts: LaunchParts) -> dict[str, Value]:
    ask: Value = {"path": "/health", "port": "http"}
    seconds = startup_seconds(parts.deployment)
    note = f"up to {seconds} s: the weights at 1 Gbit/s and 10 minutes to start; a slower download needs more"
    return {
        "startupProbe": {
            "httpGet": ask, "periodSeconds": _PROBE_S,
            "failureThreshold": Noted(-(-seconds // _PROBE_S), note),
        },
        "readinessProbe": {"httpGet": ask, "periodSeconds": _PROBE_S},
        "livenessProbe": {"httpGet": ask, "periodSeconds": 30, "timeoutSeconds": 10, "failureThreshold": 5},
    }  # fmt: skip


def _volumes(parts: LaunchParts, made: Container, name: str) -> list[Value]:
    found: list[Value] = []
    if made.is_hub:
        found.append({"name": "weights", "persistentVolumeClaim": {"claimName": name}})
    else:
        path: Value = made.model_folder or "/MODEL-FOLDER"
        note = "on the node that runs it" if made.is_told else "put the node's folder in its place"
        found.append({"name": "weights", "hostPath": {"path": Noted(path, note), "type": "Directory"}})
    for number, (path, _) in enumerate(made.adapters):
        found.append({"name": f"adapter-{number}", "hostPath": {"path": path}})
    if made.extra:
        found.append({"name": "options", "configMap": {"name": name}})
    if ranks_count(parts.deployment) > 1:
        size = Noted(_SHARED_MEMORY, "as in vLLM's own example (docs/deployment/k8s.md)")
        found.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    return found


def _mounts(parts: LaunchParts, made: Container) -> list[Value]:
    at = HUB_CACHE if made.is_hub else made.mounted_at
    found: list[Value] = [{"name": "weights", "mountPath": at, "readOnly": not made.is_hub}]
    for number, (_, inside) in enumerate(made.adapters):
        found.append({"name": f"adapter-{number}", "mountPath": inside, "readOnly": True})
    if made.extra:
        found.append(
            {"name": "options", "mountPath": f"/{EXTRA_FILE}", "subPath": EXTRA_FILE, "readOnly": True}
        )
    if ranks_count(parts.deployment) > 1:
        note = "the ranks of one model exchange data through shared memory"
        found.append(Noted({"name": "shm", "mountPath": "/dev/shm"}, note))
    return found


def _notes(made: Container, name: str) -> list[str]:
    found = list(made.notes) if not made.image else []
    found.append(
        f"secrets are not in the file: kubectl create secret generic {name}-secrets "
        "--from-literal=MODEL_API_KEY=... --from-literal=HF_TOKEN=..."
    )
    if not made.image:
        found.append("IMAGE stands where an image belongs that holds the model server")
    if made.model_folder and not made.model_folder.startswith("/"):
        found.append(f"a node has no folder {made.model_folder}: give an absolute path with --model-path")
    return found
