"""Speculative decoding: the pass that verifies, the layer that drafts, and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from statistics import median

from plimsoll.core.speed import terms
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.speculation import Acceptance, AcceptanceMeasurement, Method, SpeedAt
from plimsoll.domain.speed import ModelWork, SpeedCase, Terms
from plimsoll.formulas.speculation import acceptance_from, tokens_per_step

_LAYER = re.compile(r"(?:^|\.)mtp\.layers\.(\d+)\.|\.layers\.(\d+)\.")
# Shown where nobody measured the acceptance.
SHOWN = (0.3, 0.5, 0.7, 0.8, 0.9)


def verify_terms(case: SpeedCase, *, drafted: int, sequences_count: int, depth_tokens: int) -> Terms:
    """The parts of one pass of the target over the drafted tokens of each sequence and one more.

    The tokens of a sequence share its cache, which is read once; like those of other sequences they may go to
    other experts, so that more weights are read.
    """
    many = terms(
        case, sequences_count=sequences_count * (drafted + 1), new_tokens=1, depth_tokens=depth_tokens
    )
    once = ("cache", "state")
    parts = tuple(replace(p, seconds=p.seconds / (drafted + 1)) if p.name in once else p for p in many.parts)
    return replace(many, parts=parts)


def mtp_work(model: Model, work: ModelWork) -> ModelWork | None:
    """What one drafted token reads: a layer of multi-token prediction and the output; None without one.

    Its tensors are taken to have the model's bytes per value; of its experts the active ones are read.
    """
    tensors = [t for t in model.tensors if t.role == "mtp"]
    if not tensors:
        return None
    layer = model.layers[-1]
    share = layer.active_experts_count / layer.experts_count if layer.experts_count else 1.0
    # Of an embedding one row is read, and the output is counted apart, whether it has a copy here or not.
    read = [t for t in tensors if model.vocab_size not in t.shape]
    values = sum(prod(t.shape) * (share if _is_routed(t) else 1.0) for t in read)
    return _one_layer(work, values / _layers_count(tensors))


def head_work(work: ModelWork) -> ModelWork:
    """What one token drafted by an EAGLE head reads: about one dense layer of the target, and the output."""
    return _one_layer(work, work.block_values_count / max(len(work.layers), 1))


def mtp_bytes(model: Model, work: ModelWork) -> int:
    """All bytes of the layers of multi-token prediction, at the model's bytes per value."""
    values = sum(prod(t.shape) for t in model.tensors if t.role == "mtp")
    return round(values * _bytes_per_value(work))


def _one_layer(work: ModelWork, values: float) -> ModelWork:
    return replace(
        work, layers=work.layers[-1:], experts=(), block_values_count=round(values),
        block_bytes=round(values * _bytes_per_value(work)),
    )  # fmt: skip


def _bytes_per_value(work: ModelWork) -> float:
    values = work.block_values_count + work.output_values_count + sum(g.values_count for g in work.experts)
    return work.weights_bytes / values


def _is_routed(tensor: TensorSpec) -> bool:
    return ".experts." in tensor.name


def _layers_count(tensors: Iterable[TensorSpec]) -> int:
    found = {match.group() for t in tensors if (match := _LAYER.search(t.name))}
    return max(len(found), 1)


def acceptance_of(
    rows: Iterable[AcceptanceMeasurement], target: str, method: Method, draft: str
) -> Acceptance | None:
    """The median of what was published for this pair, and its range; None where nothing was.

    Of an EAGLE head any is taken; a draft model must be the same one. A share accepted r of n drafted tokens
    is 1 + r n tokens a step; the acceptance is the one that gives so many.
    """
    found = [
        (acceptance_from(r.tokens_per_step or 1 + r.acceptance_rate * r.drafted_tokens, r.drafted_tokens), r)
        for r in _of_pair(rows, target, method, draft)
    ]
    if not found:
        return None
    values, names = [value for value, _ in found], dict.fromkeys(r.target for _, r in found)
    tasks = dict.fromkeys(filter(None, (r.task for _, r in found)))
    return Acceptance(
        value=median(values), low=min(values), high=max(values),
        origin=f"{len(found)} published for {', '.join(names)} ({', '.join(tasks)})",
        sources=tuple(dict.fromkeys(r.source for _, r in found)),
    )  # fmt: skip


def speedups_of(rows: Iterable[AcceptanceMeasurement], target: str, method: Method, draft: str) -> str:
    """What drafting brought where both speeds were published, and where: 'x 1.14 … 1.28 on ...', or ''."""
    found = [r for r in _of_pair(rows, target, method, draft) if r.plain_tokens_per_s]
    if not found:
        return ""
    ratios = sorted(r.speculative_tokens_per_s / r.plain_tokens_per_s for r in found)
    shown = " … ".join(dict.fromkeys(f"{ratio:.2f}" for ratio in (ratios[0], ratios[-1])))
    counts = ", ".join(str(n) for n in sorted({r.drafted_tokens for r in found}))
    return f"x {shown} with {counts} drafted on {'; '.join(dict.fromkeys(r.hardware for r in found))}"


def drafts_of(rows: Iterable[AcceptanceMeasurement], target: str) -> tuple[tuple[Method, str], ...]:
    """What drafts for a target, as published: heads once whichever they are, draft models each."""
    found = [
        (r.method, r.draft if r.method == "draft" else "") for r in rows if _plain(r.target) == _plain(target)
    ]
    return tuple(dict.fromkeys(found))


def _of_pair(
    rows: Iterable[AcceptanceMeasurement], target: str, method: Method, draft: str
) -> list[AcceptanceMeasurement]:
    """The figures of this target and method; of an EAGLE head any, of draft models the same one."""
    return [
        r
        for r in rows
        if _plain(r.target) == _plain(target)
        and r.method == method
        and (method != "draft" or _plain(r.draft) == _plain(draft))
    ]


def _plain(name: str) -> str:
    """Names are compared without the word that tells the tuned model from its base."""
    return name.removesuffix("-Instruct")


def speeds_at(
    acceptances: Sequence[float], *, drafted: int, step_seconds: float, plain_seconds: float
) -> tuple[SpeedAt, ...]:
    """The speed of one sequence at each acceptance."""
    tokens = [tokens_per_step(acceptance, drafted) for acceptance in acceptances]
    return tuple(
        SpeedAt(
            acceptance=acceptance,
            tokens_per_step=count,
            tokens_per_s=count / step_seconds,
            speedup=count / step_seconds * plain_seconds,
        )
        for acceptance, count in zip(acceptances, tokens, strict=True)
    )
