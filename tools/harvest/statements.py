"""From what a release says about itself to what a rule may say: one function per kind of fact.

A Statement is a rule without its range of versions. It never names a version, so that releases that say
the same make the same Statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.harvest.facts import Entry, Facts


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Statement:
    """A rule without versions; `name` is the stem of the rule's name."""

    aspect: str
    topic: str
    name: str
    says: str
    note: str = ""
    formats: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


Stated = Iterator[tuple[Statement, str]]  # with the path inside the package

# Engines that refuse a model that their list does not name, and why.
_REFUSING = {
    "vllm": "The registry of the release does not name it.",
    "exllamav3": "The architecture is not in the list of the release.",
    "mlx-lm": "The release has no file for this model type.",
    "lmdeploy": "The tables of neither engine of the release name it.",
}
_LISTS = ("architectures", "TurboMind architectures", "refused architectures")


def statements(facts: Facts, every: Sequence[Facts], words: Mapping[str, Any]) -> Stated:
    """Everything that one release states; `every` are all releases that were read, for what is missing."""
    yield from _models(facts, every)
    yield from _adapters(facts)
    yield from _gates(facts, words)
    yield from _missing_formats(facts, every, words)
    yield from _missing_caches(facts, every, words)
    yield from _built_for(facts, words)
    yield from _named(facts, every)


def _models(facts: Facts, every: Sequence[Facts]) -> Stated:
    """Registries: a listed architecture is supported; what is refused by name, or by absence, is not.

    Names that differ in nothing but case are one name, as in a question.
    """
    known = {name.lower(): name for f in every for table in _LISTS for name in f.table(table)}
    listed, turbomind, refused = ({n.lower(): e for n, e in facts.table(table).items()} for table in _LISTS)
    for name, entry in sorted({**turbomind, **listed}.items()):
        yield _model(known[name], "supported", _engines(name, listed, turbomind)), entry.path
    for name, entry in refused.items():
        if name not in listed and name not in turbomind:
            until = f"It was supported until {entry.value} and is refused since." if entry.value else ""
            yield (
                _model(known[name], "unsupported", until or "It was removed and is refused by name."),
                entry.path,
            )
    if facts.project in _REFUSING and listed:
        where = {entry.path for entry in listed.values()}
        place = where.pop() if len(where) == 1 else min(where).rpartition("/")[0]
        for name in sorted(set(known) - set(listed) - set(turbomind) - set(refused)):
            yield _model(known[name], "unsupported", _REFUSING[facts.project]), place


def _engines(name: str, listed: Mapping[str, Entry], turbomind: Mapping[str, Entry]) -> str:
    if not turbomind:
        return ""
    engines = [e for e, t in (("TurboMind", turbomind), ("PyTorch", listed)) if name in t]
    return f"Engine: {' and '.join(engines)}."


def _model(name: str, says: str, note: str) -> Statement:
    return Statement(aspect="model", topic="registry", name=_slug(name), says=says, note=note, models=(name,))


def _adapters(facts: Facts) -> Stated:
    """vLLM refuses an adapter for a class that is no SupportsLoRA."""
    for name, entry in {n.lower(): (n, e) for n, e in facts.table("LoRA").items()}.values():
        yield Statement(
            aspect="lora", topic="class", name=_slug(name), models=(name,), features=("lora",),
            says="supported" if entry.value else "unsupported",
            note="" if entry.value else "Its model class takes no adapters (it is no SupportsLoRA).",
        ), entry.path  # fmt: skip


def _gates(facts: Facts, words: Mapping[str, Any]) -> Stated:
    """Below the capability that the loader demands it refuses; from it on it lets the format pass."""
    for form, (method, entry) in _by_format(facts.table("quantisation"), words).items():
        if type(entry.value) is not int or entry.value < 50:
            continue
        family = _family(method, facts.table("quantisation"))
        least, enough = _capability(min(family)), _capability(max(family))
        yield Statement(
            aspect="weights", topic="gate", name=f"{_slug(method)}-{enough}", says="supported",
            formats=(form,), hardware=(f"cc>={enough}",),
        ), entry.path  # fmt: skip
        if _has_below(least, words):
            yield Statement(
                aspect="weights", topic="gate", name=f"{_slug(method)}-{least}-below", says="unsupported",
                formats=(form,), hardware=(f"cc<{least}",),
                note=f"The loader demands compute capability {least}.",
            ), entry.path  # fmt: skip


def _family(method: str, methods: Mapping[str, Entry]) -> list[int]:
    """What a method may demand: only inside a file of ModelOpt stands which of its methods it is."""
    names = [n for n in methods if n == method or (method == "modelopt" and n.startswith("modelopt_"))]
    return [value for name in names if type(value := methods[name].value) is int]


def _capability(value: int) -> str:
    return f"{value // 10}.{value % 10}"


def _by_format(methods: Mapping[str, Entry], words: Mapping[str, Any]) -> dict[str, tuple[str, Entry]]:
    """Format -> the method that reads it: the one of the same name before those of other names for it."""
    found: dict[str, tuple[str, Entry]] = {}
    for method in sorted(
        methods, key=lambda method: _spelling(method) != _spelling(format_name(method, words))
    ):
        if form := format_name(method, words):
            found.setdefault(form, (method, methods[method]))
    return found


