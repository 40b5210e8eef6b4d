"""Does this adapter work on that model: tensor by tensor, as the engine that would load it does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from plimsoll.core import peft_names
from plimsoll.core.lora_modules import Offered, offered
from plimsoll.core.peft_rules import Refused, Slot, slots
from plimsoll.domain.adapter import (
    AdapterCheck,
    AdapterTensor,
    AdapterVerdict,
    LoraAdapter,
    ModuleCheck,
    Outcome,
)
from plimsoll.domain.model import Model
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.runtimes.llama_cpp.adapters import is_adapted
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, gguf_tensors

PREFIX = "base_model.model."
PEFT, LLAMA_CPP = "PEFT 0.21.2 on Transformers 5.23", "llama.cpp at 0c1e57098"
Shape = tuple[int, ...]
_EXPERT = re.compile(
    r"(?P<path>.+\.experts)\.(?P<number>\d+)\.(?P<leaf>gate_proj|up_proj|down_proj|w1|w2|w3)"
)
_FUSED = {"gate_proj": 0, "w1": 0, "up_proj": 1, "w3": 1}


class Loaded(NamedTuple):
    """One tensor as PEFT hands it to the model, after its conversions; `names` are those in the file."""

    module: str
    part: str
    shape: Shape
    is_embedding: bool
    is_zero: bool | None
    names: tuple[str, ...]


def check(adapter: LoraAdapter, model: Model) -> AdapterCheck:
    """The verdict, by the rules of PEFT for its own adapters and of llama.cpp for GGUF adapters."""
    if adapter.naming == "gguf":
        return _check_gguf(adapter, model)
    if model.naming == "gguf":
        return AdapterCheck(
            model=model.id, engine=LLAMA_CPP, verdict="unknown",
            reason="a PEFT adapter on a GGUF: llama.cpp needs it converted first (convert_lora_to_gguf.py); "
            "its check needs the model in Transformers' names",
        )  # fmt: skip
    return _check_peft(adapter, model)


def _check_peft(adapter: LoraAdapter, model: Model) -> AdapterCheck:
    modules = offered(model)
    notes = _peft_notes(adapter, model)
    try:
        wanted = slots(adapter, modules, model.architecture)
        saved = _saved_modules(adapter, modules)
        loaded = list(_converted(adapter, model.architecture))
    except Refused as refused:
        return AdapterCheck(
            model=model.id, engine=PEFT, verdict="load_error", reason=str(refused), notes=notes
        )
    found = _modules(adapter, wanted, saved, modules, loaded)
    verdict, reason = _verdict(found)
    return AdapterCheck(
        model=model.id, engine=PEFT, verdict=verdict, reason=reason, modules=tuple(found), notes=notes
    )


def _peft_notes(adapter: LoraAdapter, model: Model) -> tuple[str, ...]:
    notes = []
    if adapter.alpha == 0 and not adapter.alpha_pattern:
        notes.append("lora_alpha is 0: every pair is multiplied by 0")
    if adapter.other_methods:
        notes.append(f"not judged: {', '.join(adapter.other_methods)}")
    if any(t.part == "magnitude" for t in adapter.tensors) and not adapter.has_dora:
        notes.append("the file holds DoRA magnitudes but use_dora is not set: PEFT ignores them")
    if peft_names.style_of(model.architecture) and any(_EXPERT.search(t.name) for t in adapter.tensors):
        notes.append(
            "pairs of single experts, from an older Transformers: PEFT stacks them as it loads, and on tiny "
            "models its answer is not that of adding them expert by expert (llama.cpp's is)"
        )
    return tuple(notes)


def _converted(adapter: LoraAdapter, architecture: str) -> Iterable[Loaded]:
    """What PEFT makes of the file's tensors: names of Transformers 5, experts stacked, for the
    architectures that it converts; elsewhere only names with PEFT's prefix are found."""
    is_converted = peft_names.is_converted(architecture)
    experts: dict[tuple[str, str], dict[int, dict[int, AdapterTensor]]] = {}
    for tensor in adapter.tensors:
        has_prefix = tensor.name.startswith(PREFIX)
        if not has_prefix and not (is_converted and tensor.part != "whole"):
            yield Loaded(tensor.name, "lost", tensor.shape, False, tensor.is_zero, (tensor.name,))
            continue
        module = tensor.module
        if is_converted and tensor.part != "whole":
            new = peft_names.renamed(architecture, module)
            # PEFT takes a new name that ends the old one for a lost prefix and keeps the old.
            module = module if has_prefix and f"{PREFIX}{module}".endswith(new) else new
        match = _EXPERT.fullmatch(module) if is_converted and tensor.part in ("a", "b") else None
        if match is None:
            yield Loaded(
                module, tensor.part, tensor.shape, tensor.is_embedding, tensor.is_zero, (tensor.name,)
            )
            continue
        leaf = match["leaf"]
        path = f"{match['path']}.base_layer" if leaf in _FUSED else match["path"]
        half = experts.setdefault((path, tensor.part), {}).setdefault(_FUSED.get(leaf, 0), {})
        half[int(match["number"])] = tensor
    for (path, part), halves in experts.items():
        yield _stacked(path, part, halves)


