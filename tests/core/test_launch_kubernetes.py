"""The Kubernetes manifest, held against the schemas of Kubernetes itself."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
import yaml

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from tests.core.launch_files import HOSTILE, made, text_of, wanted, with_adapter
from tests.runtimes.deployments import deployment

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import kubernetes_validate

RUNTIMES = ("vllm", "sglang", "llama_cpp", "tensorrt_llm")
HOSTILE_SERVING = Serving(
    model_path="/m/" + "".join(HOSTILE[:-1]), served_name="".join(HOSTILE[:-1]), adapter_paths=("/a/$(x)",)
)


def objects(found: Deployment, serving: Serving | None = None) -> dict[str, Any]:
    text = text_of(made("kubernetes", found, serving), "kubernetes.yaml")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def container(found: Deployment, serving: Serving | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = objects(found, serving)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    return spec


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_schemas_take_every_object(runtime: str) -> None:
    found = wanted(runtime, on="2x rtx-pro-6000")
    cases = [(found, None), (found, HOSTILE_SERVING)]
    if runtime == "tensorrt_llm":
        cases.append((replace(found, kv_format_k="fp8", kv_format_v="fp8"), None))
    for case, serving in cases:
        for each in objects(case, serving).values():
            kubernetes_validate.validate(each, "1.37", strict=True)


def test_arguments_are_read_as_they_are() -> None:
    words = container(wanted(), HOSTILE_SERVING)["args"]
    expanded = [re.sub(r"\$\$\(", "$(", word) for word in words]
    assert HOSTILE_SERVING.served_name in expanded
    # No reference to a variable is left: every $( is escaped.
    assert not [w for w in words if re.search(r"(?<!\$)\$\(", w)]


def test_a_hub_id_gets_a_volume_that_holds_it() -> None:
    found = objects(wanted())
    size = sum(t.size_bytes for t in wanted().model.tensors)
    storage = found["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"]
    assert int(storage.removesuffix("Gi")) * 2**30 >= size * 1.1
    assert "PersistentVolumeClaim" not in objects(wanted(), HOSTILE_SERVING)


def test_devices_probes_and_shared_memory() -> None:
    two, one = container(wanted()), container(wanted(on="rtx-pro-6000"))
    assert two["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert "/dev/shm" in [m["mountPath"] for m in two["volumeMounts"]]
    assert "/dev/shm" not in [m["mountPath"] for m in one["volumeMounts"]]
    probe = two["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 600
    assert {p["httpGet"]["path"] for p in (probe, two["readinessProbe"], two["livenessProbe"])} == {"/health"}


def test_secrets_are_named_not_written() -> None:
    files = made("kubernetes", wanted())
    assert "Secret" not in objects(wanted())
    keys = {e["name"]: e["valueFrom"]["secretKeyRef"]["key"] for e in container(wanted())["env"]}
    assert keys == {"VLLM_API_KEY": "MODEL_API_KEY", "HF_TOKEN": "HF_TOKEN"}
    assert any("kubectl create secret generic qwen3-30b-a3b-secrets" in note for note in files.notes)


def test_adapters_are_mounted_where_the_command_looks() -> None:
    found = with_adapter(wanted())
    serving = Serving(model_path=found.model.id, served_name="x", adapter_paths=("/a/x",))
    told = container(found, serving)
    assert {"name": "adapter-0", "mountPath": "/adapters/0", "readOnly": True} in told["volumeMounts"]


def test_devices_that_kubernetes_does_not_hand_out_by_a_known_name() -> None:
    found = deployment(
        "llama_cpp", "Qwen/Qwen3-8B", "arc-b580", weights="q4_k_m", kv="f16", context_tokens=4096
    )
    with pytest.raises(BadSetting, match="under which name Kubernetes hands out"):
        made("kubernetes", found)
