"""What changed between vLLM releases, as far as memory is concerned."""

from __future__ import annotations

import re
from typing import NamedTuple

NEWEST = (0, 33)
_UNTAGGED = (0, 21)
_RELEASE = re.compile(r"v?(\d+)\.(\d+)")
_MONTH = re.compile(r"(20\d\d)-(\d\d)")

# First month in which a build of that month follows the release's rules (releases on GitHub).
_MONTHS = (
    ((2026, 11), (0, 33)), ((2026, 8), (0, 26)), ((2026, 5), (0, 21)), ((2025, 10), (0, 11)),
    ((2025, 7), (0, 10)), ((2025, 3), (0, 8)), ((2025, 1), (0, 7)), ((2024, 9), (0, 6)), ((2023, 1), (0, 5)),
)  # fmt: skip


class Era(NamedTuple):
    """The rules of one span of releases.

    `estimates_graphs`: the profile run subtracts an estimate of the CUDA graphs from the KV pool
    (log text of vllm/v1/worker/gpu_worker.py, 0.33: "default since v0.21.0").
    `prints_request_tokens`: "GPU KV cache size" is concurrency x max_model_len instead of blocks x
    block size (vllm#43308: 0.20.0 printed 55k and 0.21.0 525k tokens for one pool).
    `batches_in_flight`: batches whose tokens a sliding window keeps: two with asynchronous scheduling
    since 0.26.0 (max_in_flight_tokens; vllm#47728, tenstorrent/tt-xla#5908).
    `has_prefill_checkpoint`: the rules of 0.33: a state group holds one more block with prefix caching
    (MambaSpec), and pages that do not divide are padded without growing first (kv_cache_planning.py; a
    Gemma 4 31B with int8 KV logged in mid-2026 shows the older way).
    `is_v1`: the V1 engine is the default (0.8.0 on); before it whole prompts were profiled unless
    the context passed 32,768 tokens, where chunked prefill switched itself on (vllm#10517).
    `padding_ratio`: up to this ratio between layer counts of two kinds, the smaller kind is padded
    (kv_cache_utils.py of mid-2026: 1.25; kv_cache_planning.py, 0.33: 1.5).
    `logit_bytes`: bytes the sampler's dummy run holds per logit (see profile.sampler_bytes).
    """

    default_utilization: float
    estimates_graphs: bool
    prints_request_tokens: bool
    batches_in_flight: int
    is_v1: bool
    padding_ratio: float
    logit_bytes: int
    has_prefill_checkpoint: bool = False


_ERAS: tuple[tuple[tuple[int, int], Era], ...] = (
    ((0, 33), Era(0.92, True, True, 2, True, 1.5, 14, True)),
    ((0, 26), Era(0.92, True, True, 2, True, 1.25, 14)),
    ((0, 21), Era(0.92, True, True, 1, True, 1.25, 14)),
    ((0, 8), Era(0.9, False, False, 1, True, 1.25, 30)),
    ((0, 0), Era(0.9, False, False, 1, False, 1.25, 2)),
)


def release(version: str) -> tuple[int, int]:
    """(major, minor) of '0.20.2rc1.dev249+abc' or of a dated build ('nightly 2026-05'); the newest known
    for '' and for builds without a number.

    Builds from a checkout without tags call themselves 0.1.dev1+<commit>; those that logged memory were
    of mid-2026 and printed tokens the way 0.21 does.
    """
    month = _MONTH.search(version)
    if month:
        when = (int(month.group(1)), int(month.group(2)))
        return next((number for first, number in _MONTHS if when >= first), (0, 5))
    match = _RELEASE.match(version)
    if version.startswith("0.1.dev"):
        return _UNTAGGED
    if match is None:
        return NEWEST
    return int(match.group(1)), int(match.group(2))


def era_of(version: str) -> Era:
    """The rules that a release follows."""
    number = release(version)
    return next(era for first, era in _ERAS if number >= first)
