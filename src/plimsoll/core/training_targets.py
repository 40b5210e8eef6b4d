"""What of a model trains: where LoRA's pairs go, by PEFT's own rules, or which parameters train whole."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from plimsoll.core.lora_modules import Offered, offered, roles
from plimsoll.core.peft_rules import Refused, Slot, slots
from plimsoll.domain.adapter import LoraAdapter
from plimsoll.domain.model import Model
from plimsoll.domain.training import AdapterPair, Attachment, Method
from plimsoll.errors import BadSetting, choices_hint

WORDS = ("attention", "experts", "router", "all-linear", "mlp")
TOWERS = frozenset({"vision", "audio", "projector"})
_UNTRAINED = TOWERS | {"mtp"}
# What PEFT must leave alone where towers stay frozen (LoraConfig.exclude_modules, a full match).
TOWER_MODULES = r"(.*\.)?(visual|vision_\w+|audio_\w+|embed_(vision|audio)|multi_modal_projector)(\..*)?"
_LAYER = re.compile(r"\.(?:layers|h|blocks|block)\.(\d+)\.")
_ROLES_OF = {"attention": ("attention", "state"), "mlp": ("ffn", "shared_expert")}


def attachment(
    model: Model, method: Method, targets: tuple[str, ...], rank: int, *, freezes_towers: bool = True
) -> Attachment:
    """Where the method trains this model. Raises BadSetting for a target that is none of its modules."""
    if model.naming == "gguf":
        raise BadSetting(
            "training starts from the published weights, not from a GGUF",
            hint="name the model it was made from",
        )
    if method in ("full", "router-only"):
        return _whole(model, method, freezes_towers)
    names, parameters, is_all = _named(model, targets or ("attention",))
    adapter = LoraAdapter(
        id="", naming="peft", base=model.id, rank=rank, alpha=1.0, tensors=(), file_bytes=0, targets=names,
        target_pattern="all-linear" if is_all else "", target_parameters=parameters,
        excluded_pattern=TOWER_MODULES if freezes_towers else "",
        has_dora=method == "dora",
    )  # fmt: skip
    try:
        found = slots(adapter, offered(model), model.architecture)
    except Refused as refused:
        return Attachment(names=names or ("all-linear",), parameters=parameters, refusal=str(refused))
    kinds = roles(model)
    kept = [
        s for s in found.values() if not freezes_towers or _role(kinds, s) not in _UNTRAINED
    ]  # fmt: skip
    pairs = tuple(_pair(s) for s in kept)
    refusal = "" if pairs else "the targets are in a frozen tower only"
    magnitudes = sum(p.outputs for p in pairs) if method == "dora" else 0
    return Attachment(
        pairs=pairs,
        magnitudes_count=magnitudes,
        refusal=refusal,
        names=("all-linear",)
        if is_all
        else tuple(sorted({p.adapts.rpartition(".")[2] for p in pairs if not _is_parameter(p)})),
        parameters=_suffixes(p.adapts for p in pairs if _is_parameter(p)),
    )


def _is_parameter(pair: AdapterPair) -> bool:
    return pair.module != pair.adapts


def _suffixes(names: object) -> tuple[str, ...]:
    """Parameters as target_parameters names them: from the last module on ('mlp.experts.gate_up_proj')."""
    assert hasattr(names, "__iter__")
    return tuple(sorted({".".join(str(n).split(".")[-3:]) for n in names}))


def _role(kinds: dict[str, str], slot: Slot) -> str:
    return kinds.get(f"{slot.adapts}.weight", kinds.get(slot.adapts, ""))


def _pair(slot: Slot) -> AdapterPair:
    found = _LAYER.search(f".{slot.adapts}.")
    experts = slot.a[0] // slot.rank
    inputs, outputs = (slot.a[1], slot.b[0])
    is_tower = re.fullmatch(TOWER_MODULES, slot.adapts)
    return AdapterPair(
        module=slot.module, adapts=slot.adapts, layer=int(found[1]) if found and not is_tower else None,
        inputs=inputs, outputs=outputs, rank=slot.rank, experts_count=experts if experts > 1 else 0,
    )  # fmt: skip


def _named(model: Model, targets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Words and names as PEFT's target_modules, target_parameters, and whether all linear layers are
    meant."""
    has, kinds = offered(model), roles(model)
    names: set[str] = set()
    parameters: set[str] = set()
    is_all = False
    for target in targets:
        if target == "all-linear":
            is_all = True
        elif target in _ROLES_OF:
            wanted = _ROLES_OF[target]
            new = {n.rpartition(".")[2] for n in has.linears if kinds.get(f"{n}.weight") in wanted}
            if not new:
                raise BadSetting(f"{model.id} has no linear layers for {target}", hint=_hint(target))
            names |= new
        elif target in ("experts", "router"):
            own, bare = _of_role(has, kinds, "expert" if target == "experts" else "router")
            if not own and not bare:
                raise BadSetting(f"{model.id} has no {target}", hint=_hint(target))
            names, parameters = names | own, parameters | bare
        else:
            _add_named(model, has, target, names, parameters)
    return tuple(sorted(names)), tuple(sorted(parameters)), is_all


def _hint(target: str) -> str:
    return f"--targets {' or '.join(word for word in ('attention', 'all-linear') if word != target)}"


def _of_role(has: Offered, kinds: dict[str, str], role: str) -> tuple[set[str], set[str]]:
    """Linear layers of a role by their last name, bare parameters by their last three."""
    linears = {n.rpartition(".")[2] for n in has.linears if kinds.get(f"{n}.weight") == role}
    bare = {
        ".".join(n.split(".")[-3:])
        for n, shape in has.parameters.items()
        if kinds.get(n) == role
        and len(shape) in (2, 3)
        and not n.endswith("bias")
        and n.removesuffix(".weight") not in has.linears
    }
    return linears, bare


def _add_named(model: Model, has: Offered, target: str, names: set[str], parameters: set[str]) -> None:
    modules = {*has.linears, *has.embeddings}
    if any(n == target or n.endswith(f".{target}") for n in modules):
        names.add(target)
    elif any(n == target or n.endswith(f".{target}") for n in has.parameters):
        parameters.add(target)
    else:
        leaves = {n.rpartition(".")[2] for n in modules} | set(WORDS)
        raise BadSetting(
            f"{model.id} has no module {target!r}", hint=choices_hint(target, sorted(leaves), "--targets")
        )


def _whole(model: Model, method: Method, freezes_towers: bool) -> Attachment:
    """Parameters that train as they are."""
    kinds, has = roles(model), offered(model)
    wanted = {
        name: shape
        for name, shape in has.parameters.items()
        if (kinds[name] == "router" if method == "router-only" else kinds[name] != "mtp")
        and not (freezes_towers and kinds[name] in TOWERS)
    }
    if method == "router-only" and not wanted:
        return Attachment(refusal=f"{model.id} has no router to train")
    rows = Counter((_outer(shape), shape[-1]) for shape in wanted.values() if len(shape) > 1)
    values = sum(_product(shape) for shape in wanted.values())
    names = (
        tuple(sorted({n.rpartition(".")[0].rpartition(".")[2] for n in wanted})) if method != "full" else ()
    )
    return Attachment(
        whole_values_count=values,
        rows=tuple((n, out, width) for (out, width), n in rows.items()),
        names=names,
    )


def _outer(shape: tuple[int, ...]) -> int:
    return _product(shape[:-1])


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


def with_rank(found: Attachment, rank: int) -> Attachment:
    """The same places at another rank."""
    return replace(found, pairs=tuple(replace(p, rank=rank) for p in found.pairs))