def _stacked(path: str, part: str, halves: Mapping[int, Mapping[int, AdapterTensor]]) -> Loaded:
    """Experts one behind the other; gate and up: A joined, B on the diagonal (PeftConcatenate)."""
    tensors = [t for half in halves.values() for t in half.values()]
    counts = {len(half) for half in halves.values()}
    shapes = [{t.shape for t in half.values()} for half in halves.values()]
    if len(counts) > 1 or any(len(s) > 1 for s in shapes) or any(len(next(iter(s))) != 2 for s in shapes):
        raise Refused(f"the experts' pairs at {path} differ in number or shape and cannot be stacked")
    is_fused = path.endswith(".base_layer")
    if is_fused and len(halves) != 2 and part == "b":
        raise Refused(
            f"gate and up of the experts at {path} are one parameter; the file holds only one of them"
        )
    count, each = counts.pop(), [next(iter(s)) for s in shapes]
    rank = sum(s[0] if part == "a" else s[1] for s in each)
    if part == "a":
        shape: Shape = (count * rank, each[0][1])
    else:
        shape = (sum(s[0] for s in each), count * rank)
    flags = {t.is_zero for t in tensors}
    is_zero = True if flags == {True} else None if None in flags else False
    return Loaded(path, part, shape, False, is_zero, tuple(t.name for t in tensors))


def _saved_modules(adapter: LoraAdapter, model: Offered) -> dict[str, Shape]:
    """Full name -> shape of what modules_to_save replaces (every module whose name ends so)."""
    if not adapter.saved_modules:
        return {}
    roots = [n for n in (*model.names, model.head) if n and any(n.endswith(s) for s in adapter.saved_modules)]
    wanted = {}
    for root in roots:
        own = {n: s for n, s in model.parameters.items() if n.startswith(f"{root}.")}
        if not own and root == model.head:
            own = {f"{root}.weight": model.linears[root]}
        wanted.update(own)
    present = {t.module for t in adapter.tensors if t.part == "whole" and t.name.startswith(PREFIX)}
    for name in wanted:
        if name not in present:
            raise Refused(f"modules_to_save promises {name}, and the file does not hold it")
    return wanted


def _modules(
    adapter: LoraAdapter, wanted: Mapping[str, Slot], saved: Mapping[str, Shape], model: Offered,
    loaded: Sequence[Loaded],
) -> list[ModuleCheck]:  # fmt: skip
    """One row per module of the file, and one per module that PEFT prepared and the file leaves empty."""
    pairs: dict[str, dict[str, Loaded]] = {}
    rows: list[ModuleCheck] = []
    beside = {part for part, on in (("magnitude", adapter.has_dora), ("bias", adapter.has_lora_bias)) if on}
    for tensor in loaded:
        slot = wanted.get(tensor.module)
        if tensor.part in ("a", "b") and slot is not None and slot.is_embedding == tensor.is_embedding:
            pairs.setdefault(tensor.module, {})[tensor.part] = tensor
        elif tensor.part == "whole":
            rows.append(_whole(tensor, wanted, saved, model))
        elif tensor.part in beside and slot is not None:
            rows += _one_dim(tensor, slot.b[0])
        else:
            rows.append(_ignored(tensor, model))
    for module, slot in wanted.items():
        rows.append(_pair(slot, pairs.get(module, {})))
    return rows


