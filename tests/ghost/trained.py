"""A real training step of a tiny model on the processor, every byte of it counted.

What is alive is followed by the tensors that PyTorch's operators return (each storage until it is freed),
what the graph keeps by its own hooks. Attention is written as the fused kernels of CUDA keep it: query, key,
value, result and a float per head, with keys and values not repeated.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from plimsoll.catalog import training as catalog
from plimsoll.core.training import allocated_bytes, component_bytes, memory, phase_lines
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.domain.model import Model
from plimsoll.domain.training import Method, TrainingSetup
from plimsoll.formulas.training import norm_saved_bytes
from plimsoll.parse.config import model_from_config

_SHAPE = {
    "hidden_size": 128, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
    "num_hidden_layers": 4, "vocab_size": 1024, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "intermediate_size": 352, **_SHAPE},
    "qwen3": {"model_type": "qwen3", "intermediate_size": 352, **_SHAPE},
    "qwen3_moe": {
        "model_type": "qwen3_moe", "intermediate_size": 352, "moe_intermediate_size": 64, "num_experts": 16,
        "num_experts_per_tok": 4, "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
        **_SHAPE,
    },
}  # fmt: skip


class _Fused(torch.autograd.Function):
    """Keeps what a fused kernel keeps; its values are not attention's, its bytes are."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        batch, heads, tokens, _ = query.shape
        result = query.new_zeros(batch, tokens, heads, value.shape[-1])
        ctx.save_for_backward(query, key, value, result, torch.zeros(batch, heads, tokens))
        return result

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return tuple(torch.zeros_like(t) for t in ctx.saved_tensors[:3])


def _fused(module: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> tuple[Any, None]:
    return _Fused.apply(query, key, value), None  # type: ignore[no-untyped-call]


class Living(TorchDispatchMode):
    """Bytes of all storages alive, and the most that ever were."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._seen: set[int] = set()
        self.now = self.peak = 0
        for tensor in known:
            self._add(tensor)

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes of one step. `saved` is what the graph keeps at the end of the forward pass; `peak` the most
    alive in the whole step."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    saved: int
    peak: int
    trained_values_count: int


def plain_model(family: str) -> Model:
    """The same model as Plimsoll reads it."""
    return model_from_config(CONFIGS[family], id=family, revision="", where="config.json", kind="file")


def built(
    family: str, *, method: str, targets: list[str] | str, parameters: list[str], rank: int,
    adapter_f32: bool, is_checkpointed: bool,
) -> Any:  # fmt: skip
    """The model with what trains, as Transformers and PEFT build it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

    AttentionInterface.register("plimsoll_fused", _fused)
    values = dict(CONFIGS[family])
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="plimsoll_fused").to(torch.bfloat16)
    if is_checkpointed:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if method in ("lora", "dora"):
        lora = LoraConfig(
            r=rank, target_modules=targets or None, target_parameters=parameters or None,
            use_dora=method == "dora", lora_dropout=0.0,
        )  # fmt: skip
        model = get_peft_model(model, lora, autocast_adapter_dtype=adapter_f32)
    elif method == "router-only":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.endswith("mlp.gate.weight")
    return model.train()


def step(model: Any, *, batch: int, tokens: int, autocasts: bool) -> Measured:
    """Two steps of AdamW; the second is measured, when the optimiser has its moments."""
    ids = torch.zeros((batch, tokens), dtype=torch.long)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    context: Callable[[], Any] = (
        (lambda: torch.autocast("cpu", torch.bfloat16)) if autocasts else contextlib.nullcontext
    )

    def forward() -> Any:
        with context():
            return model(input_ids=ids, labels=ids, use_cache=False).loss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forward().backward()
        optimizer.step()
        gradients = sum(_bytes(p.grad) for p in trained)
        optimizer.zero_grad()
        states = [
            t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t) and t.numel() > 1
        ]
        known = [*model.parameters(), *model.buffers(), *states]
        with Living(known) as living:
            forward().backward()
            optimizer.step()
        optimizer.zero_grad()
        saved = _saved(model, forward)
    base = [p for n, p in model.named_parameters() if "lora_" not in n]
    return Measured(
        weights=sum(map(_bytes, base)),
        adapter=sum(_bytes(p) for n, p in model.named_parameters() if "lora_" in n), gradients=gradients,
        optimizer=sum(map(_bytes, states)), saved=saved, peak=living.peak,
        trained_values_count=sum(p.numel() for p in trained),
    )  # fmt: skip


