"""What changed in llama.cpp's memory over time: one table, newest rules at the end.

`Runtime.version` is a build ('b5781', '5781-ba3ef86c5'), a release ('v0.7.0'), a month ('2025-03'), or '' for
the newest, which is what the engine at hand does (b11549). Changes carry the day of the merge; the day of a
build comes from `BUILD_MONTHS`, that of a release from `RELEASES`.
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


# (day of the merge in UTC, what changed, source). Days and builds of numbered pull requests were read from
# upstream's git history, whose commit times are merge times.
CHANGES: tuple[tuple[str, dict[str, object], str], ...] = (
    ("2024-03-13", {"has_pipeline": True}, "https://github.com/ggml-org/llama.cpp/pull/6017"),
    ("2024-03-18", {"borrows_weights": True}, "https://github.com/ggml-org/llama.cpp/pull/6083"),
    ("2025-04-15", {"latent_cache": "keys_and_values"}, "https://github.com/ggml-org/llama.cpp/pull/12801"),
    ("2025-05-20", {"has_window_cache": True}, "https://github.com/ggml-org/llama.cpp/pull/13194"),
    ("2025-05-31", {"window_extra": "ubatch"}, "https://github.com/ggml-org/llama.cpp/pull/13833"),
    # Row indices (14285, 3 July) and streams (14363, 16 July) stayed off by default until 14959.
    ("2025-08-02", {"writes_by_rows": True}, "https://github.com/ggml-org/llama.cpp/pull/14959"),
    ("2025-08-02", {"has_streams": True}, "https://github.com/ggml-org/llama.cpp/pull/14959"),
    (
        "2025-08-30",
        {"has_automatic_flash_attention": True},
        "https://github.com/ggml-org/llama.cpp/pull/15434",
    ),
    ("2025-11-07", {"context_padding_tokens": 256}, "https://github.com/ggml-org/llama.cpp/pull/17046"),
    ("2025-12-18", {"offloads_output_first": True}, "https://github.com/ggml-org/llama.cpp/pull/18148"),
    # 18550 (19 January) only brought the operation; 18898 made every graph hold both kinds of input.
    ("2026-01-23", {"embedding_buffers_count": 2}, "https://github.com/ggml-org/llama.cpp/pull/18898"),
    ("2026-01-25", {"latent_cache": "keys"}, "https://github.com/ggml-org/llama.cpp/pull/19067"),
    ("2026-04-01", {"rotates_quantised_cache": True}, "https://github.com/ggml-org/llama.cpp/pull/21038"),
    ("2026-05-29", {"mask_value_bytes": 2}, "https://github.com/ggml-org/llama.cpp/pull/23764"),
    ("2026-06-01", {"reserves_logits_for_slots": True}, "https://github.com/ggml-org/llama.cpp/pull/23861"),
    # CUDA's attention reserves f16 copies of a quantised cache in its own result.
    ("2026-06-03", {"attention_unpacks_cache": True}, "https://github.com/ggml-org/llama.cpp/pull/23907"),
    # Not verified: tokens and given embeddings mixed in one batch is seen in b11549 (0.6.0-dev), not yet in
    # 0c1e57098 (0.5.0); the merge between them was not found, so v0.6.0 and builds 11097-11548 are uncertain.
    ("2026-10", {"embedding_buffers_count": 5}, "xllamacpp 2026.10.11549, reserved graph"),
)  # fmt: skip

# (build, day, source): the first build of each month, and of each change above. A build's number counts
# commits, so up to 17 August 2026 number and day are those of the commit named as source. A build between two
# rows gets the day of the row below. A change's own build is the first row of its day (so April and June 2026
# begin with one), which keeps every build on its side of the change. Rows after that are the day on which
# others had the build, at most some days late. Not verified: the day of b11549, which reports 0.6.0-dev and
# so lies between v0.6.0 and v0.7.0. No build of 1 October 2026 was found.
BUILD_MONTHS: tuple[tuple[int, str, str], ...] = (
    (0, "2023-03-10", "commit 26c084662"),
    (273, "2023-04-01", "commit 0d054e292"),
    (1135, "2023-09-01", "commit bce1fef32"),
    (1743, "2024-01-02", "commit 58ba655af"),
    (2038, "2024-02-01", "commit ce3206019"),
    (2298, "2024-03-01", "commit 38d152160"),
    (2413, "2024-03-13", "commit f30ea47a8"),
    (2454, "2024-03-18", "commit 2bf8d0f7c"),
    (2583, "2024-04-01", "commit 226e81937"),
    (2776, "2024-05-01", "commit c4ec9c0d3"),
    (3062, "2024-06-01", "commit 9b596417a"),
    (3269, "2024-07-01", "commit 197fe6c1d"),
    (3499, "2024-08-01", "commit c8a009092"),
    (3651, "2024-09-01", "commit 8f1d81a0b"),
    (3854, "2024-10-01", "commit 1927378bc"),
    (4003, "2024-11-01", "commit e597e5079"),
    (4231, "2024-12-01", "commit 43957ef20"),
    (4405, "2025-01-02", "commit a45433ba2"),
    (4608, "2025-02-01", "commit 5bbc7362c"),
    (4795, "2025-03-01", "commit 2cc4a5e44"),
    (5015, "2025-04-01", "commit 8bbf26083"),
    (5137, "2025-04-15", "commit daa422881"),
    (5238, "2025-05-01", "commit 999854014"),
    (5429, "2025-05-20", "commit e298d2fbd"),
    (5554, "2025-05-31", "commit 3600cc288"),
    (5559, "2025-06-01", "commit 0fc16b42e"),
    (5788, "2025-07-01", "commit 79b33b231"),
    (6053, "2025-08-01", "commit 484b2091c"),
    (6071, "2025-08-02", "commit a4569c41f"),
    (6325, "2025-08-30", "commit e81b8e4b7"),
    (6339, "2025-09-01", "commit 3dc7397a2"),
    (6654, "2025-10-01", "commit aa9538a63"),
    (6908, "2025-11-01", "commit d3dc9dd89"),
    (6975, "2025-11-07", "commit 16bcc1259"),
    (7213, "2025-12-01", "commit 6eea66691"),
    (7467, "2025-12-18", "commit 57c1e0564"),
    (7599, "2026-01-01", "commit 9e10bd2ea"),
    (7819, "2026-01-23", "commit 557515be1"),
    (7832, "2026-01-25", "commit d9c6ce46f"),
    (7900, "2026-02-01", "commit 2634ed207"),
    (8183, "2026-03-01", "commit 66d65ec29"),
    (8619, "2026-04-01", "commit 744c0c731"),
    (8994, "2026-05-01", "commit aab68217b"),
    (9410, "2026-05-29", "commit 031ddb2e0"),
    (9460, "2026-06-01", "commit de6f727aa"),
    (9489, "2026-06-03", "commit f8f0a47a5"),
    (9852, "2026-07-01", "commit fd1a05791"),
    (10217, "2026-08-01", "commit ddd4ec142"),
    (10470, "2026-08-17", "commit 34af94cd9"),
    (10566, "2026-08-21", "https://github.com/ggml-org/llama.cpp/releases/tag/v0.2.0"),
    (10630, "2026-08-25", "https://github.com/ollama/ollama/pull/18003"),
    (10760, "2026-09-02", "https://github.com/ollama/ollama/pull/18199"),
    (10864, "2026-09-08", "https://github.com/ollama/ollama/pull/18317"),
    (11096, "2026-09-22", "https://github.com/eniewold/llama-cpp-runpod/releases/tag/b11096"),
    (11549, "2026-10-10", "xllamacpp 2026.10.11549, llama_version"),
    (12199, "2026-11-08", "https://github.com/eniewold/llama-cpp-runpod/releases/tag/b12199"),
)  # fmt: skip

# Releases beside the builds (v0.1.1 is b10470, v0.2.0 is b10566). v0.3 to v0.5 were not found with a date.
RELEASES: tuple[tuple[tuple[int, int, int], str, str], ...] = (
    ((0, 1, 1), "2026-08-17", "https://docs.rs/llama-cpp-4/0.6.0/llama_cpp_4/fn.llama_version.html"),
    ((0, 1, 2), "2026-08-19", "https://github.com/containers/ramalama/pull/2896"),
    ((0, 2, 0), "2026-08-21", "https://github.com/ggml-org/llama.cpp/releases/tag/v0.2.0"),
    ((0, 6, 0), "2026-10-10", "https://github.com/sheldonrobinson/llamacpp.install/releases/tag/v0.6.0"),
    ((0, 7, 0), "2026-10-17", "https://github.com/sheldonrobinson/llamacpp.install/releases/tag/v0.7.0"),
    ((0, 8, 0), "2026-11-02", "https://github.com/sheldonrobinson/llamacpp.install/releases/tag/v0.8.0"),
)  # fmt: skip

_BUILD = re.compile(r"\bb?(\d{3,5})(?:\b|-)")
_MONTH = re.compile(r"\b(20\d\d-\d\d(?:-\d\d)?)\b")
_RELEASE = re.compile(r"\bv(\d+)\.(\d+)\.(\d+)\b")


@lru_cache(maxsize=64)
def rules_of(version: str) -> Rules:
    """The rules of a version; '' is the newest. Raises BadSetting for a version that names no time."""
    rules = Rules()
    day = month_of(version)
    if len(day) == len("2025-06"):
        day += "-15"  # a month alone is read as its middle
    for since, changed, _ in CHANGES:
        if not day or day >= since:
            rules = replace(rules, **changed)  # type: ignore[arg-type]
    return rules


def month_of(version: str) -> str:
    """A day ('2025-06-01') for a build or release, a month or day as given; '' for the newest."""
    if not version.strip():
        return ""
    dated = _MONTH.search(version)
    if dated:
        return dated.group(1)
    released = _RELEASE.search(version)
    if released:
        numbers = tuple(int(n) for n in released.groups())
        return [day for first, day, _ in RELEASES if first <= max(numbers, RELEASES[0][0])][-1]
    build = _BUILD.search(version)
    if build is None:
        raise BadSetting(
            f"{version!r} is not a version of llama.cpp",
            hint="write b5781, v0.7.0, or a month such as 2025-08",
        )
    number = int(build.group(1))
    return [day for first, day, _ in BUILD_MONTHS if first <= number][-1]
