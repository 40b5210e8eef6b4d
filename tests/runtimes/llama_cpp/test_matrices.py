"""Tables read from checkpoints give the same GGUF as tables built from the config."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from plimsoll.domain.model import Model
from plimsoll.parse.checkpoint import model_from_checkpoint
from plimsoll.parse.config import model_from_config
from plimsoll.parse.safetensors import StoredTensor
from plimsoll.runtimes.llama_cpp.matrices import whole_matrices
from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors
from tests.ghost.stored import converted
from tests.ghost.upstream import checkpoint

SAVED_DIFFERENTLY = (
    "Qwen/Qwen3-30B-A3B", "mistralai/Mixtral-8x7B-v0.1", "deepseek-ai/DeepSeek-V2-Lite",
    "MiniMaxAI/MiniMax-M2.5", "ibm-granite/granite-4.0-h-tiny", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "openai/gpt-oss-20b", "LiquidAI/LFM2-8B-A1B", "microsoft/Phi-3.5-MoE-instruct",
    "baidu/ERNIE-4.5-21B-A3B-PT", "tencent/Hunyuan-A13B-Instruct", "google/gemma-4-26B-A4B",
)  # fmt: skip


def stored(name: str, shape: tuple[int, ...], kind: str = "bf16", size: int = 2) -> StoredTensor:
    return StoredTensor(name, shape, kind, size * math.prod(shape), 0)


def without_drafts(model: Model) -> dict[str, tuple[tuple[int, ...], str]]:
    return {t.name: (t.shape, t.format) for t in gguf_tensors(model) if t.role != "mtp"}


@pytest.mark.oracle
@pytest.mark.parametrize("model_id", SAVED_DIFFERENTLY)
def test_a_checkpoint_gives_the_gguf_of_its_config(model_id: str) -> None:
    config = {k: v for k, v in converted(model_id)["config"].items() if k != "quantization_config"}
    read = model_from_checkpoint(config, [stored(n, s) for n, s in checkpoint(config)], id=model_id)
    assert without_drafts(read) == without_drafts(model_from_config(config, id=model_id))


def test_separate_experts_become_one_stack() -> None:
    config = converted("Qwen/Qwen3-30B-A3B")["config"]
    model = model_from_config(config, id="x")
    rows = []
    for tensor in model.tensors:
        base, _, kind = tensor.name.rpartition(".")
        if kind not in ("gate_up_proj", "down_proj"):
            rows.append(stored(tensor.name, tensor.shape))
            continue
        experts, out, inside = tensor.shape
        for i in range(experts):
            if kind == "down_proj":
                rows.append(stored(f"{base}.{i}.down_proj.weight", (out, inside)))
            else:
                rows.append(stored(f"{base}.{i}.gate_proj.weight", (out // 2, inside)))
                rows.append(stored(f"{base}.{i}.up_proj.weight", (out // 2, inside)))
    assert without_drafts(model_from_checkpoint(config, rows, id="x")) == without_drafts(model)


def test_packed_experts_of_gpt_oss_are_stacks_in_mxfp4() -> None:
    config = converted("openai/gpt-oss-20b")["config"]
    model = model_from_config(config, id="x")
    rows = []
    for tensor in model.tensors:
        if tensor.name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, inside, outside = tensor.shape
            rows.append(stored(f"{tensor.name}_blocks", (experts, outside, inside // 32, 16), "u8", 1))
            rows.append(stored(f"{tensor.name}_scales", (experts, outside, inside // 32), "u8", 1))
        else:
            rows.append(stored(tensor.name, tensor.shape))
    assert without_drafts(model_from_checkpoint(config, rows, id="x")) == without_drafts(model)


def test_scales_are_left_out() -> None:
    config = converted("Qwen/Qwen3-0.6B")["config"]
    model = model_from_config(config, id="x")
    first = next(tensor for tensor in model.tensors if tensor.name.endswith("q_proj.weight"))
    scale = replace(first, name=f"{first.name}_scale_inv", shape=(16, 8), is_buffer=True)
    with_scale = replace(model, tensors=(*model.tensors, scale))
    assert [t.name for t in whole_matrices(with_scale)] == [t.name for t in whole_matrices(model)]