def _pair(slot: Slot, pair: Mapping[str, Loaded]) -> ModuleCheck:
    a, b = pair.get("a"), pair.get("b")
    found = (a.shape if a else (), b.shape if b else ())

    def row(outcome: Outcome, reason: str) -> ModuleCheck:
        return ModuleCheck(
            module=slot.module, outcome=outcome, reason=reason, found=found, expected=(slot.a, slot.b)
        )

    if not a and not b:
        return row(
            "untrained", "the file holds nothing for it: the pair stays as PEFT makes it, without effect"
        )
    if (a and a.shape != slot.a) or (b and b.shape != slot.b):
        return row("wrong_shape", _why_shape(slot, a, b))
    if not b:
        return row("untrained", "the file holds A only: B stays zero, without effect")
    if b.is_zero or slot.alpha == 0:
        return row("no_effect", "B is zero" if b.is_zero else "alpha is 0")
    if not a:
        return row("untrained", "the file holds B only: A stays random")
    return row("applied", "")


def _why_shape(slot: Slot, a: Loaded | None, b: Loaded | None) -> str:
    """The first dimension that differs, in words."""
    if a and a.shape[-1:] != slot.a[-1:]:
        word = "tokens in the vocabulary" if slot.is_embedding else "inputs"
        return f"A has {_last(a.shape)} {word}, the model {slot.a[1]}"
    if b and b.shape[:1] != slot.b[:1]:
        return f"B has {b.shape[0] if b.shape else 0} outputs, the model {slot.b[0]}"
    rows = a.shape[0] if a and a.shape else b.shape[-1] if b and b.shape else 0
    return f"the pair has rank {rows}, the config makes room for {slot.a[0]}"


def _last(shape: Shape) -> int:
    return shape[-1] if shape else 0


def _one_dim(tensor: Loaded, width: int) -> list[ModuleCheck]:
    if tensor.shape in ((width,), (1, width), (width, 1)):
        return []
    return [
        ModuleCheck(
            module=tensor.module, outcome="wrong_shape", found=(tensor.shape,), expected=((width,),),
            reason=f"its {tensor.part} has {list(tensor.shape)}, the model {width} outputs",
        )
    ]  # fmt: skip


def _whole(
    tensor: Loaded, wanted: Mapping[str, Slot], saved: Mapping[str, Shape], model: Offered
) -> ModuleCheck:
    """A tensor that replaces one of the model's: modules_to_save, trained biases, resized embeddings."""
    name = tensor.module
    plain = name.replace(".base_layer.", ".")
    is_inside = plain.rpartition(".")[0] in wanted
    expected = saved.get(name) or model.parameters.get(plain)
    if expected is None and plain == f"{model.head}.weight":
        expected = model.linears[model.head]
    if expected is None or (is_inside and plain == name):
        return _ignored(tensor, model)
    if expected != tensor.shape:
        what = "the vocabulary" if expected[1:] == tensor.shape[1:] else "the model"
        return ModuleCheck(
            module=name, outcome="wrong_shape", found=(tensor.shape,), expected=(expected,),
            reason=f"holds {_by(tensor.shape)}, {what} of the model has {_by(expected)}"
            if what == "the vocabulary" else f"holds {_by(tensor.shape)}, the model has {_by(expected)}",
        )  # fmt: skip
    return ModuleCheck(
        module=name, outcome="applied", reason="replaces the model's own", found=(tensor.shape,),
        expected=(expected,),
    )  # fmt: skip


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _ignored(tensor: Loaded, model: Offered) -> ModuleCheck:
    if tensor.part == "lost":
        reason = f"its name does not begin with {PREFIX!r}"
    elif _EXPERT.search(tensor.module):
        reason = "experts are stacked in one parameter in Transformers 5; PEFT does not convert these"
    elif tensor.module in model.linears or tensor.module in model.embeddings:
        reason = "the model has this module, but the config does not target it"
    elif any(tensor.module == p.rpartition(".")[0] for p in model.parameters):
        reason = "the model has this module, but not as a linear layer that the config targets"
    else:
        reason = "the model has no such module"
    return ModuleCheck(module=tensor.module, outcome="ignored", reason=reason, found=(tensor.shape,))


def _verdict(rows: Sequence[ModuleCheck]) -> tuple[AdapterVerdict, str]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.outcome] = counts.get(row.outcome, 0) + 1
    wrong = next((r for r in rows if r.outcome == "wrong_shape"), None)
    if wrong:
        return (
            "load_error",
            f"{counts['wrong_shape']} modules have other shapes; {wrong.module}: {wrong.reason}",
        )
    random = [r for r in rows if r.reason.endswith("A stays random")]
    if not counts.get("applied") and not random:
        first = next((r for r in rows if r.outcome == "ignored"), None) or rows[0]
        return "changes_nothing", f"it loads, and no pair takes effect; {first.module}: {first.reason}"
    left = [r for r in rows if r.outcome in ("ignored", "untrained")]
    if left:
        taken, lost, empty = (counts.get(k, 0) for k in ("applied", "ignored", "untrained"))
        return "partly", (
            f"{taken} modules take effect, {lost} tensors are ignored, {empty} modules stay untrained; "
            f"{left[0].module}: {left[0].reason}"
        )
    return "works", f"{counts.get('applied', 0)} modules take effect"


