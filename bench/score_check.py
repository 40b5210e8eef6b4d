"""Score `plimsoll check` on sourced facts: `python bench/score_check.py FILE.jsonl [--wrong] [--unknown]`.

Each line has `subject` (runtime, version_from, version_to, gpu_arch, compute_capability, quant, model_arch,
ui, feature), `verdict` (native, supported, penalty, inefficient, unsupported, requires) and `value`. The
subject is turned into the words of the rules, the rules answer, and the answers are compared:

right     the same verdict; for *requires*: the verdict names a condition (`needs`), or changes from yes to
          no where the condition (a capability, a driver, a toolkit, a pin) is not met
near      both yes, of another quality (native, supported, penalty, inefficient)
wrong     yes instead of no or no instead of yes
unknown   no rule covers the question, or the question is none that `check` answers

"Wrong yes" counts native or supported where the fact says unsupported.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from plimsoll.ask.check import known_rules, names_of
from plimsoll.catalog import releases, rules, stacks
from plimsoll.core.check import ORDER, verdict
from plimsoll.domain.rule import Aspect, Situation, Verdict
from plimsoll.errors import PlimsollError

# What the lists call a platform, in the words of rules/vocabulary.toml; several: any of them.
PLATFORMS: Mapping[str, tuple[str, ...]] = {
    "volta": ("sm_70",), "turing": ("sm_75",), "ampere": ("sm_80", "sm_86"), "ada": ("sm_89",),
    "hopper": ("sm_90",), "blackwell": ("sm_100", "sm_120"), "blackwell dc": ("sm_100",),
    "blackwell workstation": ("sm_120",), "blackwell consumer/workstation": ("sm_120",),
    "rtx pro 6000": ("sm_120",), "nvidia": ("sm_90", "sm_100"), "amd gpu": ("gfx942",), "amd": ("gfx942",),
    "amd cdna": ("gfx942",), "amd instinct": ("gfx942",), "cdna1": ("gfx908",), "cdna2": ("gfx90a",),
    "cdna3": ("gfx942",), "cdna4": ("gfx950",), "cdna2/3": ("gfx90a", "gfx942"), "rdna2": ("gfx1030",),
    "rdna3": ("gfx1100",), "rdna3.5": ("gfx1151",), "rdna4": ("gfx1201",),
    "rdna3/3.5": ("gfx1100", "gfx1151"),
    "rdna4/cdna4": ("gfx1201", "gfx950"), "intel gpu": ("xe_hpg",), "intel": ("xe_hpg",),
    "x86 cpu": ("cpu_x86_avx512",), "arm cpu": ("cpu_arm",), "cpu": ("cpu_x86_avx512",),
    "intel amx": ("cpu_x86_amx",), "google tpu": ("tpu",), "aws neuron": ("neuron",),
    "aws inferentia": ("neuron",), "apple": ("m3",), "apple m5": ("m5",), "apple m1-m4": ("m1", "m4"),
    "ascend": ("ascend",),
}  # fmt: skip
BACKENDS: Mapping[str, tuple[str, str]] = {
    "cpu": ("cpu", "cpu_x86_avx512"), "cuda": ("cuda", "sm_89"), "nvidia": ("cuda", "sm_89"),
    "metal": ("metal", "m3"), "apple": ("metal", "m3"), "vulkan": ("vulkan", "gfx1100"),
    "sycl (intel)": ("sycl", "xe_hpg"), "sycl": ("sycl", "xe_hpg"), "opencl": ("opencl", ""),
    "cann (ascend)": ("cann", "ascend"), "webgpu": ("webgpu", ""), "hexagon npu": ("hexagon", "hexagon"),
}  # fmt: skip
YES = ("native", "supported", "penalty", "inefficient")


def main(arguments: list[str]) -> None:
    """Print the figures, and with --wrong or --unknown the facts behind them."""
    facts = [json.loads(line) for line in Path(arguments[0]).read_text("utf-8").splitlines() if line.strip()]
    outcomes = [(fact, *judged(fact)) for fact in facts]
    counts = Counter(result for _, result, _ in outcomes)
    wrong_yes = [
        f for f, r, said in outcomes if r == "wrong" and f["verdict"] == "unsupported"
        and said in ("native", "supported")
    ]  # fmt: skip
    total = len(facts)
    answered = total - counts["unknown"]
    print(
        f"facts {total}, answered {answered}, unknown {counts['unknown']} ({counts['unknown'] / total:.1%})"
    )
    print(f"right of the answered: {counts['right'] / max(1, answered):.1%}")
    print(f"right or near: {(counts['right'] + counts['near']) / max(1, answered):.1%}")
    print(f"wrong: {counts['wrong']}, of these yes (native or supported) for no: {len(wrong_yes)}")
    for flag, result in (("--wrong", "wrong"), ("--near", "near"), ("--unknown", "unknown")):
        if flag in arguments:
            for fact, found, said in outcomes:
                if found == result:
                    print(f"{result}: {fact['id']}: {fact['verdict']} ({fact['value']}); said {said}")


def judged(fact: Mapping[str, Any]) -> tuple[str, str]:
    """'right', 'near', 'wrong' or 'unknown', and what the rules said."""
    try:
        if fact["verdict"] == "requires":
            return _requirement(fact)
        said = [answer.outcome for answer in _answers(fact)]
    except PlimsollError as error:
        return "unknown", error.message
    known = [outcome for outcome in said if outcome != "unknown"]
    if not known:
        return "unknown", "unknown"
    wanted = fact["verdict"]
    best = wanted if wanted in known else max(known, key=ORDER.index)
    if best == wanted:
        return "right", best
    return ("near" if best in YES and wanted in YES else "wrong"), best


def _requirement(fact: Mapping[str, Any]) -> tuple[str, str]:
    """A requirement is met by a named condition, or by a verdict that changes at the limit."""
    subject = fact["subject"]
    if subject["feature"] == "python dependency pins":
        stack = stacks.find("vllm", subject["version_from"])
        if stack is None or "torch" not in stack.pins:
            return "unknown", "no stack"
        pinned = f"torch{stack.pins['torch']}"
        return ("right" if pinned in fact["value"].replace(" ", "") else "wrong"), pinned
    limit = re.fullmatch(r">=([0-9]+)\.([0-9])", subject["compute_capability"] or "")
    if limit and subject["quant"]:
        at = [a.outcome for a in _answers(fact, hardware=_capability(f"{limit[1]}.{limit[2]}"))]
        below = [a.outcome for a in _answers(fact, hardware=_below(float(f"{limit[1]}.{limit[2]}")))]
        if not set(at) - {"unknown"}:
            return "unknown", "unknown"
        is_gate = any(o in YES for o in at) and (not below or any(o == "unsupported" for o in below))
        return ("right" if is_gate else "wrong"), f"{at} at the limit, {below} below"
    toolkit = re.fullmatch(r"[0-9.]+", str(fact["value"]))
    if subject["feature"] == "CUDA toolkit minimum" and toolkit:
        return _edge(fact, "cuda", _dotted(fact["value"]))
    driver = re.search(r">=\s*([0-9]+(?:\.[0-9]+)*)", str(fact["value"]))
    if driver and (subject["runtime"] or "").startswith("CUDA"):
        major = int(re.search(r"[0-9]+", subject["runtime"])[0])  # type: ignore[index]
        return _edge(fact, "driver", _dotted(driver[1]), cuda=(major, 0))
    answers = [a for a in _answers(fact) if a.outcome != "unknown"]
    if not answers:
        return "unknown", "unknown"
    is_named = any(a.needs for a in answers) or any(a.outcome in ("penalty", "unsupported") for a in answers)
    return ("right" if is_named else "near"), "; ".join(n for a in answers for n in a.needs) or answers[
        0
    ].outcome


def _edge(fact: Mapping[str, Any], name: str, limit: tuple[int, ...], **more: Any) -> tuple[str, str]:
    """Does the verdict of the stack turn from no to yes at this number?"""
    hardware = next(iter(_hardware(fact["subject"])), "sm_90") or "sm_90"
    at = Situation(runtime="", hardware=hardware, **{**more, name: limit})
    before = (limit[0] - 1, 99) if len(limit) == 1 or limit[1] == 0 else (limit[0], limit[1] - 1)
    said = [verdict(known_rules(), s, "stack").outcome for s in (at, replace(at, **{name: before}))]
    if "unknown" in said:
        return "unknown", str(said)
    return ("right" if said[0] in YES and said[1] == "unsupported" else "wrong"), str(said)


def _answers(fact: Mapping[str, Any], hardware: list[str] | None = None) -> Iterator[Verdict]:
    """The verdicts of every situation that a fact's subject may mean."""
    subject = fact["subject"]
    runtime = releases.find(subject["runtime"]).id if subject["runtime"] else ""
    aspect, features = _aspect(subject)
    for place in _releases(runtime, subject):
        for backend, device in _devices(runtime, subject, hardware):
            situation = Situation(
                runtime=runtime, release=place, hardware=device, backend=backend, features=features,
                weights=rules.format_of(_format(subject["quant"])) if aspect != "kv" else "",
                kv=rules.format_of(_format(subject["quant"])) if aspect == "kv" else "",
                models=frozenset(_models(subject["model_arch"])),
            )  # fmt: skip
            if aspect == "weights" and not situation.weights:
                continue
            yield (
                _hardware_only(situation)
                if not runtime and aspect == "weights"
                else verdict(known_rules(), situation, aspect)
            )


