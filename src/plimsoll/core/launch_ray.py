"""Ray Serve LLM: vLLM's engine on the hosts of a Ray cluster.

Sources: LLMConfig, ModelLoadingConfig (ray/llm/_internal/serve/core/configs/llm_config.py), VLLMEngineConfig
(engines/vllm/vllm_models.py: engine_kwargs are fields of vLLM's AsyncEngineArgs and FrontendArgs, without
model and served_model_name), ServeDeploySchema (ray/serve/schema.py) of Ray 2.60.0, which pins vLLM 0.29.0.
"""

from __future__ import annotations

import json

from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.launch import Flag, LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.runtimes.vllm.setup import setup_of
from plimsoll.runtimes.vllm.versions import release
from plimsoll.units import format_bytes

RUNTIMES = ("vllm",)

_FILE = "serve.yaml"
_CARRIED = (0, 29)
# The server's own, which Ray answers for.
_NOT_ENGINE = ("--host", "--port", "--served-model-name")
# Options that are JSON objects; AsyncEngineArgs has them as mappings.
_OBJECTS = ("--hf-overrides", "--speculative-config")


def files(parts: LaunchParts) -> LaunchFiles:
    """serve.yaml for `serve run` or `serve deploy` in front of a running Ray cluster."""
    deployment, serving = parts.deployment, parts.serving
    if deployment.adapters:
        raise BadSetting(
            "Ray Serve LLM loads adapters from a storage path (lora_config), not from files like these",
            hint="leave out --adapter",
        )
    setup = setup_of(deployment)
    count = setup.tensor_parallel * setup.pipeline_parallel
    config: dict[str, Value] = {
        "model_loading_config": {
            "model_id": Noted(serving.served_name, "the name that clients ask for"),
            "model_source": Noted(serving.model_path, "what is loaded, on every host that takes part"),
        },
        "engine_kwargs": _engine(parts.command.flags),
        "placement_group_config": {
            "bundles": Noted([{"CPU": 1, "GPU": 1}] * count, f"{count} workers, one for each device"),
            "strategy": Noted("PACK", "on as few hosts as have the devices"),
        },
        "deployment_config": {"num_replicas": Noted(1, "the bill is of one replica")},
    }
    application: dict[str, Value] = {
        "name": "llm", "route_prefix": "/", "import_path": "ray.serve.llm:build_openai_app",
        "args": {"llm_configs": [config]},
    }  # fmt: skip
    whole: dict[str, Value] = {
        "http_options": {
            "host": Noted(serving.host, "on each host that answers; 127.0.0.1 is reached from there only"),
            "port": serving.port,
        },
        "applications": [application],
    }
    promised = ", ".join(f"{t.name}: {format_bytes(t.used_bytes)}" for t in parts.promise.devices)
    text = document(whole, f"{deployment.model.id}. Promised by plimsoll fit: {promised}")
    return LaunchFiles(
        files=(LaunchFile(name=_FILE, text=text, reason="the application, for a running Ray cluster"),),
        start=("serve", "deploy", _FILE), notes=tuple(_notes(parts)),
    )  # fmt: skip


def _engine(flags: tuple[Flag, ...]) -> dict[str, Value]:
    """vLLM's flags as keyword arguments, each with its reason."""
    found: dict[str, Value] = {}
    for flag in flags:
        if flag.name in _NOT_ENGINE:
            continue
        name, value = flag.name.removeprefix("--").replace("-", "_"), _typed(flag)
        if name.startswith("no_"):
            name, value = name.removeprefix("no_"), False
        found[name] = Noted(value, flag.reason)
    return found


def _typed(flag: Flag) -> Value:
    if not flag.value:
        return True
    if flag.name in _OBJECTS:
        value: Value = json.loads(flag.value)
        return value
    if flag.value.isdecimal():
        return int(flag.value)
    return float(flag.value) if flag.value.replace(".", "", 1).isdecimal() else flag.value


def _notes(parts: LaunchParts) -> list[str]:
    found = ["start Ray on every host first: ray start --head, then ray start --address=HEAD:6379"]
    if release(parts.deployment.runtime.version) != _CARRIED:
        asked = parts.deployment.runtime.version or "the newest release known"
        found.append(
            f"Ray 2.60.0 brings vLLM 0.29.0, the bill is of {asked}: --runtime vllm==0.29 gives its numbers"
        )
    found.append("a wire between hosts slows tensor parallelism down; --split pipeline crosses it less often")
    return found
