"""What `PeftModel.from_pretrained` would do with an adapter: which modules get a pair, of which shapes.

Source: peft 0.21.2, tuners/tuners_utils.py (inject_adapter, check_target_module_exists, _inject_parameters),
tuners/lora/layer.py (update_layer of Linear, Embedding, ParamWrapper), utils/save_and_load.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from plimsoll.core.lora_modules import Offered
from plimsoll.core.peft_names import DEFAULT_TARGETS, FUSED_TARGETS, renamed_targets, style_of
from plimsoll.domain.adapter import LoraAdapter

Shape = tuple[int, ...]


class Refused(Exception):
    """PEFT raises an error here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A pair that PEFT makes room for: the name below which it is saved, and the shapes it must have.

    `adapts` is the module or parameter whose weight it changes.
    """

    module: str
    adapts: str
    rank: int
    alpha: float
    a: Shape
    b: Shape
    is_embedding: bool = False


def slots(adapter: LoraAdapter, model: Offered, architecture: str) -> dict[str, Slot]:
    """Every pair PEFT creates on this model, by module. Raises Refused where it raises."""
    adapter = with_new_targets(adapter, model, architecture)
    if not adapter.targets and not adapter.target_pattern and not adapter.target_parameters:
        if architecture not in DEFAULT_TARGETS or style_of(architecture):
            raise Refused(f"the config names no target_modules, and PEFT has no default for {architecture}")
        adapter = replace(adapter, targets=DEFAULT_TARGETS[architecture])
    found: dict[str, Slot] = {}
    for module in _targeted(adapter, model):
        if module in model.linears:
            out, width = model.linears[module]
            rank, alpha = rank_of(adapter, module)
            found[module] = Slot(
                module=module, adapts=module, rank=rank, alpha=alpha, a=(rank, width), b=(out, rank)
            )
        elif module in model.embeddings:
            tokens, width = model.embeddings[module]
            rank, alpha = rank_of(adapter, module)
            found[module] = Slot(
                module=module, adapts=module, rank=rank, alpha=alpha, a=(rank, tokens), b=(width, rank),
                is_embedding=True,
            )  # fmt: skip
        else:
            raise Refused(f"target module {module} is neither a linear layer nor an embedding")
    found |= _parameter_slots(adapter, model, found)
    if not found:
        raise Refused(f"none of the target modules {_shown(adapter)} is in the model")
    return found


def _shown(adapter: LoraAdapter) -> str:
    return adapter.target_pattern or ", ".join((*adapter.targets, *adapter.target_parameters))


def rank_of(adapter: LoraAdapter, name: str) -> tuple[int, float]:
    """Rank and alpha of a module: the first pattern that matches its name from a dot on (get_pattern_key)."""
    rank = next((v for k, v in adapter.rank_pattern if _ends(k).match(name)), adapter.rank)
    alpha = next((v for k, v in adapter.alpha_pattern if _ends(k).match(name)), adapter.alpha)
    return rank, alpha


@cache
def _ends(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(.*\.)?({pattern})$")


def _targeted(adapter: LoraAdapter, model: Offered) -> Iterable[str]:
    if adapter.target_pattern.lower() == "all-linear":
        names = [n for n in model.linears if n != model.head]
        yield from (n for n in names if not _is_excluded(adapter, n))
        return
    for name in model.names:
        if not _is_excluded(adapter, name) and matches(adapter, name):
            yield name


def _is_excluded(adapter: LoraAdapter, name: str) -> bool:
    if adapter.excluded_pattern and re.fullmatch(adapter.excluded_pattern, name):
        return True
    if any(name == e or name.endswith(f".{e}") for e in adapter.excluded):
        return True
    return any(re.match(rf"(^|.*\.){m}($|\..*)", name) for m in adapter.saved_modules)


def matches(adapter: LoraAdapter, name: str) -> bool:
    """check_target_module_exists: by pattern, or by suffix and number of the layer."""
    if adapter.target_pattern:
        return re.fullmatch(adapter.target_pattern, name) is not None
    if name in adapter.targets:
        return True
    if not any(name.endswith(f".{t}") for t in adapter.targets):
        return False
    if adapter.layers is None:
        return True
    patterns = adapter.layers_pattern or (r"[^.]*",)
    for pattern in patterns:
        start = r".*?\." if not adapter.layers_pattern else r"(?:^|.*?\.)"
        if number := re.match(rf"{start}{pattern}\.(?P<idx>\d+)\.", name):
            return int(number["idx"]) in adapter.layers
    return False


def with_new_targets(adapter: LoraAdapter, model: Offered, architecture: str) -> LoraAdapter:
    """The config after PEFT renamed the targets of older releases (_convert_peft_config_moe)."""
    style = style_of(architecture)
    if not style:
        return adapter
    mapping, fused = renamed_targets(style), FUSED_TARGETS[style]
    targets = set(adapter.targets)
    if adapter.target_pattern:
        targets = _leaves(adapter, model, mapping)
        if not targets:
            return adapter
    parameters, kept, present = set(adapter.target_parameters), set(), set()
    for target in targets:
        old = next((o for o in mapping if target == o or target.endswith(f".{o}")), None)
        if old is None:
            kept.add(target)
            continue
        parameters.add(mapping[old])
        if old in fused:
            present.add(old)
    ranks, alphas = dict(adapter.rank_pattern), dict(adapter.alpha_pattern)
    if 0 < len(present) < len(fused):
        lacking = ", ".join(sorted(set(fused) - present))
        raise Refused(f"{', '.join(present)} cannot be adapted without {lacking}: they are one parameter now")
    if len(present) == len(fused):
        ranks[r".*\.gate_up_proj"] = adapter.rank * len(fused)
        alphas[r".*\.gate_up_proj"] = adapter.alpha * len(fused)
    return replace(
        adapter, targets=tuple(sorted(kept)), target_pattern="", target_parameters=tuple(sorted(parameters)),
        rank_pattern=tuple(ranks.items()), alpha_pattern=tuple(alphas.items()),
    )  # fmt: skip


def _leaves(adapter: LoraAdapter, model: Offered, mapping: dict[str, str]) -> set[str]:
    """The last parts of the names a pattern matches, with the old names of what is one parameter now."""
    if adapter.target_pattern.lower() == "all-linear":
        leaves = {n.rpartition(".")[2] for n in model.linears if n != model.head}
        return leaves | set(mapping)
    found = {
        name.rpartition(".")[2]
        for name in (*model.names, *model.parameters)
        if not _is_excluded(adapter, name) and matches(adapter, name)
    }
    boxes: dict[str, set[str]] = {}
    for name in model.parameters:
        box, _, leaf = name.rpartition(".")
        boxes.setdefault(leaf, set()).add(box)
    for old, new in mapping.items():
        if any(matches(adapter, f"{box}.{old}") for box in boxes.get(new, ())):
            found.add(old)
    return found


def _parameter_slots(adapter: LoraAdapter, model: Offered, taken: dict[str, Slot]) -> dict[str, Slot]:
    """ParamWrapper: the parameters of one module are wrapped one around the other in the order in which
    they are registered, so that the last has the module's own name and those inside `.base_layer` more."""
    wanted = adapter.target_parameters
    inside: dict[str, list[str]] = {}
    for name in model.parameters:
        if wanted and (name in wanted or any(name.endswith(f".{w}") for w in wanted)):
            inside.setdefault(name.rpartition(".")[0], []).append(name)
    found: dict[str, Slot] = {}
    for module, names in inside.items():
        if module in taken:
            raise Refused(f"{module} is named in target_modules and its parameter in target_parameters")
        if adapter.has_dora or adapter.has_lora_bias:
            raise Refused("PEFT adapts parameters (target_parameters) without DoRA and lora_bias only")
        for depth, name in enumerate(reversed(names)):
            found[module + ".base_layer" * depth] = _parameter_slot(adapter, model, module, name, depth)
    return found


def _parameter_slot(adapter: LoraAdapter, model: Offered, module: str, name: str, depth: int) -> Slot:
    shape = model.parameters[name]
    if len(shape) not in (2, 3):
        raise Refused(f"the parameter {name} has {len(shape)} dimensions; PEFT adapts those with 2 or 3")
    rank, alpha = rank_of(adapter, name)
    experts, width, out = (1, shape[1], shape[0]) if len(shape) == 2 else shape
    if len(shape) == 3 and not model.has_transposed_experts:
        width, out = out, width
    return Slot(
        module=module + ".base_layer" * depth, adapts=name, rank=rank, alpha=alpha,
        a=(rank * experts, width), b=(out, rank * experts),
    )  # fmt: skip
