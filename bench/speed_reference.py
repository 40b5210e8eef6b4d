"""A published model of generation speed, as the best peer that runs offline:

    t = W / (e x q x BW) + KV / (e_kv x BW) + o x layers

with one e, e_kv and o (dense, mixture of experts, older builds) per backend and one q per format. Formula and
constants are those of the project's data sheet on speed (section 2, model "M2"). They were fitted on the very
rows that it is scored with here, while ours is fitted anew without the device; left out in the same way it
missed 9.5 % in the median, 7.7 % without Intel GPUs and Vulkan on Apple.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speed import SpeedCase
from plimsoll.formulas.decode import kv_bytes_read


@dataclass(frozen=True, slots=True, kw_only=True)
class _Backend:
    """Shares of the bandwidth, and microseconds per layer; of ranges their middle."""

    weights: float
    cache: float
    dense_us: float
    mixture_us: float
    older_us: float


_BACKENDS = {
    "cuda": _Backend(weights=0.85, cache=0.62, dense_us=41, mixture_us=62, older_us=48),
    "metal": _Backend(weights=0.87, cache=0.40, dense_us=107, mixture_us=193, older_us=51),
    "rocm": _Backend(weights=0.83, cache=0.79, dense_us=76, mixture_us=278, older_us=85),
    "vulkan": _Backend(weights=0.79, cache=0.51, dense_us=100, mixture_us=182, older_us=26),
    "mlx": _Backend(weights=0.78, cache=0.51, dense_us=15, mixture_us=146, older_us=0),
}
_FORMATS = (
    ("q4_0", 0.96), ("q4_k", 0.97), ("q8_0", 1.02), ("16bit", 1.03), ("q5", 1.04), ("q6", 1.04),
    ("mxfp4", 1.03), ("q2", 0.885), ("q3", 0.885), ("iq2", 0.885), ("iq3", 0.885),
)  # fmt: skip
# Rows that the peer itself was not fitted on: unknown build, format, placement or load.
_TIER_B = re.compile(r"localscore|geerlingguy|mac-llm-bench|llmfit|ollama", re.IGNORECASE)


def seconds(case: SpeedCase, depth_tokens: int) -> float | None:
    """The time of one generated token; None where the peer has no constants (other runtimes, processors,
    several cards at a time, part of the model in host memory)."""
    on = _BACKENDS.get("mlx" if case.runtime == "mlx" else case.backend)
    is_whole = not case.host_layers_count and not case.host_expert_layers_count
    if on is None or case.runtime not in ("llama_cpp", "mlx") or case.split == "tensor" or not is_whole:
        return None
    work = case.work
    quant = next((q for name, q in _FORMATS if work.format_family.startswith(name)), 1.0)
    weights = work.block_bytes + work.output_bytes
    routed = sum(g.size_bytes * g.active_experts_count / g.experts_count for g in work.experts)
    cache = kv_bytes_read(work.layers, depth_tokens, case.kv_format, case.kv_format)
    each = on.mixture_us if work.experts else on.dense_us
    each += on.older_us if case.era == "before b4800" else 0
    bandwidth = case.bandwidth_bytes_per_s
    read = (weights + routed) / (on.weights * quant * bandwidth) + cache / (on.cache * bandwidth)
    return read + each * 1e-6 * len(work.layers)


def is_comparable(row: dict[str, Any], m: Measurement) -> bool:
    """The rows that the peer was made for: llama-bench with build and file size, one sequence, at most 1,100
    tokens of cache, nothing in host memory, no Intel GPU and no Vulkan on Apple (never predicted here)."""
    told = f"{row.get('source_url')} {row.get('notes')} {row.get('runtime')}"
    return bool(
        m.metric == "decode_tps" and m.sequences_count == 1 and row.get("size_gib") and row.get("version")
        and m.depth_tokens + m.generated_tokens // 2 <= 1100 and not _TIER_B.search(told)
    )  # fmt: skip
