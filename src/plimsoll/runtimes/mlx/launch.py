"""The `mlx_lm.server` command of a deployment, a reason with every flag.

Flags as declared in mlx_lm/server.py of mlx-lm 0.31.0 and 0.32.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.mlx.memory import DEFAULTS, lines
from plimsoll.runtimes.serving_flags import address
from plimsoll.runtimes.stored import is_published
from plimsoll.units import format_bytes, format_count

# Settings that no flag of the server carries, and why.
WITHOUT_FLAG = {"max_kv_size": "mlx_lm.generate has --max-kv-size, the server (0.32.2) does not"}
_KV_FLAGS_SINCE = (0, 32)  # 0.31.0 has no --kv-bits


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts `mlx_lm.server` with this deployment; raises BadSetting where no flag says it."""
    if deployment.settings.get("max_kv_size"):
        reason = WITHOUT_FLAG["max_kv_size"]
        raise BadSetting(f"no flag of the server says max_kv_size: {reason}", hint="leave out max_kv_size")
    if not is_published(deployment):
        wanted, model = deployment.weight_format, deployment.model
        if serving.model_path == model.id:
            raise BadSetting(
                f"{model.id} is published in {model.weight_format}; the server makes no {wanted} of it",
                hint=f"--model-path PATH of what mlx_lm.convert made, in {wanted}",
            )
    flags = (*_server(serving), *_cache(deployment), *_batches(deployment))
    return Command(program=("mlx_lm.server",), flags=flags, notes=tuple(_notes(deployment, serving)))


def makes(deployment: Deployment) -> bool:
    """Whether the server reads the published checkpoint as asked: it converts nothing."""
    return is_published(deployment)


def _setting(deployment: Deployment, name: str) -> int:
    return int(deployment.settings.get(name, DEFAULTS[name]))


def _server(serving: Serving) -> Iterator[Flag]:
    yield Flag(name="--model", value=serving.model_path, reason="what is loaded at the start")
    yield from address(serving)


def _cache(deployment: Deployment) -> Iterator[Flag]:
    kv = sum(x.size_bytes for x in lines(deployment) if x.component in ("kv", "state"))
    chosen = deployment.kv_format_k
    if chosen.startswith("q"):
        _need_kv_flags(deployment)
        bits, group = chosen.removeprefix("q"), _setting(deployment, "kv_group_size")
        start = _setting(deployment, "quantized_kv_start")
        if deployment.workload.parallel_sequences_count > 1:
            raise BadSetting(
                "a quantised cache makes mlx_lm.server take one request at a time", hint="--parallel 1"
            )
        yield Flag(name="--kv-bits", value=bits, reason=f"{format_bytes(kv)} of cache for the asked context")
        yield Flag(name="--kv-group-size", value=str(group), reason=f"a scale for each {group} values")
        yield Flag(
            name="--quantized-kv-start", value=str(start),
            reason=f"the first {format_count(start)} tokens stay in 16 bits until the cache is past them",
        )  # fmt: skip
        yield Flag(
            name="--prompt-cache-size", value="1",
            reason="one finished conversation is kept, beside the one in work that the bill holds",
        )  # fmt: skip
        return
    yield Flag(
        name="--prompt-cache-bytes", value=str(kv),
        reason=f"finished conversations go when {format_bytes(kv)}, the cache on the bill, is needed",
    )  # fmt: skip


def _need_kv_flags(deployment: Deployment) -> None:
    found = re.match(r"v?(\d+)\.(\d+)", deployment.runtime.version)
    if found and (int(found[1]), int(found[2])) < _KV_FLAGS_SINCE:
        raise BadSetting(
            f"mlx_lm.server {deployment.runtime.version} is not known to have --kv-bits",
            hint="--runtime mlx==0.32, or leave out --kv",
        )


def _batches(deployment: Deployment) -> Iterator[Flag]:
    step, count = _setting(deployment, "prefill_step_size"), deployment.workload.parallel_sequences_count
    peak = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "compute"))
    yield Flag(
        name="--prefill-step-size", value=str(step),
        reason=f"reading {format_count(step)} tokens at a time of {count} prompts peaks at {peak}",
    )  # fmt: skip
    asked = f"{count} sequences were asked for; more would outgrow the bill"
    yield Flag(name="--decode-concurrency", value=str(count), reason=asked)
    yield Flag(name="--prompt-concurrency", value=str(count), reason=asked)


def _notes(deployment: Deployment, serving: Serving) -> Iterator[str]:
    tokens = format_count(deployment.workload.context_tokens)
    yield f"mlx_lm.server bounds no context: the bill holds while requests stay within {tokens} tokens"
    yield f"clients ask for the model as {serving.model_path}: the server has no name of its own for it"