def _missing_formats(facts: Facts, every: Sequence[Facts], words: Mapping[str, Any]) -> Stated:
    """A format that another release of the same engine loads by name and this one does not.

    Only of formats that are a method of their own: what a matrix unit computes in (fp8, nvfp4) also comes
    inside of containers such as compressed-tensors.
    """
    for table in ("quantisation", "quantisers"):
        here = {format_name(method, words) for method in facts.table(table)}
        known = {format_name(method, words) for f in every for method in f.table(table)}
        path = next((entry.path for entry in facts.table(table).values()), "")
        if facts.project == "llama-cpp-python" or not path:
            continue
        for form in sorted(known - here - {""}):
            if _is_part_of_another(form, facts.table(table)) or words["formats"][form].get("computes"):
                continue
            yield Statement(
                aspect="weights", topic="methods", name=f"no-{_slug(form)}", says="unsupported",
                formats=(form,), note="The release has no quantisation method of that name.",
            ), _registry_of(facts.project, path)  # fmt: skip


def _is_part_of_another(form: str, names: Mapping[str, Entry]) -> bool:
    """Does a longer name contain it, such as modelopt_mxfp8 for mxfp8? Then nothing is said about it."""
    return any(_spelling(form) in _spelling(name) for name in names)


def _registry_of(project: str, path: str) -> str:
    """The file with the table of methods: the gates of one method stand in files beside it."""
    folder = {"vllm": "vllm/model_executor", "sglang": "sglang/srt"}.get(project)
    return f"{folder}/layers/quantization/__init__.py" if folder else path


def _missing_caches(facts: Facts, every: Sequence[Facts], words: Mapping[str, Any]) -> Stated:
    """Types of the cache that are no choice of the release; silent where the choices were not found."""
    listed = facts.table("KV cache types")
    here = {format_name(name, words) for name in listed}
    known = {format_name(name, words) for f in every for name in f.table("KV cache types")} | _CACHES
    path = next((entry.path for entry in listed.values()), "")
    for form in sorted(known - here - {""}) if path else ():
        if _is_part_of_another(form, listed) or form in _UNQUANTISED:
            continue
        yield Statement(
            aspect="kv", topic="choices", name=f"no-{_slug(form)}", says="unsupported", formats=(form,),
            note="It is no choice of the cache type in the release.",
        ), path  # fmt: skip


# What "auto" stands for.
_UNQUANTISED = ("f32", "f16", "bf16")
# Types that some engine stores a cache in.
_CACHES = {"q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "fp8", "fp8_e5m2", "int8", "nvfp4", "mxfp4"}


def _built_for(facts: Facts, words: Mapping[str, Any]) -> Stated:
    """GPU architectures of CMakeLists.txt. The value tells whether every branch of it lists the architecture.

    Below the lowest of all branches nothing is built; an AMD architecture that is not listed is refused.
    llama.cpp's lists are defaults of a build with PTX in them, which says nothing about other cards.
    """
    cuda, rocm = facts.table("CUDA architectures"), facts.table("ROCm architectures")
    if facts.project == "llama-cpp-python" or not cuda:
        return
    lowest = min(_dotted(name) for name in cuda)
    for name, known in words["hardware"].items():
        if "cc" in known and known["cc"] in cuda and cuda[known["cc"]].value is True:
            yield _device(name, "supported", ""), "CMakeLists.txt"
        elif "cc" in known and _dotted(known["cc"]) < lowest:
            least = ".".join(map(str, lowest))
            yield (
                _device(name, "unsupported", f"It is built for compute capability {least} and newer."),
                "CMakeLists.txt",
            )
        elif name in rocm:
            yield _device(name, "supported", ""), "CMakeLists.txt"
        elif rocm and name.startswith("gfx"):
            yield _device(name, "unsupported", f"It is not built for {name}."), "CMakeLists.txt"


def _device(name: str, says: str, note: str) -> Statement:
    return Statement(aspect="device", topic="build", name=name, says=says, note=note, hardware=(name,))


# Tables of names that a question may ask for, and the family of features they are.
_FAMILIES = {
    "tool parsers": "tool-parser", "reasoning parsers": "reasoning-parser",
    "attention backends": "attention-backend",
}  # fmt: skip


def _named(facts: Facts, every: Sequence[Facts]) -> Stated:
    """Parsers and backends that a release offers by name, and those that another release does and it not."""
    for table, family in _FAMILIES.items():
        listed = {name.lower(): entry for name, entry in facts.table(table).items()}
        known = {name.lower() for f in every for name in f.table(table)}
        path = next((entry.path for entry in listed.values()), "")
        for name in sorted(known) if path else ():
            feature = f"{family}:{name}"
            yield Statement(
                aspect="features", topic=feature, name=feature.replace(":", "-"), features=(feature,),
                says="supported" if name in listed else "unsupported",
                note="" if name in listed else "The release has none of that name.",
            ), listed[name].path if name in listed else path.rpartition("/")[0]  # fmt: skip


def format_name(method: str, words: Mapping[str, Any]) -> str:
    """The vocabulary's name of a method or type as engines spell it, or ''."""
    wanted = _spelling(method)
    for name, known in words["formats"].items():
        if wanted == _spelling(name) or wanted in map(_spelling, known.get("aliases", ())):
            return str(name)
    return ""


def _spelling(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c == ".")


def _dotted(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _has_below(least: str, words: Mapping[str, Any]) -> bool:
    return any("cc" in h and _dotted(h["cc"]) < _dotted(least) for h in words["hardware"].values())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
