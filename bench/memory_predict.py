"""One figure for one logged row: what Plimsoll says before it sees the value."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from memory_rows import NotExpressed, Row, express

from plimsoll.core import fit as core
from plimsoll.core import place
from plimsoll.domain.bill import HOST, Line
from plimsoll.domain.deployment import Deployment, Workload
from plimsoll.errors import PlimsollError
from plimsoll.formulas.weights import parameters_count
from plimsoll.runtimes import memory_of

_POOL_RUNTIMES = ("vllm", "sglang", "tensorrt_llm")
_HOST_WORDS = re.compile(r"host|cpu|ram\b", re.IGNORECASE)
# Beyond this the file is not the plain recipe that its type's name promises.
_OWN_MIXTURE_SHARE = 0.005
_ESTIMATES = {
    "kv_tokens": "kv_cache_tokens", "max_concurrency": "max_concurrency", "block_size": "block_size_tokens",
    "kv_needed": "kv_needed_bytes", "max_len_est": "max_len_tokens", "activation": "activation_bytes",
    "cuda_graph": "cuda_graph_bytes",
}  # fmt: skip


def predict(row: Row, case: list[Row]) -> Any:
    """Bytes, tokens, requests or a bool for the row. Raises NotExpressed with the reason."""
    try:
        expressed = express(row)
        return _predict(row, case, expressed.deployment, expressed.is_whole_card)
    except PlimsollError as error:
        raise NotExpressed(str(error)) from error


def merged(row: Row, case: list[Row]) -> Row:
    """The row with the values of all rows of its log on the same device and of the same component.

    Raises NotExpressed for the smaller ones, which the largest one stands for.
    """
    if row["component"] not in ("weights", "compute", "kv") or not row.get("value_bytes"):
        return row
    twins = [
        r for r in case
        if r["component"] == row["component"] and _place(r) == _place(row) and r.get("value_bytes")
        and r.get("score_as") != "context" and r["unit"] == row["unit"]
    ]  # fmt: skip
    if len(twins) < 2 or not _place(row):
        return row
    largest = max(twins, key=lambda r: r["value_bytes"])
    if row is not largest:
        raise NotExpressed(f"counted together with {largest['id']}, on the same device")
    return {**row, "value_bytes": sum(r["value_bytes"] for r in twins)}


def _place(row: Row) -> str:
    """'host', 'gpu0', ... or '' where the row does not name one device of a llama.cpp log."""
    device = row.get("device") or ""
    if not row["runtime"].lower().startswith(("llama", "ik_", "kobold", "ollama")):
        return ""
    if _HOST_WORDS.search(device) or device == "AMX":
        return "host"
    number = re.match(r"(?:CUDA|Vulkan|ROCm|GPU)(\d)", device)
    return f"gpu{number[1]}" if number else "all" if device == "total" else ""


def _predict(row: Row, case: list[Row], deployment: Deployment, is_whole_card: bool) -> Any:
    component, runtime = row["component"], deployment.runtime.id
    if component == "params":
        count = parameters_count(_table(deployment))
        return count / {"B": 1e9, "M": 1e6}.get(row.get("unit", "").strip()[:1], 1)
    if component == "file_size":
        return sum(t.size_bytes for t in _table(deployment))
    if component == "fits":
        return _fits(deployment, is_whole_card)
    if runtime in _POOL_RUNTIMES and component in ("kv", "kv_tokens", "max_concurrency", "max_len_est"):
        return _pool(row, case, deployment)
    if component in _ESTIMATES:
        return _estimate(deployment, _ESTIMATES[component])
    if component in ("weights", "kv", "compute", "total", "recurrent_state", "output_buffer", "non_torch"):
        return _bytes(row, case, deployment)
    raise NotExpressed(f"nothing of ours corresponds to {component!r}")


def _table(deployment: Deployment) -> Any:
    if deployment.runtime.id == "llama_cpp":
        from plimsoll.runtimes.llama_cpp.weights import tensor_table

        return tensor_table(deployment.model, deployment.weight_format)
    return deployment.model.tensors


def _bytes(row: Row, case: list[Row], deployment: Deployment) -> int:
    lines = [x for x in memory_of(deployment.runtime.id).lines(deployment) if x.component != "reserved"]
    if deployment.runtime.id == "llama_cpp" and deployment.machine.devices:
        on_host = row["component"] == "weights" and bool(_HOST_WORDS.search(row.get("device") or ""))
        lines = _as_large_as_the_file(lines, case, wanted_on_host=on_host)
    here = [x for x in lines if _is_on(x, row, deployment)]
    component = row["component"]
    if component == "recurrent_state":
        here = [x for x in here if x.component == "state"]
    elif component == "kv" and "projected" in (row.get("device") or ""):
        here = [x for x in here if x.component in ("kv", "state")]  # the breakdown's "context" is both
    elif component == "output_buffer":
        here = [x for x in lines if "output buffer" in x.label]
    elif component == "compute":
        here = [x for x in here if x.component == "compute" and "output buffer" not in x.label]
    elif component == "non_torch":
        here = [x for x in here if x.component == "overhead" and "graph" not in x.label]
    elif component == "total":
        if re.search(r"projected|^(?:CUDA|Vulkan|ROCm|Metal)\d?", row.get("device") or ""):
            here = [x for x in here if x.component != "overhead"]
    else:
        here = [x for x in here if x.component == component]
    _refuse_silent_offload(row, deployment)
    if not here:
        raise NotExpressed(f"no line of ours is {component!r} on {row.get('device')!r}")
    return sum(x.size_bytes for x in here)


def _refuse_silent_offload(row: Row, deployment: Deployment) -> None:
    """A run whose weights exceed the card kept some on the host; the row does not say which."""
    if deployment.runtime.id != "llama_cpp" or not row.get("device"):
        return
    weights = [x for x in memory_of("llama_cpp").lines(deployment) if x.component == "weights"]
    for device in deployment.machine.devices:
        if sum(x.size_bytes for x in weights if x.device == device.id) > device.memory_bytes:
            raise NotExpressed("the weights exceed the card; which of them stayed on the host is not told")


def _as_large_as_the_file(lines: list[Line], case: list[Row], *, wanted_on_host: bool) -> list[Line]:
    """Weights of the cards scaled to the file whose size the same log prints.

    A person with the file has its tensor list; a log has only its size. Publishers' mixtures carry
    plain names ("Q4_K - Medium"), so the recipe's size would judge the publisher, not the placement.
    The host's part (the input embedding) stays as computed.
    """
    sizes = [r["value_bytes"] for r in case if r["component"] == "file_size" and r.get("value_bytes")]
    file = sizes[0] if sizes else None
    weights = [x for x in lines if x.component == "weights"]
    on_cards = sum(x.size_bytes for x in weights if x.device != HOST)
    if not file or not on_cards:
        return lines
    on_host = sum(x.size_bytes for x in weights if x.device == HOST)
    scale = (file - on_host) / on_cards
    if abs(on_host + on_cards - file) > _OWN_MIXTURE_SHARE * file and wanted_on_host:
        raise NotExpressed("the file is a publisher's own mixture: the format of its embedding is not told")
    return [_scaled(x, scale) if x.component == "weights" and x.device != HOST else x for x in lines]


def _scaled(line: Line, scale: float) -> Line:
    size = round(line.size_bytes * scale)
    return replace(line, size_bytes=size, low_bytes=size, high_bytes=size)


def _is_on(line: Line, row: Row, deployment: Deployment) -> bool:
    """Whether a line belongs to the device that the row names."""
    device = row.get("device") or ""
    gpus = [d.id for d in deployment.machine.devices]
    if not gpus:
        return True
    if _HOST_WORDS.search(device):
        return line.device == HOST
    number = re.match(r"(?:CUDA|Vulkan|ROCm|Metal|GPU|gpu)(\d)", device)
    if number:
        return line.device == f"gpu{number[1]}"
    if device.startswith(("per GPU", "Metal", "GPU", "CUDA")) or deployment.runtime.id != "llama_cpp":
        return line.device == gpus[0]
    if re.match(r"\d+ GPUs", device) or row["component"] == "total":
        return line.device in gpus
    return True


def _fits(deployment: Deployment, is_whole_card: bool) -> bool:
    """True for 'fits' and 'tight': the promise that it loads."""
    if not is_whole_card or not deployment.machine.devices:
        raise NotExpressed("the card's memory is not told")
    if core.problems_of([deployment]):
        return False
    return core.judge([deployment]).verdict in ("fits", "tight")


def _estimate(deployment: Deployment, quantity: str) -> float:
    for estimate in memory_of(deployment.runtime.id).estimates(deployment):
        if estimate.quantity == quantity:
            return estimate.value
    raise NotExpressed(f"{deployment.runtime.id} has no estimate of {quantity!r}")


def _pool(row: Row, case: list[Row], deployment: Deployment) -> float:
    """Cache arithmetic at the pool that the same log prints (never at the row's own value)."""
    device = row.get("device")
    siblings = {(r["component"], _pool_name(r)): r for r in case}
    pool, tokens = siblings.get(("kv", _pool_name(row))), siblings.get(("kv_tokens", _pool_name(row)))
    if pool is None:
        raise NotExpressed("the log does not print the size of the pool that these tokens filled")
    if row["component"] == "kv" and tokens is None:
        raise NotExpressed("the log prints the pool's size alone: what was left on that card, on that day")
    if re.search(r"one rank|rank \d or \d", pool.get("device") or ""):
        raise NotExpressed("the printed pool is of one rank, the tokens of the rank with least memory")
    size = pool["value_bytes"]
    if size is None or size <= 0:
        raise NotExpressed("the pool's size has no value in bytes")
    if _pool_name(row):
        deployment = replace(deployment, settings={**deployment.settings, "pool": _pool_name(row)})
    fixed = _with_pool(deployment, size)
    if row["component"] != "kv":
        return _estimate(fixed, _ESTIMATES[row["component"]])
    assert tokens is not None
    said = _estimate(fixed, "kv_cache_tokens")
    if not said:
        raise NotExpressed(f"our arithmetic fits no token into that pool on {device!r}")
    return size * tokens["value"] / said


def _pool_name(row: Row) -> str:
    text = (row.get("device") or "").lower()
    return "swa" if "swa pool" in text else "full" if "full-attention pool" in text else ""


def _with_pool(deployment: Deployment, size_bytes: int) -> Deployment:
    name = "max_gpu_total_bytes" if deployment.runtime.id == "tensorrt_llm" else "kv_cache_memory_bytes"
    return replace(
        place.natural_split(deployment),
        settings={**deployment.settings, name: size_bytes},
        workload=Workload(
            context_tokens=deployment.workload.context_tokens,
            parallel_sequences_count=deployment.workload.parallel_sequences_count,
        ),
    )
