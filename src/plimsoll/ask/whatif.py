"""What happens if I change this key of config.json?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from plimsoll import __version__
from plimsoll.ask import fit as ask_fit
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.timing import expected
from plimsoll.catalog import config_keys, edit_measurements, read_keys
from plimsoll.catalog import models as catalog
from plimsoll.core import edit_figures, edit_overrides, edits, whatif
from plimsoll.core import fit as core_fit
from plimsoll.domain.bill import Bill
from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.whatif import (
    SEVERITY,
    Edit,
    EditVerdict,
    Figure,
    Judged,
    Sweep,
    SweepPoint,
    WhatIf,
)
from plimsoll.errors import (
    BadSetting,
    MalformedConfig,
    MissingConfigKey,
    ReadError,
    UnsupportedArchitecture,
)
from plimsoll.formulas.formats import GGUF, PLAIN
from plimsoll.parse.config import model_from_config

_DEFAULT_CONTEXT_TOKENS = 8192
_EXPERT_KEYS = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfQuestion:
    """What was asked, as typed. `sets` are 'key=value'; at most one of the two sweeps."""

    model: str
    sets: tuple[str, ...] = ()
    on: str | None = None
    runtime: str = ""
    weights: str = ""
    kv: str = ""
    context_tokens: int | None = None
    parallel_sequences_count: int = 1
    experts: tuple[int, ...] = ()
    contexts: tuple[int, ...] = ()
    offline: bool = False


class _Raw(NamedTuple):
    """A model with the config it comes from."""

    config: Mapping[str, Any]
    where: str
    model: Model


def ask(question: WhatIfQuestion) -> WhatIf:
    """Answer a WhatIfQuestion; a verdict is an answer, impossible values are BadSetting."""
    if not (question.sets or question.experts or question.contexts):
        raise BadSetting(
            "nothing is to be changed",
            hint="--set num_experts_per_tok=16, --experts 1..32 or --context 4k..1m",
        )
    if question.experts and question.contexts:
        raise BadSetting("one sweep at a time", hint="leave out --experts or give --context one value")
    raw = _load(question)
    known = tuple(name for facts in config_keys.find_all() for name in (facts.key, *facts.aliases))
    wanted = tuple(edits.read_edit(text, raw.config, known) for text in question.sets)
    if len({edit.key for edit in wanted}) < len(wanted):
        raise BadSetting("a key is set twice", hint="give each key once")
    return _Answer(question, raw, known).of(wanted)


def _load(question: WhatIfQuestion) -> _Raw:
    model = models.load(question.model, offline=question.offline)
    if model.naming == "gguf":
        raise BadSetting(
            f"{question.model} is a GGUF, which has no config.json to edit",
            hint="ask about the model it was made from; the answer has the --override-kv for the GGUF",
        )
    config, where = _config_of(question, model)
    plain = model_from_config(config, id=model.id, revision=model.revision, where=where)
    return _Raw(config, where, replace(plain, sources=model.sources, origins=model.origins))


def _config_of(question: WhatIfQuestion, model: Model) -> tuple[Mapping[str, Any], str]:
    if model.origins["config"].kind == "catalog":
        record = catalog.load(model.id)
        return record.config, record.where
    from plimsoll.ask.evidence import gather

    found = gather(question.model, model, offline=question.offline)
    if found.config is None:
        raise BadSetting(f"{question.model} has no config.json to edit", hint="give a folder or a hub id")
    return found.config, found.config_where


class _Answer:
    """The parts of one answer, computed from one loaded model."""

    def __init__(self, question: WhatIfQuestion, raw: _Raw, known: tuple[str, ...]) -> None:
        self.question, self.raw, self.known = question, raw, known
        self.context_tokens = question.context_tokens or min(
            raw.model.trained_context_tokens or _DEFAULT_CONTEXT_TOKENS, _DEFAULT_CONTEXT_TOKENS
        )
        self.machine = machines.resolve(question.on) if question.on else None
        self.gguf = _gguf_architecture(raw.model)
        self.engines = _engines(raw.model, self.gguf)
        self.problems: dict[str, None] = {}

    def of(self, wanted: tuple[Edit, ...]) -> WhatIf:
        """Everything about these edits and the sweep."""
        together, after = self.judged(wanted) if wanted else (None, self.raw.model)
        alone = tuple(self.judged((edit,))[0] for edit in wanted) if len(wanted) > 1 else ()
        figures = self.figures(after) if wanted else ()
        sweep = self.sweep(wanted)
        facts = {edit.key: config_keys.find(edit.key) for edit in wanted}
        model, edited = self.raw.model, edits.apply_edits(self.raw.config, wanted)
        return WhatIf(
            question="whatif", asked=_asked(self.question), model=model.id, revision=model.revision,
            architecture=model.architecture, verdict=_overall(together, sweep), together=together,
            judged=alone or ((together,) if together else ()), context_tokens=self.context_tokens,
            machine=self.machine.name if self.machine else "", runtime=self.question.runtime, figures=figures,
            overrides=edit_overrides.overrides(wanted, facts, edited, model, self.engines[0].keys),
            sweep=sweep,
            quality=edit_measurements.find(model.architecture, wanted), notes=model.notes,
            unknowns=self._unknowns(wanted), sources=model.sources, versions=self._versions(),
        )  # fmt: skip

    def _unknowns(self, wanted: tuple[Edit, ...]) -> tuple[str, ...]:
        cannot = list(self.problems)
        if wanted and not self.machine:
            cannot.append(f"predicted speed: {edit_figures.NO_SPEED}")
        return tuple(cannot)

    def _versions(self) -> dict[str, str]:
        hf, llama_cpp = self.engines
        return {"plimsoll": __version__, "transformers": hf.version, "llama.cpp": llama_cpp.version}

    def judged(self, wanted: tuple[Edit, ...]) -> tuple[Judged, Model | None]:
        """Verdicts on a set of edits, and the model after them (None where there is none)."""
        facts = {edit.key: config_keys.find(edit.key) for edit in wanted}
        edited = edits.apply_edits(self.raw.config, self._read(wanted))
        problem, is_unreadable, after = "", False, None
        try:
            after = self.build(edited)
        except (MissingConfigKey, UnsupportedArchitecture) as error:
            problem, is_unreadable = _without_place(error), True
        except MalformedConfig as error:
            problem = _without_place(error)
            # Keys.bad: 'KEY is VALUE, not ...' is a value that cannot be; keys that contradict are a verdict
            if any(f"{edits.leaf_of(edit.key)} is " in problem and ", not " in problem for edit in wanted):
                raise BadSetting(problem, hint="give another value") from error
        case = whatif.Case(
            edits=wanted, facts=facts, before=self.raw.model,
            after=after, converted=self._converted(wanted, facts), problem=problem,
            is_unreadable=is_unreadable, values=edits.text_part(self.raw.config),
            read_keys=self.engines[0].keys,
        )  # fmt: skip
        return whatif.judge(case, *self.engines), after

    def build(self, config: Mapping[str, Any]) -> Model:
        """The model of an edited config."""
        model = self.raw.model
        made = model_from_config(config, id=model.id, revision=model.revision, where=self.raw.where)
        return replace(made, sources=model.sources, origins=model.origins)

    def _read(self, wanted: tuple[Edit, ...]) -> tuple[Edit, ...]:
        """Those of which Transformers reads the key."""
        keys = self.engines[0].keys
        if keys is None:
            return wanted
        return tuple(e for e in wanted if {edits.leaf_of(e.key), edits.topmost_of(e.key)} & keys)

    def _converted(self, wanted: Sequence[Edit], facts: Mapping[str, KeyFacts | None]) -> Model | None:
        """The edited model as a GGUF sees it: it writes head_dim out, so that does not follow from other
        keys, and it has no layer_types to contradict the number of layers."""
        model, keys = self.raw.model, self.engines[0].keys
        settable = tuple(
            edit for edit in wanted
            if edit_overrides.in_gguf(edit, facts.get(edit.key), self.gguf, model, keys).pairs
        )  # fmt: skip
        changed = {edits.leaf_of(edit.key) for edit in settable}
        pinned = edits.apply_edits(self.raw.config, settable)
        part, layer = edits.text_part(pinned), self.raw.model.layers[0]
        assert isinstance(part, dict)
        is_plain = layer.attention not in ("latent", "none")
        if self.engines[0].head_dim == "filled" and is_plain and "head_dim" not in changed:
            part.setdefault("head_dim", layer.key_dim)
        kinds, count = part.get("layer_types"), part.get("num_hidden_layers")
        if "num_hidden_layers" in changed and isinstance(kinds, list) and isinstance(count, int) and kinds:
            part["layer_types"] = (kinds * (count // len(kinds) + 1))[:count]
        try:
            return self.build(pinned)
        except (MalformedConfig, MissingConfigKey, UnsupportedArchitecture):
            return None

    # --- numbers --------------------------------------------------------------------------------------

    def figures(self, after: Model | None) -> tuple[Figure, ...]:
        """Before and after, side by side."""
        before_values = self.values(self.raw.model, self.context_tokens)
        try:
            after_values = self.values(after, self.context_tokens) if after else {}
        except ValueError as error:
            # rows that do not divide into the blocks of the format: there is no such file to count
            self.problems[f"after the edit: {error}"] = None
            after_values = {}
        return tuple(
            replace(figure, after=after_values[key].before if key in after_values else None)
            for key, figure in before_values.items()
        )

    def values(self, model: Model, context_tokens: int) -> dict[str, Figure]:
        """Every figure of one model, under `before`."""
        stored, kv_format = self.stored(model), self._kv_format()
        if self.machine is None:
            return edit_figures.figures(model, stored, context_tokens, kv_format, None)
        bill, rate, why = self._placed(model, context_tokens)
        return edit_figures.figures(model, stored, context_tokens, kv_format, bill, rate, why)

    def stored(self, model: Model) -> tuple[TensorSpec, ...]:
        """The tensors as they lie in the files of the asked format."""
        from plimsoll.formulas.quant_specs import tensors_as
        from plimsoll.runtimes.llama_cpp.recipe import RECIPES

        weights = self.question.weights.lower().replace("-", "_")
        if weights in RECIPES and weights not in ("bf16", "f16", "f32"):
            from plimsoll.runtimes.llama_cpp.weights import tensor_table

            return tensor_table(model, weights)
        return tensors_as(model, self.question.weights)

    def _kv_format(self) -> str:
        name = self.question.kv.lower().partition("/")[0] or "f16"
        name = {"fp8": "fp8_e4m3", "auto": "f16", "fp16": "f16"}.get(name, name)
        if name not in GGUF and name not in PLAIN:
            raise BadSetting(f"there is no KV format {name!r}", hint="f16, bf16, fp8, q8_0, q4_0")
        return name

    def _placed(self, model: Model, context_tokens: int) -> tuple[Bill | None, Estimate | None, str]:
        """What `fit` would put on the machine (None where the runtime cannot run it), the speed of generation
        there at a full context, and why there is none."""
        assert self.machine is not None
        question = ask_fit.FitQuestion(
            models=(self.question.model,), on=self.question.on, runtime=self.question.runtime,
            weights=self.question.weights, kv=self.question.kv, context_tokens=context_tokens,
            parallel_sequences_count=self.question.parallel_sequences_count, offline=self.question.offline,
        )  # fmt: skip
        deployment, _ = ask_fit.deploy(model, self.machine, question)
        if problems := core_fit.problems_of([deployment]):
            self.problems.update((f"bytes per device: {problem}", None) for problem in problems)
            return None, None, problems[0]
        judgement = core_fit.judge([deployment])
        if judgement.verdict == "does_not_fit":
            return judgement.bill, None, "it does not fit this machine"
        found, why = expected(deployment)
        rate = next((e for e in found if e.quantity in ("decode_total", "decode")), None)
        return judgement.bill, rate, why or "nobody knows it"

    # --- sweeps ---------------------------------------------------------------------------------------

    def sweep(self, wanted: tuple[Edit, ...]) -> Sweep | None:
        """The table of --experts or --context A..B, on top of the edits."""
        if self.question.experts:
            return self._experts(wanted)
        if self.question.contexts:
            return self._contexts(wanted)
        return None

    def _experts(self, wanted: tuple[Edit, ...]) -> Sweep:
        part = edits.text_part(self.raw.config)
        key = next((k for k in _EXPERT_KEYS if part.get(k) is not None), None)
        if key is None or not any(layer.experts_count for layer in self.raw.model.layers):
            raise BadSetting(
                f"{self.raw.model.id} has no experts to choose from",
                hint="--experts is for mixtures of experts",
            )
        points = []
        for count in self.question.experts:
            edit = edits.read_edit(f"{key}={count}", self.raw.config, self.known)
            judged, after = self.judged((*wanted, edit))
            points.append(
                _point(count, judged.verdict, self.values(after, self.context_tokens) if after else {})
            )
        return self._swept(key, "experts", part[key], points)

    def _contexts(self, wanted: tuple[Edit, ...]) -> Sweep:
        model = self.judged(wanted)[1] if wanted else self.raw.model
        if model is None:
            raise BadSetting("the edited config describes no model to sweep", hint="leave out --set")
        trained, points = model.trained_context_tokens, []
        for tokens in self.question.contexts:
            verdict: EditVerdict = "safe" if trained is None or tokens <= trained else "changes_behaviour"
            points.append(_point(tokens, verdict, self.values(model, tokens)))
        return self._swept("context", "tokens", trained, points)

    def _swept(self, axis: str, unit: str, present: int | None, points: list[SweepPoint]) -> Sweep:
        shown = self.values(self.raw.model, self.context_tokens)
        labels = {q: f.label for q, f in shown.items()}
        if axis == "context":
            labels["kv_bytes"] = "KV cache"
        return Sweep(
            axis=axis, unit=unit, present=present, points=tuple(points), labels=labels,
            units={q: f.unit for q, f in shown.items()},
        )  # fmt: skip


def _overall(together: Judged | None, sweep: Sweep | None) -> EditVerdict:
    """The verdict on the edits; of a sweep alone that on its most harmless point."""
    if together is not None:
        return together.verdict
    points = sweep.points if sweep else ()
    return min((p.verdict for p in points), key=SEVERITY.index, default="safe")


def _point(value: int, verdict: EditVerdict, figures: Mapping[str, Figure]) -> SweepPoint:
    return SweepPoint(value=value, verdict=verdict, figures={q: f.before for q, f in figures.items()})


def _without_place(error: ReadError) -> str:
    """The message without the file's name, which is the edited copy that exists nowhere."""
    return error.message.removeprefix(f"{error.where}: ")


def _gguf_architecture(model: Model) -> str:
    """llama.cpp's name for the architecture, '' where it has none."""
    from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

    try:
        return gguf_architecture(model)
    except UnsupportedArchitecture:
        return ""


def _engines(model: Model, gguf: str) -> tuple[whatif.Engine, whatif.Engine]:
    """Which keys each engine reads for this model."""
    hf, llama_cpp = read_keys.load("transformers", model.architecture), read_keys.load("llama_cpp", gguf)
    return (
        whatif.Engine(version=hf.version, keys=hf.keys, head_dim=hf.head_dim),
        whatif.Engine(version=llama_cpp.version, keys=llama_cpp.keys),
    )


def _asked(question: WhatIfQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value not in (None, "", ())}
