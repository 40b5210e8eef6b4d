"""`plimsoll quality`: parse the question, ask, print the answer."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import click

from plimsoll.ask.quality import QualityQuestion, quality
from plimsoll.domain.quality import FormatLoss, QualityAnswer, QualityLoss, QualityMetric
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.units import format_parameters

_SCALES: dict[QualityMetric, tuple[str, str]] = {
    "mean_kld_nats": ("mean KL divergence from the reference", "nats per token"),
    "ppl_ratio": ("logarithm of perplexity / the reference's", "nats per token"),
    "median_kld_nats": ("median KL divergence from the reference", "nats per token"),
    "same_top_percent": ("most likely token changed", "% of tokens"),
    "score_percent": ("benchmark score lost", "% of the reference's"),
}
_FIRST = {"nats per token": 0.0005, "% of tokens": 0.25, "% of the reference's": 0.25}


@click.command("quality", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL")
@click.option(
    "--weights", multiple=True, metavar="FORMAT",
    help="q4_k_m, iq4_xs, fp8, exl3-4.0bpw ...; again for more; default: all that were measured.",
)  # fmt: skip
@click.option("--kv", default="", metavar="FORMAT[/FORMAT]", help="KV cache (or K/V), such as q8_0 or fp8.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--why", is_flag=True, help="Show every figure with its source.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What does a format of weights or KV cache cost MODEL?

    From published measurements: of this model, or of other models in the same format. What nobody
    measured is unknown, and never better than what was measured with more bits.

    Exit code: 0 answered, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = quality(
        QualityQuestion(
            model=typed["model"], weights=typed["weights"], kv=typed["kv"], offline=typed["offline"]
        )
    )
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)


def show(answer: QualityAnswer, *, why: bool) -> None:
    """Print one table per scale, the cache, what is unknown, and notes to stdout."""
    size = format_parameters(answer.parameters_count)
    say(
        f"{answer.model}, {size} parameters ({answer.kind}), published in {answer.published_format}",
        bold=True,
    )
    for metric, found in groupby(answer.losses, key=lambda f: f.loss.metric):
        _scale(metric, list(found), "weights")
    if answer.cache:
        _scale(answer.cache.metric, [FormatLoss(bits_per_weight=None, loss=answer.cache)], "KV cache")
    for reason in answer.unknowns:
        say(f"unknown: {reason}", fg="yellow")
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        _why(answer)
    else:
        say("--why shows every figure and its source", dim=True)


def _scale(metric: QualityMetric, found: list[FormatLoss], of: str) -> None:
    name, unit = _SCALES[metric]
    say(f"\n{of}: {name}, {unit} (each block doubles it)")
    rows = [
        (
            f.loss.weight_format, f"{f.bits_per_weight:.2f}" if f.bits_per_weight else "", _value(f.loss),
            _between(f.loss), f.loss.basis, str(f.loss.models_count or ""),
            str(len(f.loss.measurements) or ""), _bar(f.loss, unit),
        )
        for f in found
    ]  # fmt: skip
    table(("format", "bits", "loss", "from … to", "basis", "models", "figures", ""), rows, right=(1, 2, 5, 6))


def _value(loss: QualityLoss) -> str:
    return "unknown" if loss.value is None else _number(loss.value)


def _between(loss: QualityLoss) -> str:
    high = "?" if loss.high is None else _number(loss.high)
    return f"{_number(loss.low)} … {high}"


def _number(value: float) -> str:
    return f"{value:.2g}" if 0 < value < 0.1 else f"{value:.3g}"


def _bar(loss: QualityLoss, unit: str) -> str:
    """A block at twice the unit's first step, one more for every doubling; '░' after an unknown's bound."""
    blocks = round(math.log2(max(loss.at_least / _FIRST[unit], 1.0)))
    return "█" * blocks + ("░" if loss.value is None else "")


def _why(answer: QualityAnswer) -> None:
    links = {s.id: s.url for s in answer.sources}
    for loss in [*(f.loss for f in answer.losses), *([answer.cache] if answer.cache else [])]:
        say(f"\n{loss.weight_format}: {_value(loss)}, {loss.reason}")
        for m in loss.measurements:
            error = f" ± {m.error:g}" if m.error else ""
            told = ", ".join(x for x in (m.benchmark or m.dataset, m.published_on) if x)
            say(f"  {m.model}: {m.metric} {m.value:g}{error} beside {m.reference_format} ({told})")
            say(f"    {links[m.source]}", dim=True)