def _hardware_only(asked: Situation) -> Verdict:
    """What the matrix units take, when no runtime is named."""
    from plimsoll.core.check import MATRIX_UNIT
    from plimsoll.domain.rule import covers

    found = [r for r in known_rules().everywhere("weights") if r.topic == MATRIX_UNIT and covers(r, asked)]
    outcome = found[0].says if found else "unknown"
    return Verdict(aspect="weights", outcome=outcome, note="")


def _aspect(subject: Mapping[str, Any]) -> tuple[Aspect, frozenset[str]]:
    feature = (subject["feature"] or "").lower()
    model = (subject["model_arch"] or "").lower()
    found = frozenset({"sinks"}) if "sink" in feature or "gpt-oss" in model else frozenset()
    if "lora" in feature or model == "lora":
        return "lora", frozenset({"lora"} | ({"lora-experts"} if "expert" in feature else set()))
    if "kv cache" in feature or (subject["quant"] or "").startswith("KV "):
        return "kv", found
    if "sink" in feature or "attention" in feature:
        return "attention", found
    if "driver" in feature or "toolkit" in feature:
        return "stack", found
    if subject["quant"]:
        return "weights", found
    if subject["model_arch"] and model != "blackwell":
        return "model", found
    return "device", found


def _models(name: str | None) -> set[str]:
    """All names of an architecture, from any of its spellings."""
    if not name:
        return set()
    found: set[str] = set()
    for part in name.split("/"):
        kind = part.lower().replace("-", "_")
        classes = {k for k, v in rules.architectures().items() if part in v}
        for known in {kind, kind.replace("gptoss", "gpt_oss"), part.lower(), *classes}:
            found |= names_of(known)
    return found


