"""The nearest combinations that work, or work better: another release, toolkit, runtime, format.

The same weights come first. A format is only named where the weights are not blown up to it: one
published in 4 bits is not made better by storing it in 8 or 16, nor by converting it to another 4-bit
format; one published in 16 or 8 bits may be stored in as many or fewer, which is marked as a loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from plimsoll.ask.check import BITS, Asked, published_format
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.catalog import stacks
from plimsoll.core import check as core
from plimsoll.domain.check import Alternative
from plimsoll.domain.rule import Outcome, Situation

# Formats a person would try next, widest first; a runtime answers only for those it knows.
_FORMATS = ("bf16", "fp8", "fp8_block", "int8", "q8_0", "mlx-8bit", "q6_k", "q5_k", "nvfp4", "q4_k",
            "mlx-4bit", "awq", "gptq", "w4a16")  # fmt: skip
# Bits per weight up to which rounding to another grid of the same width loses noticeably.
_COARSE_BITS = 6
_MOST_OF_A_KIND = 3


class Kind(Protocol):
    """One kind of change: every combination it leads to, working or not."""

    def __call__(self, rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
        """The combinations."""
        ...


def nearest(rules: core.Rules, asked: Asked, outcome: Outcome) -> tuple[Alternative, ...]:
    """The best few of every kind of change that does better than `outcome`; none where nothing is lacking.

    Another runtime together with another format is only tried where no single change helps.
    """
    if outcome in ("native", "supported"):
        return ()
    found: list[Alternative] = []
    for kind in (_as_published, _other_versions, _other_toolkits, _other_runtimes, _other_formats):
        found += _better(kind(rules, asked), outcome)
    if not any(not one.is_too_large for one in found):
        found += _better(_other_pairs(rules, asked), outcome)
    return tuple(found)


def _better(offered: Iterator[Alternative], outcome: Outcome) -> list[Alternative]:
    """Those that work and do better; what fits comes before what does not, lossless before lossy.

    Where it runs already, nothing is quantised further only to be faster.
    """
    runs = core.works(outcome)
    worth = [
        one for one in offered
        if core.works(one.outcome) and core.ORDER.index(one.outcome) > core.ORDER.index(outcome)
        and not (runs and (one.is_lossy or one.is_too_large))
    ]  # fmt: skip
    worth.sort(key=lambda one: (one.is_too_large, one.is_lossy, -core.ORDER.index(one.outcome)))
    return worth[:_MOST_OF_A_KIND]


def _as_published(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """The weights as they were published, where others were asked for."""
    name = _published(asked)
    if name and name != asked.situation.weights:
        outcome = core.answer_of(rules, replace(asked.situation, weights=name), asked.aspects)
        yield _format(asked, name, outcome, change=f"weights as published, in {name}")


def _other_versions(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """The lowest release of the same runtime from which on it works."""
    newest = release_lists.release_of(asked.releases, "").place[0]

    def at(place: int) -> Situation:
        cuda = asked.situation.cuda
        if not asked.is_cuda_told:
            cuda = stacks.cuda_of(asked.releases.id, asked.releases.version_at(place))
        return replace(asked.situation, release=(place,), cuda=cuda)

    found = core.lowest_release(rules, at, asked.aspects, newest, _built(asked))
    if found is None or asked.situation.release == (found[0],):
        return
    name, version = asked.releases.name, asked.releases.version_at(found[0])
    yield _same_weights(
        asked, f"{name} {version} or newer", f"--runtime {asked.releases.id}=={version}", found[1]
    )


def _built(asked: Asked) -> list[int]:
    """The places of the releases of which is known what they are built on."""
    if asked.releases.scheme == "builds":
        return []
    places = {version: place for place, version in enumerate(asked.releases.versions)}
    own = [stack.version for stack in stacks.load_all() if stack.runtime == asked.releases.id]
    return [places[version] for version in own if version in places]


def _other_toolkits(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """The same release with wheels for an older CUDA, where the driver is too old for its own."""
    if asked.situation.driver is None or asked.is_cuda_told:
        return
    for cuda in ((12, 9), (12, 8)):
        outcome = core.answer_of(rules, replace(asked.situation, cuda=cuda), asked.aspects)
        spelled = ".".join(map(str, cuda))
        yield _same_weights(asked, f"wheels for CUDA {spelled}", f"--cuda {spelled}", outcome)


def _other_runtimes(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """The same format on the newest release of another engine."""
    for releases, situation in _engines(asked):
        outcome = core.answer_of(rules, situation, asked.aspects)
        yield _same_weights(asked, f"{releases.name} {releases.newest}", f"--runtime {releases.id}", outcome)


def _other_formats(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """Other formats on the same release."""
    for name in formats_worth_trying(asked):
        outcome = core.answer_of(rules, replace(asked.situation, weights=name), asked.aspects)
        yield _format(asked, name, outcome, change=f"weights in {name}")


def _other_pairs(rules: core.Rules, asked: Asked) -> Iterator[Alternative]:
    """The widest format that each other engine takes and that leaves the weights room."""
    published = _published(asked)
    names = ([published] if published != asked.situation.weights else []) + formats_worth_trying(asked)
    for releases, situation in _engines(asked):
        for name in names:
            outcome = core.answer_of(rules, replace(situation, weights=name), asked.aspects)
            if core.works(outcome) and not asked.is_too_large(name):
                made = _format(asked, name, outcome, change=f"{releases.name} {releases.newest}, {name}")
                yield replace(made, flags=f"--runtime {releases.id} {made.flags}")
                break


def _engines(asked: Asked) -> Iterator[tuple[release_lists.Releases, Situation]]:
    """Every other engine in its newest release, with the situation there."""
    for releases in release_lists.load_all().values():
        if releases.kind != "engine" or releases.id == asked.releases.id:
            continue
        newest = release_lists.release_of(releases, "")
        yield releases, replace(
            asked.situation, runtime=releases.id, release=newest.place,
            cuda=asked.situation.cuda and stacks.cuda_of(releases.id, newest.version),
        )  # fmt: skip


def formats_worth_trying(asked: Asked) -> list[str]:
    """Formats that the published weights can be stored in without being blown up, widest first.

    As many nominal bits as published only above 6 bits, fewer always; never the published or the asked one.
    """
    quantisation = asked.model.quantisation
    limit = quantisation.bits if quantisation else 16
    taken = {asked.situation.weights, _published(asked)}
    return [
        name for name in _FORMATS
        if name not in taken and (nominal_bits(name) < limit or nominal_bits(name) == limit > _COARSE_BITS)
    ]  # fmt: skip


def nominal_bits(name: str) -> int:
    """Whole bits of a value, without scales: 8 for q8_0 and fp8, 4 for mxfp4 and awq."""
    return int(BITS[name])


def _published(asked: Asked) -> str:
    return rule_files.format_of(published_format(asked.model))


def _same_weights(asked: Asked, change: str, flags: str, outcome: Outcome) -> Alternative:
    too_large = asked.is_too_large(asked.situation.weights)
    return Alternative(change=change, flags=flags, outcome=outcome, is_too_large=too_large)


def _format(asked: Asked, name: str, outcome: Outcome, *, change: str) -> Alternative:
    """Another format; a loss where it has fewer bits than the asked and is not as published."""
    now = BITS.get(asked.situation.weights, 16.0)
    return Alternative(
        change=change, flags=f"--weights {name}", outcome=outcome,
        is_too_large=asked.is_too_large(name), is_lossy=name != _published(asked) and BITS[name] < now,
    )  # fmt: skip
