"""Transformers: caches and states equal to what its own DynamicCache holds; refusals; replay."""

from __future__ import annotations

from typing import Any

import pytest

from plimsoll.core.replay import replay
from plimsoll.domain.deployment import Deployment, Runtime, Workload
from plimsoll.domain.machine import Machine
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.transformers.memory import lines as transformers_lines
from plimsoll.runtimes.transformers.memory import problems
from tests.runtimes.deployments import deployment, lines, size

CONTEXT = 40
BASE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 128, "max_position_embeddings": 128,
    "dtype": "float32", "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LATENT = {
    **{k: v for k, v in BASE.items() if k != "head_dim"}, "num_key_value_heads": 4, "q_lora_rank": 24,
    "kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1, "n_shared_experts": 1,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": BASE,
    "qwen3": BASE,
    "gemma3_text": {
        **BASE, "sliding_window": 16, "query_pre_attn_scalar": 16,
        "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
    },
    "gpt_oss": {
        **BASE, "sliding_window": 16, "num_local_experts": 4, "num_experts_per_tok": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "deepseek_v3": LATENT,
    "deepseek_v32": {**LATENT, "index_n_heads": 4, "index_head_dim": 16, "index_topk": 8},
    "qwen3_next": {
        **BASE, "layer_types": ["linear_attention"] * 3 + ["full_attention"], "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32, "decoder_sparse_step": 1,
    },
    "granitemoehybrid": {
        **{k: v for k, v in BASE.items() if k != "head_dim"},
        "layer_types": ["mamba", "mamba", "attention", "mamba"], "num_local_experts": 4,
        "num_experts_per_tok": 2, "shared_intermediate_size": 32, "mamba_n_heads": 8,
        "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_expand": 2,
    },
    "falcon_h1": {
        **BASE, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1,
        "mamba_d_conv": 4, "mamba_expand": 2, "mamba_d_ssm": 128,
    },
    "gemma3n_text": {
        **BASE, "sliding_window": 16, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 128,
        "hidden_size_per_layer_input": 16, "laurel_rank": 8, "activation_sparsity_pattern": [0.0] * 4,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    },
    "lfm2": {**BASE, "layer_types": ["conv", "conv", "full_attention", "conv"], "conv_L_cache": 3},
}  # fmt: skip


def _cached_bytes(model_type: str) -> tuple[int, int]:
    """(keys and values, states) of the cache after a prompt and one more token, asked of the engine."""
    torch = pytest.importorskip("torch")
    engine = pytest.importorskip("transformers")
    config = engine.AutoConfig.for_model(model_type, **CONFIGS[model_type])
    model = engine.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        first = model(torch.arange(3, CONTEXT + 2)[None] % 100 + 3, use_cache=True)
        after = model(torch.tensor([[5]]), past_key_values=first.past_key_values, use_cache=True)
    kv = states = 0
    for layer in after.past_key_values.layers:
        for name in ("keys", "values", "indexer_keys"):
            kept = getattr(layer, name, None)
            kv += kept.numel() * kept.element_size() if kept is not None else 0
        for name in ("conv_states", "recurrent_states"):
            states += _sizes(getattr(layer, name, None))
    return kv, states


def _sizes(kept: Any) -> int:
    if kept is None:
        return 0
    if isinstance(kept, (list, tuple)):
        return sum(_sizes(part) for part in kept)
    if isinstance(kept, dict):
        return sum(_sizes(part) for part in kept.values())
    return int(kept.numel() * kept.element_size())


@pytest.mark.oracle
@pytest.mark.parametrize("model_type", sorted(CONFIGS))
def test_the_cache_has_the_bytes_that_the_engine_holds(model_type: str) -> None:
    model = model_from_config({"model_type": model_type, **CONFIGS[model_type]}, id=model_type)
    wanted = Deployment(
        model=model, machine=Machine(name="cpu", devices=()), runtime=Runtime(id="transformers"),
        workload=Workload(context_tokens=CONTEXT), kv_format_k="f32", kv_format_v="f32",
    )  # fmt: skip
    found = {
        part: sum(x.size_bytes for x in transformers_lines(wanted) if x.component == part)
        for part in ("kv", "state")
    }
    assert (found["kv"], found["state"]) == _cached_bytes(model_type)