def _check_gguf(adapter: LoraAdapter, model: Model) -> AdapterCheck:
    """llama_adapter_lora_init_impl: the same architecture, both halves of each pair, a tensor of that name
    in the model, and matching shapes; norms in the file are skipped."""
    try:
        architecture = gguf_architecture(model)
        table = {t.name: t.shape for t in gguf_tensors(model)}
    except UnsupportedArchitecture as error:
        return AdapterCheck(model=model.id, engine=LLAMA_CPP, verdict="unknown", reason=error.message)
    if adapter.architecture != architecture:
        return AdapterCheck(
            model=model.id, engine=LLAMA_CPP, verdict="load_error",
            reason=f"the adapter is for {adapter.architecture!r}, the model is {architecture!r}",
        )  # fmt: skip
    pairs: dict[str, dict[str, AdapterTensor]] = {}
    rows: list[ModuleCheck] = []
    for tensor in adapter.tensors:
        if tensor.part in ("a", "b"):
            pairs.setdefault(tensor.module, {})[tensor.part] = tensor
        else:
            rows.append(
                ModuleCheck(
                    module=tensor.module, outcome="ignored", reason="llama.cpp skips norms of adapters",
                    found=(tensor.shape,),
                )
            )  # fmt: skip
    rows += [_gguf_pair(name, pair, table.get(name), architecture) for name, pair in pairs.items()]
    refused = next((r for r in rows if r.outcome in ("refused", "wrong_shape")), None)
    if refused:
        return AdapterCheck(
            model=model.id, engine=LLAMA_CPP, verdict="load_error", modules=tuple(rows),
            reason=f"{refused.module}: {refused.reason}",
        )  # fmt: skip
    if not rows:
        return AdapterCheck(
            model=model.id, engine=LLAMA_CPP, verdict="changes_nothing", reason="the file holds no tensors"
        )
    verdict, reason = _verdict(rows)
    return AdapterCheck(model=model.id, engine=LLAMA_CPP, verdict=verdict, reason=reason, modules=tuple(rows))


def _gguf_pair(
    name: str, pair: Mapping[str, AdapterTensor], shape: Shape | None, architecture: str
) -> ModuleCheck:
    a, b = pair.get("a"), pair.get("b")
    found = (a.shape if a else (), b.shape if b else ())

    def row(outcome: Outcome, reason: str) -> ModuleCheck:
        return ModuleCheck(
            module=name, outcome=outcome, reason=reason, found=found, expected=(shape,) if shape else ()
        )

    if a is None or b is None:
        return row("refused", f"lora_{'a' if a is None else 'b'} is missing")
    if shape is None:
        return row("refused", "the model has no tensor of that name")
    rows, width = _dim(shape, 1), _dim(shape, 0)
    if name.endswith("token_embd.weight"):
        if width != _dim(b.shape, 1) or rows != _dim(a.shape, 1):
            return row("wrong_shape", f"{_by(a.shape)} and {_by(b.shape)} for {_by(shape)}")
    elif width != _dim(a.shape, 0) or rows != _dim(b.shape, 1):
        return row("wrong_shape", f"{_by(a.shape)} and {_by(b.shape)} for {_by(shape)}")
    elif _dim(a.shape, 1) != _dim(b.shape, 0):
        return row("wrong_shape", f"A has rank {_dim(a.shape, 1)}, B {_dim(b.shape, 0)}")
    if b.is_zero or a.is_zero:
        return row("no_effect", f"{'B' if b.is_zero else 'A'} is zero")
    if not is_adapted(architecture, name):
        return row(
            "ignored", f"it loads, but llama.cpp's graph of {architecture} uses this tensor without adapters"
        )
    return row("applied", "")


def _dim(shape: Shape, number: int) -> int:
    """ggml's ne[number]: the dimensions from the innermost on, 1 where there is none."""
    return shape[-1 - number] if number < len(shape) else 1
