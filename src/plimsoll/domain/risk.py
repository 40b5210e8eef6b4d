"""What may go wrong with one exact deployment: how sure, how bad, what to do before, how to notice it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from plimsoll.domain.origin import Source

Chance = Literal["seen here", "reported", "possible"]
Cost = Literal["damage", "stops", "hangs", "wrong answers", "slows"]
Basis = Literal["memory", "rules", "known failure", "machine"]
CHANCES: tuple[Chance, ...] = get_args(Chance)
COSTS: tuple[Cost, ...] = get_args(Cost)

# Ordinals for sorting only: nobody counted how often any of this happens, so there are no percentages.
CHANCE_ORDER: Mapping[Chance, int] = {"seen here": 3, "reported": 2, "possible": 1}
COST_ORDER: Mapping[Cost, int] = {"damage": 5, "stops": 4, "hangs": 4, "wrong answers": 3, "slows": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """One thing that may go wrong.

    `chance`: 'seen here' is what figures or rules say of exactly this deployment, 'reported' is what somebody
    met with this card, model or runtime, 'possible' is what nothing excludes. `notice` is a line of a log or
    a command. `urls` and `checked_on` are empty where the reason is this program's own arithmetic.
    """

    id: str
    title: str
    chance: Chance
    cost: Cost
    basis: Basis
    why: str
    before: str
    notice: str = ""
    urls: tuple[str, ...] = ()
    checked_on: str = ""
    is_reread: bool = True

    @property
    def weight(self) -> int:
        """Chance times cost, by their ordinals."""
        return CHANCE_ORDER[self.chance] * COST_ORDER[self.cost]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRisk:
    """A risk that comes with a machine, and which machines have it; an empty condition means any.

    `devices` are ids of the catalog, `hardware` names of the rules' vocabulary, `systems` linux, windows or
    macos. `needs_offload`: only where weights lie in host memory.
    """

    id: str
    title: str
    chance: Chance
    cost: Cost
    why: str
    before: str
    notice: str
    urls: tuple[str, ...]
    checked_on: str
    devices: frozenset[str] = frozenset()
    hardware: frozenset[str] = frozenset()
    systems: frozenset[str] = frozenset()
    least_devices_count: int = 1
    needs_offload: bool = False
    is_reread: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RisksAnswer:
    """The answer of `risks`: the weightiest first; `notes` say what was assumed and not asked.

    `unknowns` are what nobody told or read; `sources` are those of the risks, each once.
    """

    question: str
    asked: Mapping[str, object]
    model: str
    machine: str
    runtime: str
    weights: str
    context_tokens: int
    risks: tuple[Risk, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0: every list of risks, an empty one too, is an answer."""
        return 0
