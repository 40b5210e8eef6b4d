"""Files of launch targets, made as `plimsoll launch --as` makes them."""

from __future__ import annotations

import importlib
from dataclasses import replace

from plimsoll.core.fit import bill_of
from plimsoll.core.place import natural_split
from plimsoll.domain.deployment import Adapter, Deployment, Runtime
from plimsoll.domain.launch import LaunchFiles, LaunchParts, Serving
from plimsoll.runtimes import launch_of
from tests.runtimes.deployments import deployment

# What a name or a path may hold, and what it would do where it is not escaped.
HOSTILE = (
    "a b", "it's", 'say "x"', "back\\slash", "trailing\\", "$HOME", "${HOME}", "$$", "$(id)", "%n %%", "`id`",
    "; rm -rf x", "# no", "a: b", "- x", "{a}", "\ttab", "line\nExecStart=/bin/false", "\u2028", "\x1b[31m",
    "é😀", "&&", "*?", "~", "\udcff",
)  # fmt: skip


def wanted(runtime: str = "vllm", model: str = "Qwen/Qwen3-30B-A3B", on: str = "2x rtx-3090") -> Deployment:
    weights = {"vllm": "fp8", "sglang": "fp8", "llama_cpp": "q4_k_m", "exllama": "exl3-4.0bpw"}.get(
        runtime, ""
    )
    kv = {"llama_cpp": "f16", "exllama": "f16"}.get(runtime, "auto")
    return natural_split(deployment(runtime, model, on, context_tokens=8192, weights=weights, kv=kv))


def parts(found: Deployment, serving: Serving | None = None) -> LaunchParts:
    path = "/m/exl3" if found.runtime.id == "exllama" else found.model.id
    serving = serving or Serving(model_path=path, served_name=found.model.id.rpartition("/")[2])
    command = launch_of(found.runtime.id).command(found, serving)
    return LaunchParts(deployment=found, serving=serving, command=command, promise=bill_of([found]))


def made(target: str, found: Deployment, serving: Serving | None = None) -> LaunchFiles:
    module = importlib.import_module(f"plimsoll.core.launch_{target}")
    files: LaunchFiles = module.files(parts(found, serving))
    return files


def text_of(files: LaunchFiles, name: str) -> str:
    return next(f.text for f in files.files if f.name == name)


def with_adapter(found: Deployment) -> Deployment:
    return replace(found, adapters=(Adapter(id="my-lora", rank=8, size_bytes=2**20, targets=("q_proj",)),))


def of(version: str, found: Deployment) -> Deployment:
    return replace(found, runtime=Runtime(id=found.runtime.id, version=version))