def _peak_bytes(model: Any, tokens: int) -> int:
    """The most bytes of tensors alive at once in one pass, traced operator by operator."""
    import weakref

    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    class Tracer(TorchDispatchMode):  # type: ignore[misc]
        live = peak = 0

        def __init__(self) -> None:
            super().__init__()
            self.known: dict[int, tuple[int, Any]] = {}

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            for made in torch.utils._pytree.tree_flatten(result)[0]:
                if isinstance(made, torch.Tensor):
                    self.add(made.untyped_storage())
            return result

        def add(self, storage: Any) -> None:
            key = storage._cdata
            if key not in self.known:
                self.known[key] = (storage.nbytes(), weakref.ref(storage, lambda _: self.drop(key)))
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)

        def drop(self, key: int) -> None:
            self.live -= self.known.pop(key, (0, None))[0]

    with torch.no_grad(), Tracer() as tracer:
        model(torch.randint(3, 100, (1, tokens)), use_cache=True, logits_to_keep=1)
    return int(tracer.peak)


WIDE = {**BASE, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 8, "head_dim": 32}
WIDE |= {"max_position_embeddings": 4096}


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("model_type", "more"),
    [
        ("llama", {}),
        ("qwen3_moe", {"num_experts": 8, "num_experts_per_tok": 4, "moe_intermediate_size": 128}),
        ("gemma3_text", {"sliding_window": 64, "query_pre_attn_scalar": 32}),
        ("gemma2", {"sliding_window": 64, "query_pre_attn_scalar": 32}),
        ("gpt_oss", {"sliding_window": 64, "num_local_experts": 4, "num_experts_per_tok": 2}),
    ],
)
def test_activations_lie_within_their_bounds(model_type: str, more: dict[str, Any]) -> None:
    engine = pytest.importorskip("transformers")
    config = {**WIDE, **more}
    model = engine.AutoModelForCausalLM.from_config(engine.AutoConfig.for_model(model_type, **config)).eval()
    described = model_from_config({"model_type": model_type, **config}, id=model_type)

    def added(tokens: int) -> list[int]:
        wanted = Deployment(
            model=described, machine=Machine(name="cpu", devices=()), runtime=Runtime(id="transformers"),
            workload=Workload(context_tokens=tokens), kv_format_k="f32", kv_format_v="f32",
        )  # fmt: skip
        found = [
            x
            for x in transformers_lines(wanted)
            if x.component in ("kv", "compute") and x.label != "growing the cache"
        ]
        return [sum(getattr(x, name) for x in found) for name in ("low_bytes", "high_bytes")]

    # The difference of two lengths: weights and what does not grow cancel out.
    seen = _peak_bytes(model, 1024) - _peak_bytes(model, 512)
    low, high = (b - a for a, b in zip(added(512), added(1024), strict=True))
    assert low <= seen <= high


def test_a_sliding_layer_keeps_its_window_less_one() -> None:
    # gpt-oss-20b: 8 KV heads x 64 x 2 values per layer; 12 of 24 layers slide over 128 tokens.
    wanted = deployment("transformers", "gpt-oss-20b", "h100-sxm", context_tokens=8192)
    assert size(wanted, "kv") == 12 * (8192 + 127) * 1024 * 2


def test_device_map_auto_balances_the_layers() -> None:
    wanted = deployment("transformers", "llama 3.3 70b instruct", "4x h100-sxm", split="layer")
    held = [size(wanted, "weights", f"gpu{n}") for n in range(4)]
    assert sum(held) == size(deployment("transformers", "llama 3.3 70b instruct", "h100-sxm"), "weights")
    assert max(held) < 1.15 * min(held)


def test_a_prompt_in_pieces_needs_less() -> None:
    whole = deployment("transformers", "qwen3-30b-a3b", "h100-sxm", context_tokens=32768)
    pieces = deployment(
        "transformers", "qwen3-30b-a3b", "h100-sxm", context_tokens=32768, prefill_chunk_size=2048
    )
    assert size(pieces, "compute") < size(whole, "compute") / 4


def test_four_bits_unpack_one_matrix_at_a_time() -> None:
    wanted = deployment("transformers", "qwen3-8b", "rtx-4090", weights="bnb_nf4")
    (line,) = [x for x in lines(wanted, "compute") if "unpacked" in x.label]
    assert line.size_bytes == 12288 * 4096 * 2


def test_what_transformers_cannot_run_is_refused() -> None:
    assert problems(deployment("transformers", "qwen3-8b", "2x rtx-4090", split="tensor"))
    assert problems(deployment("transformers", "qwen3-8b", "rtx-4090", kv="q8"))


def test_every_line_can_be_computed_again() -> None:
    for line in lines(
        deployment("transformers", "qwen3-8b", "2x rtx-4090", weights="bnb_nf4", split="layer")
    ):
        assert replay(line) == (line.size_bytes, line.low_bytes, line.high_bytes)
