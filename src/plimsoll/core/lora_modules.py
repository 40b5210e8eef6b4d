"""What of a model a LoRA can attach to: its linear layers, embeddings and bare parameters, by PEFT's names.

Source: peft 0.21.2, tuners/lora/layer.py (dispatch_default, ParamWrapper); transformers 5.23, models/*
(which routers are linear layers and which are parameters: checked over the catalog by the oracle tests).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from plimsoll.domain.model import Model, TensorSpec

# model_type whose routers are nn.Linear; elsewhere a router is a module of its own with a bare weight.
_LINEAR_ROUTERS = ("afmoe", "llama4", "phimoe")
# Tables of positions in vision towers: nn.Embedding, whatever their role.
_POSITIONS = re.compile(r"(pos_embed|position_embedding|tile_embedding|positional_embedding\.embedding)$")
_ADAPTABLE = frozenset({
    "attention", "ffn", "expert", "shared_expert", "state", "router", "embedding", "output",
})  # fmt: skip
_TRANSPOSED_EXPERTS = ("gpt_oss",)
_EXPERT = re.compile(
    r"^(?P<path>.*\.experts)\.(?P<number>\d+)\.(?P<leaf>\w+)\.(?:weight|qweight|weight_packed)$"
)
_GATES = {"gate_proj": 0, "w1": 0, "up_proj": 1, "w3": 1}
_QUANTISED = re.compile(r"\.(qweight|weight_packed|q_weight|trellis)$")


@dataclass(frozen=True, slots=True)
class Offered:
    """The modules of a model, by name.

    `linears` and `embeddings` map a module to (out, in) of its weight (an embedding's is (tokens, width));
    `parameters` map every parameter's full name to its shape, in the order they are registered;
    `others` are modules of other kinds, which PEFT refuses as targets.
    """

    linears: dict[str, tuple[int, int]]
    embeddings: dict[str, tuple[int, int]]
    parameters: dict[str, tuple[int, ...]]
    others: frozenset[str]
    head: str
    has_transposed_experts: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Every module, the parents before their children."""
        return tuple(sorted({*self.linears, *self.embeddings, *self.others}))


@lru_cache(maxsize=8)
def _offered(key: _Same) -> Offered:
    model = key.model
    linears: dict[str, tuple[int, int]] = {}
    embeddings: dict[str, tuple[int, int]] = {}
    parameters: dict[str, tuple[int, ...]] = {}
    others: set[str] = set()
    for name, shape, role in _built(model):
        module, _, leaf = name.rpartition(".")
        parameters[name] = shape
        parts = module.split(".")
        others.update(".".join(parts[:n]) for n in range(1, len(parts)))
        is_table = role == "embedding" or _POSITIONS.search(module) is not None
        if leaf == "weight" and len(shape) == 2 and is_table:
            embeddings[module] = (shape[0], shape[1])
        elif leaf == "weight" and len(shape) == 2 and _is_linear(model.architecture, role, module):
            linears[module] = (shape[0], shape[1])
        else:
            others.add(module)
    head = next(
        (n.removesuffix(".weight") for n, _, r in _built(model) if r == "output" and ".weight" in n), ""
    )
    if not head and model.has_tied_embeddings:
        head = "lm_head"
        linears[head] = (model.vocab_size, model.hidden_dim)
    return Offered(
        linears, embeddings, parameters, frozenset(others - set(linears) - set(embeddings)), head,
        model.architecture in _TRANSPOSED_EXPERTS,
    )  # fmt: skip


def offered(model: Model) -> Offered:
    """What PEFT finds when Transformers has built this model (names of Transformers 5)."""
    return _offered(_Same(model))


def roles(model: Model) -> dict[str, str]:
    """The role of every parameter, by the name Transformers 5 gives it."""
    return {name: role for name, _, role in _built(model)}


class _Same:
    """A model as the key of a cache: the same object is the same model."""

    __slots__ = ("model",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.model is self.model


def _is_linear(architecture: str, role: str, module: str) -> bool:
    if role == "router" and module.endswith((".gate", ".router")):
        return architecture.startswith(_LINEAR_ROUTERS)
    return role not in ("embedding", "norm", "expert")


def _built(model: Model) -> Iterable[tuple[str, tuple[int, ...], str]]:
    """Names, shapes and roles as Transformers 5 builds them: experts that a checkpoint stores one by one
    are stacked, gate and up in one parameter."""
    stacks: dict[str, dict[str, tuple[int, ...]]] = {}
    counts: dict[str, int] = {}
    for tensor in model.tensors:
        if tensor.is_buffer or tensor.role == "mtp":
            continue
        match = _EXPERT.match(tensor.name)
        if match is None:
            yield _QUANTISED.sub(".weight", tensor.name), tensor.shape, tensor.role
            continue
        path = match["path"].replace(".block_sparse_moe.", ".mlp.")
        counts[path] = max(counts.get(path, 0), int(match["number"]) + 1)
        stacks.setdefault(path, {})[match["leaf"]] = tensor.shape
    for path, leaves in stacks.items():
        yield from _stacked(path, counts[path], leaves)


def _stacked(
    path: str, count: int, leaves: dict[str, tuple[int, ...]]
) -> Iterable[tuple[str, tuple[int, ...], str]]:
    gates = [shape for leaf, shape in leaves.items() if leaf in _GATES]
    if len(gates) == 2:
        yield f"{path}.gate_up_proj", (count, gates[0][0] + gates[1][0], gates[0][1]), "expert"
    elif gates:
        yield f"{path}.up_proj", (count, *gates[0]), "expert"
    for leaf in ("down_proj", "w2"):
        if leaf in leaves:
            yield f"{path}.down_proj", (count, *leaves[leaf]), "expert"


def matrices(tensors: Iterable[TensorSpec]) -> list[TensorSpec]:
    """The tensors a LoRA could adapt: matrices and stacks of matrices of the text model."""
    return [t for t in tensors if len(t.shape) > 1 and not t.is_buffer and t.role in _ADAPTABLE]
