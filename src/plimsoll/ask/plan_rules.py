"""What the compatibility rules say about the ways of a plan: asked once per runtime, weights and cache."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from plimsoll.ask.check import features_of, hardware_of, known_rules, names_of, published_format
from plimsoll.ask.fit import named_runtime, spelled
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.catalog import stacks
from plimsoll.core import check as core
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.plan import Compatibility
from plimsoll.domain.rule import Aspect, Situation, Verdict
from plimsoll.errors import BadSetting

_ASPECTS: tuple[Aspect, ...] = ("device", "model", "weights", "attention", "moe", "stack")
# Formats of a runtime's own that rules call by their family: 'exl3-4.0bpw', 'mlx-mxfp4-q8'.
_FAMILY = re.compile(r"(?:mlx-)?(exl2|exl3|mxfp4)-")
_name = cache(rule_files.format_of)
_NO_RULE = "no release of it is in the list"


class Compatibilities:
    """One model on one machine; of unlike cards the worst decides."""

    def __init__(self, model: Model, machine: Machine, *, has_adapter: bool) -> None:
        self._rules, self._model = known_rules(), model
        added = {"lora"} if has_adapter else set[str]()
        self._features = features_of(model) | added
        self._names = frozenset(names_of(model.architecture))
        self._has_adapter = has_adapter
        kinds = {rule_files.hardware_of(d): d for d in machine.devices}
        machines = [replace(machine, devices=(d,)) for d in kinds.values()] or [machine]
        self._hardware = [hardware_of(each, "") for each in machines]
        self._where = machine.devices[0].name if machine.devices else machine.name
        self._found: dict[tuple[str, str, str], Compatibility] = {}

    def of(self, runtime: str, weight_format: str, kv_format: str) -> Compatibility:
        """The worst over all aspects and cards for a runtime ('vllm', 'vllm==0.11.0'), weights and cache."""
        key = (runtime, weight_format, kv_format)
        if key not in self._found:
            self._found[key] = self._asked(*key)
        return self._found[key]

    def _asked(self, runtime: str, weight_format: str, kv_format: str) -> Compatibility:
        name, version = named_runtime(runtime)
        try:
            releases = release_lists.find(name)
            release = release_lists.release_of(releases, version)
        except BadSetting:
            return Compatibility(outcome="unknown", says=(_NO_RULE,))
        kv = _name(kv_format.partition("/")[0])
        aspects = (*_ASPECTS, *(("kv",) if kv else ()), *(("lora",) if self._has_adapter else ()))
        asked = Situation(
            runtime=releases.id, release=release.place, weights=self._rule_format(name, weight_format), kv=kv,
            models=self._names, features=self._features, cuda=stacks.cuda_of(releases.id, release.version),
        )  # fmt: skip
        each = []
        for hardware, backend in self._hardware:
            here = replace(asked, hardware=hardware, backend=backend)
            each.append([
                core.verdict(self._rules, here, a) for a in aspects if a != "moe" or "moe" in here.features
            ])  # fmt: skip
        return min(map(_worst, each), key=lambda found: core.ORDER.index(found.outcome))

    def _rule_format(self, runtime: str, weight_format: str) -> str:
        """The rules' name of a format; llama.cpp's converter unpacks all published ones but MXFP4."""
        if weight_format:
            family = _FAMILY.match(weight_format)
            return _name(family[1] if family else weight_format)
        published = published_format(self._model)
        is_unpacked = runtime == "llama_cpp" and self._model.quantisation and published != "mxfp4"
        return _name("bf16" if is_unpacked and self._model.naming != "gguf" else published)

    def refusal(self, runtime: str, weight_format: str, kv_format: str, found: Compatibility) -> str:
        """Why a way is left out: 'tensorrt-llm does not run awq weights on RTX PRO 6000: ...'."""
        name, _ = named_runtime(runtime)
        what = {
            "weights": f" {weight_format or self._model.weight_format} weights",
            "kv": f" a {kv_format} cache", "model": f" {self._model.architecture}", "lora": " adapters",
        }  # fmt: skip
        objects = next((what[a] for a in found.aspects if a in what and "device" not in found.aspects), "")
        return f"{spelled(name)} does not run{objects} on {self._where}: {' '.join(found.says)}"

    def unknown(self, runtime: str, weights: str) -> str:
        """'whether vLLM runs gpt_oss in mxfp4 on RTX 3090 is not known'."""
        name, _ = named_runtime(runtime)
        return (
            f"whether {spelled(name)} runs {self._model.architecture} in {weights} on {self._where} "
            "is not known"
        )


def _worst(verdicts: list[Verdict]) -> Compatibility:
    """All verdicts as one, with what those say that decide."""
    outcome = core.overall(verdicts)
    deciding = [v for v in verdicts if v.outcome == outcome]
    if outcome == "unknown":
        deciding = [v for v in deciding if v.aspect in core.DECISIVE]
    prices = [v for v in verdicts if v.outcome in ("penalty", "inefficient")]
    told = deciding if outcome == "unsupported" else prices
    return Compatibility(
        outcome=outcome, says=tuple(dict.fromkeys(v.note for v in told)),
        aspects=tuple(v.aspect for v in deciding),
        needs=tuple(dict.fromkeys(need for v in verdicts for need in v.needs)),
        rules=tuple(dict.fromkeys(rule for v in verdicts for rule in v.rules)),
        sources=tuple(dict.fromkeys(s for v in (told or deciding) for s in v.sources)),
        checked_on=min((v.checked_on for v in verdicts if v.checked_on), default=""),
    )  # fmt: skip
