"""What a LoRA can attach to is what Transformers builds."""

from __future__ import annotations

import warnings

import pytest

from plimsoll.ask.models import from_catalog
from plimsoll.catalog import models as catalog
from plimsoll.core.lora_modules import offered
from plimsoll.parse.checkpoint import model_from_checkpoint
from plimsoll.parse.safetensors import StoredTensor

# Not to be built here: remote code, a package that is not installed, configs Transformers refuses.
_NOT_BUILT = (
    "internlm2", "kimi_k2", "kimi_k25", "gemma3n", "qwen4_exp", "mimo", "deepseek", "bailing_moe",
    "nemotron-nas", "step3p5", "llama4",
)  # fmt: skip


# A silent q_lora_rank: the class compresses the queries, the files do not.
_DEFAULT_CONTRADICTS_FILES = ("ai-sage/", "deepseek-ai/DeepSeek-V2-Lite")


def _one_of_each() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in catalog.find_all():
        if name.startswith(_DEFAULT_CONTRADICTS_FILES):
            continue
        found.setdefault(str(catalog.find(name).config.get("model_type")), name)
    return {kind: name for kind, name in found.items() if kind not in _NOT_BUILT}


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("kind", _one_of_each())
def test_linear_layers_embeddings_and_parameters_are_those_of_transformers(kind: str) -> None:
    torch = pytest.importorskip("torch")
    from transformers.pytorch_utils import Conv1D

    from tests.parse.transformers_oracle import build

    name = _one_of_each()[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(dict(catalog.find(name).config))
    found = offered(from_catalog(name))
    linears = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)}
    embeddings = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Embedding)}
    assert set(found.linears) == linears
    assert {n for n in found.embeddings if n in embeddings} == set(found.embeddings)
    assert set(found.parameters) == {n for n, _ in model.named_parameters()}
    turned = {getattr(m, "is_transposed", False) for n, m in model.named_modules() if n.endswith(".experts")}
    assert found.has_transposed_experts == (turned == {True})


def test_experts_stored_one_by_one_are_the_stacked_ones() -> None:
    built = from_catalog("Qwen3-30B-A3B")
    rows, at = [], 8
    for tensor in built.tensors:
        parts: list[tuple[str, tuple[int, ...]]] = [(tensor.name, tensor.shape)]
        if tensor.role == "expert":
            box, _, leaf = tensor.name.rpartition(".")
            count, out, width = tensor.shape
            leaves = ("gate_proj", "up_proj") if leaf == "gate_up_proj" else ("down_proj",)
            parts = [
                (f"{box}.{n}.{x}.weight", (out // len(leaves), width)) for n in range(count) for x in leaves
            ]
        for name, shape in parts:
            size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            rows.append(StoredTensor(name, shape, "bf16", size, at))
            at += size
    stored = model_from_checkpoint(catalog.find("Qwen3-30B-A3B").config, rows, id="stored")
    assert offered(stored).linears == offered(built).linears
    assert offered(stored).parameters == offered(built).parameters