def _bytes(tensor: Any) -> int:
    return int(tensor.untyped_storage().nbytes())


def _saved(model: Any, forward: Callable[[], Any]) -> int:
    """What the graph keeps: each storage once, without parameters, and buffers."""
    known = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept.setdefault(storage._cdata, storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = forward()
    total = sum(s.nbytes() for s in kept.values())
    del loss
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to train a tiny model."""

    family: str
    method: Method
    targets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    autocasts: bool = False
    adapter_f32: bool = True
    is_checkpointed: bool = False
    rank: int = 8
    batch: int = 2
    tokens: int = 512

    @property
    def name(self) -> str:
        """What tells it from the others."""
        where = ", ".join(t.removeprefix("mlp.") for t in (*self.targets, *self.parameters))
        more = [
            *(["autocast"] if self.autocasts else []),
            *(["checkpointing"] if self.is_checkpointed else []),
        ]
        return " ".join([self.family, self.method, *([where] if where else []), *more])


_PAIRS = ("q_proj", "v_proj")
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_EXPERTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
CASES = (
    *(Case(family=f, method="lora", targets=_PAIRS) for f in CONFIGS),
    *(Case(family=f, method="lora", targets=_PAIRS, autocasts=True) for f in CONFIGS),
    *(
        Case(family=f, method="lora", targets=_ATTENTION, autocasts=True, is_checkpointed=True)
        for f in CONFIGS
    ),
    *(Case(family=f, method="dora", targets=_PAIRS) for f in CONFIGS),
    *(Case(family=f, method="full") for f in CONFIGS),
    *(Case(family=f, method="full", is_checkpointed=True) for f in CONFIGS),
    Case(family="llama", method="lora", targets=("all-linear",)),
    Case(family="qwen3", method="lora", targets=("all-linear",), autocasts=True),
    Case(family="qwen3_moe", method="lora", targets=("q_proj",), parameters=_EXPERTS),
    Case(family="qwen3_moe", method="router-only"),
)  # fmt: skip


def measured(case: Case) -> Measured:
    """What PyTorch holds for the case."""
    targets: list[str] | str = "all-linear" if case.targets == ("all-linear",) else list(case.targets)
    model = built(
        case.family, method=case.method, targets=targets, parameters=list(case.parameters), rank=case.rank,
        adapter_f32=case.adapter_f32, is_checkpointed=case.is_checkpointed,
    )  # fmt: skip
    return step(model, batch=case.batch, tokens=case.tokens, autocasts=case.autocasts)


def predicted(case: Case) -> Measured:
    """What Plimsoll says of it: the same figures, by its own formulas."""
    rule = replace(FRAMEWORKS["peft"], autocasts=case.autocasts, is_fused_optimizer=True)
    setup = TrainingSetup(
        method=case.method, framework=rule, rank=case.rank, targets=(*case.targets, *case.parameters),
        batch=case.batch, sequence_tokens=case.tokens, is_checkpointed=case.is_checkpointed,
    )  # fmt: skip
    model = plain_model(case.family)
    found = attachment(model, case.method, setup.targets, case.rank)
    told = memory(model, setup, found, "gpu0", catalog.load())
    backward = component_bytes(phase_lines(model, setup, found, "gpu0", "backward"))
    loss = phase_lines(model, setup, found, "gpu0", "loss")
    kept = sum(x.size_bytes for x in loss if x.component == "activations")
    # The loss keeps its log-softmax, the last norm the f32 copy of its input.
    end = 4 * model.vocab_size + norm_saved_bytes(model.hidden_dim, 1, 2, case.method == "full")
    return Measured(
        weights=backward["weights"], adapter=backward.get("adapters", 0), gradients=backward["gradients"],
        optimizer=backward["optimizer"], saved=kept + case.batch * case.tokens * end,
        peak=allocated_bytes(told), trained_values_count=found.trained_values_count,
    )  # fmt: skip