def _format(text: str | None) -> str:
    return re.sub(r"^KV ", "", (text or "").split("/")[0] if "(" not in (text or "") else text or "")


def _releases(runtime: str, subject: Mapping[str, Any]) -> list[tuple[int, ...] | None]:
    if not runtime:
        return [None]
    known = releases.load_all()[runtime]
    for text in (subject["version_from"], subject["version_to"]):
        if text:
            try:
                return [releases.release_of(known, text.removeprefix("v")).place]
            except PlimsollError:
                continue  # a commit, not a release
    return [releases.release_of(known, "").place]


def _devices(runtime: str, subject: Mapping[str, Any], told: list[str] | None) -> Iterator[tuple[str, str]]:
    named = (subject["gpu_arch"] or "").lower()
    if runtime == "llama_cpp" and named in BACKENDS:
        yield BACKENDS[named]
        return
    for device in told if told is not None else _hardware(subject):
        facts = rules.vocabulary()["hardware"].get(device, {})
        natural = {"nvidia": "cuda", "amd": "rocm", "apple": "metal", "cpu": "cpu"}
        yield natural.get(facts.get("vendor", ""), ""), device


def _hardware(subject: Mapping[str, Any]) -> list[str]:
    """The devices that a subject names; [''] when it names none."""
    told = subject["compute_capability"] or ""
    found = [d for number in re.findall(r"[0-9]+\.[0-9]", told) for d in _capability(number)]
    if re.search(r"([0-9]+)\.x", told):
        majors = re.findall(r"([0-9]+)\.x", told)
        found += [
            n for n, f in rules.vocabulary()["hardware"].items() if f.get("cc", "").split(".")[0] in majors
        ]
    named = (subject["gpu_arch"] or "").lower()
    return found or list(PLATFORMS.get(named, ("",)))


def _capability(text: str) -> list[str]:
    return [name for name, facts in rules.vocabulary()["hardware"].items() if facts.get("cc") == text]


def _below(limit: float) -> list[str]:
    facts = rules.vocabulary()["hardware"]
    lower = [(float(f["cc"]), name) for name, f in facts.items() if "cc" in f and float(f["cc"]) < limit]
    return [max(lower)[1]] if lower else []


def _dotted(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


if __name__ == "__main__":
    main(sys.argv[1:])
