"""Score `plimsoll check` on sourced facts: `python bench/score_check.py FILE.jsonl [--wrong] [--unknown]`.

Each line has `subject` (runtime, version_from, version_to, gpu_arch, compute_capability, quant, model_arch,
ui, feature), `verdict` (native, supported, penalty, inefficient, unsupported, requires) and `value`. The
subject is turned into the words of the rules, the rules answer, and the answers are compared:

right     the same verdict; for *requires*: the verdict names a condition (`needs`), or gets
          worse where the condition (a capability, a driver, a toolkit, a pin) is not met
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

from plimsoll.ask.check import driver_of, known_rules, names_of
from plimsoll.catalog import releases, rules, stacks, uis
from plimsoll.core.check import ORDER, verdict
from plimsoll.domain.rule import Aspect, Situation, Verdict
from plimsoll.errors import PlimsollError

# What the lists call a platform, in the words of rules/vocabulary.toml; several: any of them.
PLATFORMS: Mapping[str, tuple[str, ...]] = {
    "volta": ("sm_70",), "turing": ("sm_75",), "ampere": ("sm_80", "sm_86"), "ada": ("sm_89",),
    "hopper": ("sm_90",), "blackwell": ("sm_100", "sm_120"), "blackwell dc": ("sm_100",),
    "blackwell workstation": ("sm_120",), "blackwell consumer/workstation": ("sm_120",),
    "rtx pro 6000": ("sm_120",), "5090": ("sm_120",), "4090": ("sm_89",), "3090": ("sm_86",),
    "blackwell consumer": ("sm_120",), "nvidia": ("sm_90", "sm_100"), "amd gpu": ("gfx942",),
    "amd": ("gfx942",),
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
# What a fact's feature is called in the rules (aspect "features"), and in the front-ends.
FEATURES: Mapping[str, str] = {
    "multi-lora hot swap": "lora-switching", "per-request lora routing": "lora-per-request",
    "per-request lora": "lora-per-request", "config override flag": "config-override", "yarn": "yarn",
    "yarn on short text": "yarn", "num_experts_per_tok effect": "fewer-experts", "cpu offload": "cpu-offload",
    "unified memory": "unified-memory", "multi-gpu": "multi-gpu", "context": "long-context",
    "driver stability": "long-runs", "triton": "triton-kernels", "speculative decoding": "speculative",
    "structured outputs": "structured-output", "tensor parallel": "tensor-parallel",
    "flashattention": "flash-attn", "openai api reasoning field": "reasoning-field",
    "chunked prefill": "chunked-prefill", "prefix caching": "prefix-caching", "cuda graph": "cuda-graphs",
    "pooling": "pooling", "prompt embeds": "prompt-embeds", "beam search": "beam-search",
    "encoder-decoder": "encoder-decoder",
}  # fmt: skip
UI_FEATURES: Mapping[str, str] = {
    "openai backend": "backends", "openai server": "backends", "engines": "backends", "lora training": "lora",
    "mcp and tools": "mcp", "reasoning effort": "reasoning", "n8n integration": "n8n",
    "gpt-oss-120b": "tools",
}  # fmt: skip
# Attention backends as vLLM spells them, longest first.
BACKENDS_NAMED = ("FLASHINFER_MLA_SPARSE", "ROCM_AITER_UNIFIED_ATTN", "FLASHATTN_MLA", "FLASHINFER_MLA",
                  "ROCM_AITER_FA", "CUTLASS_MLA", "TRITON_MLA", "TRITON_ATTN", "FLASH_ATTN", "FLASHINFER",
                  "ROCM_ATTN", "CPU_ATTN", "FLASHMLA")  # fmt: skip
# The format that a model is published in, where a fact names a model and hardware and no format.
PUBLISHED: Mapping[str, str] = {"gpt-oss": "mxfp4", "gpt_oss": "mxfp4"}
# Cache formats, where a fact is about a quantised cache and names none.
CACHES = ("q8_0", "q4_0", "q5_1", "iq4_nl", "fp8", "int8_per_token_head")
# Features that the aspects of `check` stand for; any other named feature is no question for it.
ASPECT_FEATURES = ("", "matmul", "docs hardware table", "loader gate", "native model", "tensor-core",
                   "matrix-core", "attention", "compiled kernel", "lora", "kv cache", "sink", "driver",
                   "cuda toolkit", "fa3", "fa4", "tool calls", "python dependency")  # fmt: skip
# Names of architectures that are no model_type, class or GGUF name.
MODELS: Mapping[str, str] = {
    "gptoss": "gpt_oss", "dsv31": "deepseek_v3", "glm45": "glm4_moe", "glm_4.5": "glm4_moe",
    "glm47flash": "glm4_moe_lite", "qwen3.5": "qwen3_5", "deepseek_v3.1": "deepseek_v3",
}  # fmt: skip
ENGINES = ("vLLM", "SGLang", "Ollama", "MLX", "ExLlamaV3", "LMDeploy", "TensorRT-LLM", "TGI", "llama.cpp",
           "Transformers", "ik_llama.cpp", "KTransformers")  # fmt: skip
# Where a fact names no device: those that the runtime is for.
USUAL: Mapping[str, tuple[str, ...]] = {
    "mlx": ("m3",), "exllama": ("sm_89",), "llama_cpp": ("sm_89", "cpu_x86_avx512"),
    "ollama": ("sm_89", "cpu_x86_avx512"),
}  # fmt: skip


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
        if fact["subject"]["ui"] and fact["id"].startswith("ui."):
            return _ui(fact)
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


def _ui(fact: Mapping[str, Any]) -> tuple[str, str]:
    """A feature of a front-end, from its own file; *requires* is met by what the file says about it."""
    name = UI_FEATURES.get(fact["subject"]["feature"], fact["subject"]["feature"])
    known = {feature.name: feature.outcome for feature in uis.find(fact["subject"]["ui"]).features}
    said = known.get(name, "unknown")
    if said in ("unknown", fact["verdict"]):
        return ("unknown" if said == "unknown" else "right"), said
    return ("near" if said in YES and fact["verdict"] != "unsupported" else "wrong"), said


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
        best = max(map(ORDER.index, at))
        is_gate = any(o in YES for o in at) and (not below or any(ORDER.index(o) < best for o in below))
        return ("right" if is_gate else "wrong"), f"{at} at the limit, {below} below"
    if subject["runtime"] == "PyTorch":
        stack = stacks.find("torch", subject["version_from"])
        named = re.search(r"CUDA ([0-9.]+)", str(fact["value"]))
        if stack is None or named is None:
            return "unknown", "no stack"
        return ("right" if stack.cuda == named[1] else "wrong"), stack.cuda
    branch = re.search(r"driver R([0-9]+)", subject["runtime"] or "")
    newest = re.search(r"CUDA ([0-9]+)\.x", str(fact["value"]))
    if branch and newest:
        asked = Situation(runtime="", hardware="sm_86", driver=driver_of(branch[1]), cuda=(int(newest[1]), 0))
        said = verdict(known_rules(), asked, "stack").outcome
        return ("right" if said in YES else "unknown" if said == "unknown" else "wrong"), said
    toolkit = re.fullmatch(r"[0-9.]+", str(fact["value"]))
    if subject["feature"] == "CUDA toolkit minimum" and toolkit:
        return _edge(fact, "cuda", _dotted(fact["value"]))
    driver = re.search(r"driver *>= *([0-9]+(?:\.[0-9]+)*)", str(fact["value"])) or re.search(
        r"(?:driver)?>=\s*([0-9]+(?:\.[0-9]+)*)", str(fact["value"])
    )
    if driver and subject["feature"] == "driver" and subject["runtime"] == "Ollama":
        known = releases.load_all()["ollama"]
        place = releases.release_of(known, subject["version_from"] or "").place
        return _edge(fact, "driver", _dotted(driver[1]), runtime="ollama", release=place)
    if driver and subject["feature"] == "driver" and not subject["runtime"]:
        return _edge(fact, "driver", _dotted(driver[1]), cuda=(12, 8))
    if driver and subject["feature"] == "driver" and subject["runtime"] in ("SGLang", "vLLM"):
        cuda = stacks.cuda_of(releases.find(subject["runtime"]).id, subject["version_from"])
        return _edge(fact, "driver", _dotted(driver[1]), cuda=cuda)
    if driver and (subject["runtime"] or "").startswith("CUDA"):
        major = int(re.search(r"[0-9]+", subject["runtime"])[0])  # type: ignore[index]
        return _edge(fact, "driver", _dotted(driver[1]), cuda=(major, 8 if major == 11 else 0))
    answers = [a for a in _answers(fact) if a.outcome != "unknown"]
    if not answers:
        return "unknown", "unknown"
    is_named = any(a.needs for a in answers) or any(a.outcome in ("penalty", "unsupported") for a in answers)
    return ("right" if is_named else "near"), "; ".join(n for a in answers for n in a.needs) or answers[
        0
    ].outcome


def _edge(fact: Mapping[str, Any], name: str, limit: tuple[int, ...], **more: Any) -> tuple[str, str]:
    """Does the verdict of the stack turn from no to yes at this number?"""
    hardware = next(iter(_hardware(fact["subject"])), "") or "sm_80"
    if name == "driver" and len(limit) == 1:
        limit = driver_of(str(limit[0])) or limit
    at = Situation(**{"runtime": "", "hardware": hardware, **more, name: limit})
    before = (limit[0] - 1, 99) if len(limit) == 1 or limit[1] in (0, 999) else (limit[0], limit[1] - 1)
    said = [verdict(known_rules(), s, "stack").outcome for s in (at, replace(at, **{name: before}))]
    if "unknown" in said:
        return "unknown", str(said)
    return ("right" if said[0] in YES and said[1] == "unsupported" else "wrong"), str(said)


def _answers(fact: Mapping[str, Any], hardware: list[str] | None = None) -> Iterator[Verdict]:
    """The verdicts of every situation that a fact's subject may mean."""
    subject = fact["subject"]
    runtime = releases.find(subject["runtime"]).id if subject["runtime"] else ""
    aspect, features = _aspect(subject, fact["claim"])
    if not aspect:
        return
    caches = [rules.format_of(_format(subject["quant"]))] if aspect == "kv" and subject["quant"] else [""]
    if aspect == "kv" and not subject["quant"]:
        caches = list(CACHES)
    toolkit = re.search(r"built with CUDA ([0-9]+)", fact["claim"])
    for place in _releases(runtime, subject):
        for backend, device in _devices(runtime, subject, hardware):
            situation = Situation(
                runtime=runtime, release=place, hardware=device, backend=backend, features=features,
                weights=_weights(subject["quant"], fact["claim"]) if aspect != "kv" else "",
                models=frozenset(_models(subject["model_arch"])),
                cuda=(int(toolkit[1]), 0) if toolkit else None,
            )  # fmt: skip
            if toolkit:
                yield verdict(known_rules(), situation, "stack")
            published = PUBLISHED.get((subject["model_arch"] or "").lower(), "")
            if aspect == "model" and subject["compute_capability"] and published:
                refused = verdict(known_rules(), replace(situation, weights=published), "weights")
                if refused.outcome == "unsupported":
                    yield refused
                    continue
            if aspect == "kv":
                yield from (verdict(known_rules(), replace(situation, kv=kv), "kv") for kv in caches if kv)
                continue
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


