"""What changed in llama.cpp's memory over time: one table, newest rules at the end.

`Runtime.version` is a build ('b5781', '5781-ba3ef86c5'), a month ('2025-03'), or '' for the newest, which
is what the engine at hand does (b11549). Changes carry the month of the merge; a build's month comes from
`BUILD_MONTHS`, whose rows are builds with a known date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from plimsoll.errors import BadSetting

LatentCache = Literal["none", "keys_and_values", "keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one era of llama.cpp sizes its buffers; the defaults are the oldest era's."""

    has_window_cache: bool = False
    window_extra: Literal["batch", "ubatch"] = "batch"
    has_streams: bool = False
    context_padding_tokens: int = 32
    flash_padding_tokens: int = 256
    has_automatic_flash_attention: bool = False
    latent_cache: LatentCache = "none"
    reserves_logits_for_slots: bool = False
    mask_value_bytes: int = 4
    rotates_quantised_cache: bool = False
    has_pipeline: bool = False
    borrows_weights: bool = False
    writes_by_rows: bool = False
    offloads_output_first: bool = False
    embedding_buffers_count: int = 1
    spare_outputs_count: int = 0
    attention_unpacks_cache: bool = False


# (month of the merge, what changed, source)
CHANGES: tuple[tuple[str, dict[str, object], str], ...] = (
    ("2024-03-13", {"has_pipeline": True}, "https://github.com/ggml-org/llama.cpp/pull/6017"),
    ("2024-03-18", {"borrows_weights": True}, "https://github.com/ggml-org/llama.cpp/pull/6083"),
    ("2025-04", {"latent_cache": "keys_and_values"}, "https://github.com/ggml-org/llama.cpp/pull/12801"),
    ("2025-05-20", {"has_window_cache": True}, "https://github.com/ggml-org/llama.cpp/pull/13194"),
    ("2025-05-31", {"window_extra": "ubatch"}, "https://github.com/ggml-org/llama.cpp/pull/13833"),
    ("2025-07-03", {"writes_by_rows": True}, "https://github.com/ggml-org/llama.cpp/pull/14285"),
    ("2025-07-16", {"has_streams": True}, "https://github.com/ggml-org/llama.cpp/pull/14363"),
    ("2025-08-30", {"has_automatic_flash_attention": True}, "https://github.com/ggml-org/llama.cpp/pull/15434"),
    ("2025-11", {"context_padding_tokens": 256}, "https://github.com/ggml-org/llama.cpp/pull/17046"),
    ("2025-12-18", {"offloads_output_first": True}, "https://github.com/ggml-org/llama.cpp/pull/18148"),
    ("2026-01-10", {"embedding_buffers_count": 2}, "https://github.com/ggml-org/llama.cpp/pull/18550"),
    ("2026-01-25", {"latent_cache": "keys"}, "https://github.com/ggml-org/llama.cpp/pull/19067"),
    ("2026-04", {"rotates_quantised_cache": True}, "https://github.com/ggml-org/llama.cpp/pull/21038"),
    ("2026-06", {"reserves_logits_for_slots": True}, "https://github.com/ggml-org/llama.cpp/pull/23861"),
    ("2026-06", {"mask_value_bytes": 2}, "https://github.com/ggml-org/llama.cpp/pull/23764"),
    # Tokens and given embeddings mixed in one batch; seen in b11549, not yet in 0c1e57098.
    ("2026-10", {"embedding_buffers_count": 5}, "xllamacpp 2026.10.11549, reserved graph"),
    # CUDA's attention reserves f16 copies of a quantised cache in its own result; month of the source read.
    ("2026-10", {"attention_unpacks_cache": True}, "ggml-cuda/fattn.cu, ggml-org/llama.cpp@0c1e57098"),
)  # fmt: skip

# Builds are counted per commit; months between two rows follow the nearest row at or below.
# Sources: release dates on https://github.com/ggml-org/llama.cpp/releases and the dated logs of the
# memory measurements (builds 2794-2843 in May 2024, b4701 in February 2025); PyPI xllamacpp 2026.10.11549.
BUILD_MONTHS: tuple[tuple[int, str], ...] = (
    (0, "2023-08"), (2778, "2024-04-30"), (4701, "2025-02-12"), (5130, "2025-04-14"), (5432, "2025-05-20"),
    (5552, "2025-05-31"), (5913, "2025-07-17"), (6325, "2025-08-30"), (6920, "2025-11-02"),
    (7830, "2026-01-25"), (9010, "2026-05"), (9500, "2026-06-30"), (11549, "2026-10-30"),
)  # fmt: skip

_BUILD = re.compile(r"\bb?(\d{3,5})(?:\b|-)")
_MONTH = re.compile(r"\b(20\d\d-\d\d(?:-\d\d)?)\b")


@lru_cache(maxsize=64)
def rules_of(version: str) -> Rules:
    """The rules of a version; '' is the newest. Raises BadSetting for a version that names no time."""
    rules = Rules()
    month = month_of(version)
    for since, changed, _ in CHANGES:
        if not month or month >= since:
            rules = replace(rules, **changed)  # type: ignore[arg-type]
    return rules


def month_of(version: str) -> str:
    """'2025-06' (or a day) for a build or month; '' for the newest."""
    if not version.strip():
        return ""
    dated = _MONTH.search(version)
    if dated:
        return dated.group(1)
    build = _BUILD.search(version)
    if build is None:
        raise BadSetting(
            f"{version!r} is not a version of llama.cpp", hint="write b5781, or a month such as 2025-08"
        )
    number = int(build.group(1))
    return [month for first, month in BUILD_MONTHS if first <= number][-1]
