"""Which models of the catalog run unquantised on a machine, and which need a format that runs there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from plimsoll import __version__
from plimsoll.ask import check as single
from plimsoll.catalog import models as catalog
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.catalog.releases import Releases
from plimsoll.core import check as core
from plimsoll.domain.check_tables import Frontier, FrontierRow
from plimsoll.domain.machine import Machine
from plimsoll.domain.rule import Aspect, Outcome, Situation
from plimsoll.errors import PlimsollError, UsageError

# The widest of these that fits and runs is shown.
_FORMATS = (
    "fp8",
    "q8_0",
    "mlx-8bit",
    "q6_k",
    "q5_k",
    "nvfp4",
    "mxfp4",
    "q4_k",
    "mlx-4bit",
    "awq",
    "q3_k",
    "q2_k",
)
# What weights may take of the memory when nothing else is computed: the rest is cache and overhead.
CLEAR_SHARE = 0.75
NO_FORMAT: tuple[str, Outcome] = ("", "unknown")
_ASPECTS: tuple[Aspect, ...] = ("device", "weights", "model")


def frontier(on: str | None, *, runtime: str = "") -> Frontier:
    """Every model of the catalog whose parameters are counted, on this machine.

    Unquantised bytes are 2 x parameters. Below 75 % of the memory a model runs, above 100 % it does not,
    and in between `fit` decides with 8,192 tokens of context. For the others the widest format is named
    whose weights stay below 75 % and which some runtime takes on this hardware, with the verdict.
    """
    machine, notes = single.machine_of(on)
    memory = _memory(machine)
    if memory <= 0:
        raise UsageError("how much memory the machine has was not told", hint="--on 'epyc-9554 + 384GiB ram'")
    hardware, backend = single.hardware_of(machine, "")
    engines = [release_lists.find(runtime.partition("==")[0])] if runtime else _engines()
    formats = _Formats(hardware, backend, engines)
    rows = []
    for model, parameters, architecture, published in counted():
        whole = 2 * parameters
        runs = whole <= CLEAR_SHARE * memory or (whole <= memory and _fits(model, machine, on))
        name, outcome = formats.widest(parameters, memory, architecture, published) if not runs else NO_FORMAT
        rows.append(
            FrontierRow(
                model=model, unquantised_bytes=whole, runs_unquantised=runs, format=name, outcome=outcome
            )
        )
    rows.sort(key=lambda row: row.unquantised_bytes)
    notes.append(f"{len(rows)} of {len(catalog.find_all())} models have a published count of parameters")
    return Frontier(
        question="check --frontier", machine=machine.name, memory_bytes=memory, rows=tuple(rows),
        notes=tuple(notes), versions={"plimsoll": __version__},
    )  # fmt: skip


def _memory(machine: Machine) -> int:
    if machine.devices:
        return sum(d.memory_bytes - d.reserved_bytes for d in machine.devices)
    return (machine.ram_bytes or 0) - machine.ram_reserved_bytes


def _engines() -> list[Releases]:
    return [r for r in release_lists.load_all().values() if r.kind == "engine"]


def counted() -> Iterator[tuple[str, int, str, str]]:
    """Models with their published parameters, their model_type and the format they are published in."""
    for model_id in catalog.find_all():
        record = catalog.load(model_id)
        if record.published:
            count = record.published.parameters_count - record.published.other_count
            quantised = record.config.get("quantization_config") or {}
            method = rule_files.format_of(str(quantised.get("quant_method", "")))
            yield record.id, count, str(record.config.get("model_type", "")), method


def _fits(model: str, machine: Machine, on: str | None) -> bool:
    """What `fit` says of the unquantised model; False where it cannot tell."""
    from plimsoll.ask.fit import FitQuestion, fit

    try:
        answer = fit(FitQuestion(models=(model,), on=on or machine.name, weights="bf16", offline=True))
    except PlimsollError:
        return False
    return answer.verdict in ("fits", "tight")


class _Formats:
    """The widest format that leaves room and runs, for every architecture asked once."""

    def __init__(self, hardware: str, backend: str, engines: Sequence[Releases]) -> None:
        self._asked = Situation(runtime="", hardware=hardware, backend=backend)
        self._engines = [(r.id, release_lists.release_of(r, "").place) for r in engines]
        self._known: dict[tuple[str, str], Outcome] = {}

    def widest(self, parameters: int, memory: int, architecture: str, published: str) -> tuple[str, Outcome]:
        """The published format where it fits and runs, else the widest; NO_FORMAT when none does."""
        by_width = sorted(_FORMATS, key=lambda name: (name != published, -single.BITS[name]))
        for name in by_width:
            if parameters * single.BITS[name] / 8 <= CLEAR_SHARE * memory:
                best = self._best(name, architecture)
                if core.works(best):
                    return name, best
        return NO_FORMAT

    def _best(self, weights: str, architecture: str) -> Outcome:
        """The best outcome that any runtime gives this format of this architecture."""
        place = (weights, architecture)
        if place not in self._known:
            names = frozenset(single.names_of(architecture))
            asked = replace(self._asked, weights=weights, models=names)
            rules = single.known_rules()
            self._known[place] = max(
                (
                    core.answer_of(rules, replace(asked, runtime=name, release=release), _ASPECTS)
                    for name, release in self._engines
                ),
                key=core.ORDER.index,
            )
        return self._known[place]
