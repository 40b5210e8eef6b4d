"""What others measured of the same model on the same device: shown beside what is predicted."""

from __future__ import annotations

import math

from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speed import SpeedCase

# Of generation, and of prompts: as many as one reads at a glance.
_SHOWN = {"decode_tps": 2, "prefill_tps": 1}


def nearest(
    case: SpeedCase, weight_format: str, *, depth_tokens: int, prompt_tokens: int
) -> tuple[Measurement, ...]:
    """The published measurements of this model with this runtime on as many of these devices that are nearest
    to the question: first in this format, then at full power, then of the nearest depth (prompt).

    Two of generation and one of a prompt at most, one of each sweep; part of a model in host memory is
    compared with the like only. Reads the catalog's measurements.
    """
    from plimsoll.catalog import measurements

    cards = (case.device, case.devices_count, case.host if case.backend == "cpu" else "")
    found = [
        m for m in measurements.load()
        if (m.model, m.runtime, m.backend) == (case.work.model, case.runtime, case.backend)
        and (m.device, max(m.devices_count, 1), m.host if case.backend == "cpu" else "") == cards
        and _is_on_host(m) == bool(case.host_layers_count or case.host_expert_layers_count)
        and m.sequences_count == 1
    ]  # fmt: skip
    asked = {"decode_tps": depth_tokens, "prefill_tps": prompt_tokens}

    def distance(m: Measurement) -> tuple[bool, bool, bool, float, str]:
        at = m.prompt_tokens if m.metric == "prefill_tps" else m.depth_tokens + m.generated_tokens // 2
        far = abs(math.log((at + 64) / (asked[m.metric] + 64)))
        limited = bool(m.power_limit_watts) and case.power_share == 1
        return m.weight_format != weight_format, bool(m.flavour), limited, far, m.id

    out: list[Measurement] = []
    for metric, count in _SHOWN.items():
        sweeps: dict[tuple[str, str], Measurement] = {}
        for m in sorted((m for m in found if m.metric == metric), key=distance):
            sweeps.setdefault((m.source, m.weight_format), m)
        out += list(sweeps.values())[:count]
    return tuple(out)


def _is_on_host(m: Measurement) -> bool:
    """Whether part of the model was left to the processor."""
    few = m.gpu_layers_count is not None and m.gpu_layers_count < 90 and m.backend != "cpu"
    return few or bool(m.cpu_expert_layers_count)
