"""Which front-ends do what, and what a model and its runtime need of them."""

from __future__ import annotations

from plimsoll import __version__
from plimsoll.ask import models
from plimsoll.catalog import uis as catalog
from plimsoll.domain.check_tables import UiAnswer
from plimsoll.domain.rule import Outcome, Situation, Verdict


def uis(model: str = "", *, only: str = "", offline: bool = False) -> UiAnswer:
    """All front-ends, or `only` the named one, by features; with a model, what it needs.

    Raises UnknownName for a front-end that no file describes.
    """
    notes = [
        "vLLM 0.16 and newer send reasoning in `reasoning`, llama.cpp in `reasoning_content`: "
        "a front-end must read the one your server sends"
    ]
    name = ""
    if model:
        loaded = models.load(model, offline=offline)
        name = loaded.id
        if loaded.architecture in ("gpt_oss", "gpt-oss"):
            notes.append("gpt-oss speaks harmony: the server must parse it, or the channels show in the text")
    found = (catalog.find(only),) if only else catalog.load_all()
    used = {feature.name for ui in found for feature in ui.features}
    return UiAnswer(
        question="check --ui", model=name, features=tuple(f for f in catalog.FEATURES if f in used),
        uis=found,
        notes=tuple(notes), versions={"plimsoll": __version__},
    )  # fmt: skip


def ui_verdict(name: str, asked: Situation) -> Verdict:
    """What is known of one front-end in front of this runtime: its backends and how it reads reasoning."""
    ui = catalog.find(name)
    known = {feature.name: feature for feature in ui.features}
    reads = [known[f] for f in ("backends", "reasoning") if f in known]
    if not reads:
        note = f"{ui.name}: no source that was read says which servers it speaks to."
        return Verdict(aspect="ui", outcome="unknown", note=note)
    order: tuple[Outcome, ...] = ("unsupported", "inefficient", "penalty", "supported", "native")
    worst: Outcome = next((o for o in order if any(feature.outcome == o for feature in reads)), "unknown")
    return Verdict(
        aspect="ui", outcome=worst, note=" ".join(f"{ui.name}: {feature.note}" for feature in reads),
        sources=tuple(dict.fromkeys(s for feature in reads for s in feature.sources)),
        checked_on=min(feature.checked_on for feature in reads),
    )  # fmt: skip