def _aspect(subject: Mapping[str, Any], claim: str) -> tuple[Aspect | None, frozenset[str]]:
    """The aspect that a fact is about and the features it names; None when `check` has no such question."""
    feature = (subject["feature"] or "").lower()
    if _named_feature(subject):
        return "features", frozenset({_named_feature(subject)})
    backend = next((name for name in BACKENDS_NAMED if name in claim), "")
    if feature == "attention backend" and (backend or "FlashInfer attention" in claim):
        return "features", frozenset({(backend or "FLASHINFER").lower().replace("_", "-")})
    is_known = any(known and feature.startswith(known) for known in ASPECT_FEATURES)
    if feature and not is_known and "lora" not in feature and "sink" not in feature:
        return None, frozenset()
    if "speculative" in feature:
        return "lora", frozenset({"lora", "speculative"})
    model = (subject["model_arch"] or "").lower()
    found = frozenset({"sinks"}) if "sink" in feature or "gpt-oss" in model else frozenset()
    if "lora" in feature or model == "lora":
        more = {"lora-experts"} if "expert" in feature or "moe" in feature else set()
        more |= {"lora-new-tokens"} if "vocab" in feature or "conversion" in feature else set()
        more |= {"lora-whole-modules"} if "modules_to_save" in claim else set()
        return "lora", frozenset({"lora"} | more)
    is_about_cache = not feature and not subject["quant"] and "KV cache" in claim
    if is_about_cache or "kv cache" in feature or (subject["quant"] or "").startswith("KV "):
        return "kv", found
    if "sink" in feature or "attention" in feature or "attention" in (subject["quant"] or ""):
        latent = "MLA" in (subject["quant"] or "")
        return "attention", found | ({"latent-attention"} if latent else set())
    version = re.fullmatch(r"fa([34])", feature)
    if version:
        return "attention", frozenset({f"flash-attention-{version[1]}"})
    if feature == "tool calls":
        return "tools", found
    if "driver" in feature or "toolkit" in feature:
        return "stack", found
    if subject["quant"]:
        return "weights", found
    if subject["model_arch"] and model != "blackwell":
        return "model", found
    return "device", found


