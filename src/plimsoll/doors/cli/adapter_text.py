"""The answer of `adapter` as a person reads it."""

from __future__ import annotations

import re
from collections import Counter

from plimsoll.ask.fit import spelled
from plimsoll.domain.adapter import AdapterAnswer, AdapterCheck, LoraAdapter, ModuleCheck
from plimsoll.doors.cli.text import say, styled, table
from plimsoll.units import format_bytes, format_count, format_parameters

_HEADLINES = {
    "works": ("WORKS", "green"), "partly": ("WORKS IN PART", "yellow"),
    "changes_nothing": ("LOADS AND CHANGES NOTHING", "red"), "load_error": ("DOES NOT LOAD", "red"),
    "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
_OUTCOMES = {
    "applied": "takes effect", "ignored": "ignored", "no_effect": "without effect",
    "untrained": "stays untrained",
    "wrong_shape": "other shape", "refused": "refused",
}  # fmt: skip
_MOST_ROWS = 24


def show(answer: AdapterAnswer, *, is_whole: bool) -> None:
    """Print the verdict, what the adapter is, its modules and what each runtime does with it."""
    if answer.check:
        word, colour = _HEADLINES[answer.check.verdict]
        say(styled(word, fg=colour, bold=True) + f" on {answer.check.model}: {answer.check.reason}")
        say(f"judged by the rules of {answer.check.engine}", dim=True)
    _facts(answer)
    say()
    _modules(answer, is_whole=is_whole)
    say()
    _runtimes(answer)
    if answer.fit:
        say()
        say(
            f"with one adapter on {answer.machine}: {answer.fit.verdict.replace('_', ' ')}, "
            f"{format_bytes(answer.fit.headroom_bytes)} left (plimsoll fit ... --adapter)"
        )
    for note in (*answer.notes, *(answer.check.notes if answer.check else ())):
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")


def _facts(answer: AdapterAnswer) -> None:
    found = answer.adapter
    kind = "DoRA" if found.has_dora else "LoRA"
    scale = f"alpha {found.alpha:g}" + (
        " (rsLoRA: divided by the root of the rank)" if found.has_rslora else ""
    )
    where = "GGUF" if found.naming == "gguf" else "PEFT"
    base = f" for {found.base or found.architecture}" if found.base or found.architecture else ""
    say(f"{found.id}: {kind} ({where}){base}, rank {_ranks(found)}, {scale}")
    say(f"targets: {_targets(found)}")
    say(
        f"{format_parameters(answer.parameters_count)} parameters in {len(found.tensors)} tensors "
        f"({_formats(found)}), {format_bytes(found.file_bytes)} on disk"
    )


def _ranks(found: LoraAdapter) -> str:
    more = sorted({rank for _, rank in found.rank_pattern} - {found.rank})
    return f"{found.rank}" + (f" (by module: {', '.join(map(str, more[:6]))})" if more else "")


def _targets(found: LoraAdapter) -> str:
    parts = [found.target_pattern or ", ".join(found.targets)]
    if found.target_parameters:
        parts.append(f"parameters {', '.join(found.target_parameters)}")
    if found.saved_modules:
        parts.append(f"saved whole: {', '.join(found.saved_modules)}")
    if found.layers is not None:
        parts.append(f"layers {', '.join(map(str, found.layers[:12]))}")
    if found.naming == "gguf":
        parts = [", ".join(sorted({_plain(t.module) for t in found.tensors}))]
    return "; ".join(p for p in parts if p) or "the default of the architecture"


def _formats(found: LoraAdapter) -> str:
    counts = Counter(t.format for t in found.tensors)
    return ", ".join(name for name, _ in counts.most_common())


def _plain(name: str) -> str:
    """A module's name with its numbers left open."""
    return re.sub(r"\.\d+(?=\.)", ".*", name)


def _modules(answer: AdapterAnswer, *, is_whole: bool) -> None:
    if answer.check is None:
        rows = Counter(
            (_plain(t.module), _by(t.shape)) for t in answer.adapter.tensors if t.part in ("a", "whole")
        )
        table(
            ("module", "A", "modules"),
            [(name, shape, format_count(n)) for (name, shape), n in rows.most_common(_MOST_ROWS)], right=(2,),
        )  # fmt: skip
        return
    if not answer.check.modules:
        return
    rows_of = [_row(check) for check in answer.check.modules] if is_whole else _grouped(answer.check)
    table(("module", "in the file", "in the model", "", "modules"), rows_of, right=(4,))


def _row(check: ModuleCheck) -> tuple[str, str, str, str, str]:
    reason = f": {check.reason}" if check.reason else ""
    return (
        check.module, " ".join(_by(s) for s in check.found if s),
        " ".join(_by(s) for s in check.expected if s),
        _OUTCOMES[check.outcome] + reason, "1",
    )  # fmt: skip


def _grouped(check: AdapterCheck) -> list[tuple[str, str, str, str, str]]:
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for module in check.modules:
        name, found, expected, outcome, _ = _row(module)
        counts[(_plain(name), found, expected, outcome)] += 1
    rows = [(*key, format_count(n)) for key, n in counts.most_common(_MOST_ROWS)]
    if len(counts) > _MOST_ROWS:
        rows.append((f"and {len(counts) - _MOST_ROWS} more kinds (--all)", "", "", "", ""))
    return rows


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _runtimes(answer: AdapterAnswer) -> None:
    has_fit = answer.fit is not None
    heads = ("runtime", "", "in memory", *(("fit",) if has_fit else ()), "how")
    rows = []
    for use in answer.runtimes:
        size = format_bytes(use.resident_bytes) if use.resident_bytes is not None else "-"
        count = "-" if use.fits_count is None else format_count(use.fits_count)
        rows.append((spelled(use.runtime), use.verdict, size, *((count,) if has_fit else ()), use.reason))
    table(heads, rows, right=(2, 3) if has_fit else (2,))
    for use in answer.runtimes:
        if use.flags:
            say(f"{spelled(use.runtime)}: {use.flags}", dim=True)