def _named_feature(subject: Mapping[str, Any]) -> str:
    return FEATURES.get((subject["feature"] or "").lower(), "")


def _models(name: str | None) -> set[str]:
    """All names of an architecture, from any of its spellings."""
    if not name:
        return set()
    found: set[str] = set()
    for part in name.split("/"):
        kind = part.lower().replace("-", "_")
        kind = MODELS.get(kind, kind)
        classes = {k for k, v in rules.architectures().items() if part in v}
        for known in {kind, kind.replace("gptoss", "gpt_oss"), part.lower(), *classes}:
            found |= names_of(known)
    return found


def _weights(quant: str | None, claim: str) -> str:
    """The format of a fact; a claim about a named kernel is about that kernel alone."""
    kernel = re.match(r"(\w+) (?:[\w-]+ )*kernel\b", claim)
    named = rules.format_of(kernel[1]) if kernel else ""
    return named or rules.format_of(_format(quant))


def _format(text: str | None) -> str:
    whole = re.sub(r"^KV ", "", text or "")
    return whole if rules.format_of(whole) else whole.split("/")[0]


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
    if told.startswith("!="):
        return [n for n in ("sm_80", "sm_89", "sm_100", "sm_120") if n not in _capability(told[2:])]
    found = [d for number in re.findall(r"[0-9]+\.[0-9]", told) for d in _capability(number)]
    if re.search(r"([0-9]+)\.x", told):
        majors = re.findall(r"([0-9]+)\.x", told)
        found += [
            n for n, f in rules.vocabulary()["hardware"].items() if f.get("cc", "").split(".")[0] in majors
        ]
    span = re.fullmatch(r"sm([0-9]+)-sm([0-9]+)", told)
    if span:
        found += [f"sm_{span[1]}", f"sm_{span[2]}"]
    named = (subject["gpu_arch"] or told).lower()
    runtime = releases.find(subject["runtime"]).id if subject["runtime"] in ENGINES else ""
    if not found and named not in PLATFORMS:
        found = [device for part in named.split("/") for device in PLATFORMS.get(part.strip(), ())]
    return found or list(PLATFORMS.get(named, USUAL.get(runtime, ("sm_90", "sm_89")) if runtime else ("",)))


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
