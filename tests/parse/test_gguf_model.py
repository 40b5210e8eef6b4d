"""GGUF metadata and tensors become a Model; expectations are what llama.cpp does with the same keys."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import Model
from plimsoll.errors import MalformedGguf, MissingConfigKey, ReadError, UnsupportedArchitecture
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.config import model_from_config
from plimsoll.parse.gguf import FarArray, GgufHeader, GgufTensor, read_header
from plimsoll.parse.gguf_model import model_from_gguf, shard_names
from tests.parse import gguf_bytes as make

CONVERTED = Path(__file__).parent.parent / "fixtures" / "gguf_converted"


def model(data: bytes, name: str = "m.gguf") -> Model:
    return model_from_gguf([read_header(Buffer(data, name))], id="m")


def bare(
    architecture: str, blocks: int, tensors: dict[str, tuple[int, ...]] | None = None, **keys: Any
) -> Model:
    """A Model from keys (without the architecture's prefix, __ for dots) and PyTorch shapes."""
    base = {
        "block_count": blocks, "context_length": 4096, "embedding_length": 64, "attention.head_count": 4,
        "attention.head_count_kv": 2, "feed_forward_length": 128,
    }  # fmt: skip
    keys = base | {k.replace("__", "."): v for k, v in keys.items()}
    metadata = {f"{architecture}.{k}": v for k, v in keys.items()} | {"general.architecture": architecture}
    shapes = {f"blk.{i}.attn_norm.weight": (64,) for i in range(blocks)} | (tensors or {})
    rows = [GgufTensor(n, s, "f16", tensor_bytes("f16", s), 0) for n, s in shapes.items()]
    header = GgufHeader(
        name="m.gguf",
        version=3,
        metadata=metadata,
        tensors=tuple(rows),
        alignment=32,
        size_bytes=0,
        file_bytes=0,
    )
    return model_from_gguf([header], id="m")


def stored(model_id: str) -> tuple[dict[str, Any], GgufHeader]:
    """Config and header of what upstream's converter made of a real config."""
    path = CONVERTED / f"{model_id.replace('/', '__')}.json.gz"
    found = json.loads(gzip.decompress(path.read_bytes()))
    metadata = {k: tuple(v) if isinstance(v, list) else v for k, (_, v) in found["metadata"].items()}
    rows = [GgufTensor(n, tuple(s), f, tensor_bytes(f, tuple(s)), 0) for n, s, f in found["tensors"]]
    return found["config"], GgufHeader(
        name="m.gguf",
        version=3,
        metadata=metadata,
        tensors=tuple(rows),
        alignment=32,
        size_bytes=0,
        file_bytes=0,
    )


def test_a_small_llama() -> None:
    found = model(make.llama())
    (layer,) = found.layers
    assert (layer.attention, layer.query_heads_count, layer.kv_heads_count, layer.key_dim) == (
        "full",
        4,
        2,
        16,
    )
    assert (found.hidden_dim, found.vocab_size, found.trained_context_tokens) == (64, 8, 512)
    assert (found.weight_format, found.naming, found.has_tied_embeddings) == ("f16", "gguf", False)
    assert found.origins["layers"].where == "m.gguf#llama.block_count"
    assert {t.name: t.role for t in found.tensors} == {
        "token_embd.weight": "embedding", "output_norm.weight": "norm", "output.weight": "output",
        "blk.0.attn_norm.weight": "norm", "blk.0.attn_q.weight": "attention",
        "blk.0.attn_k.weight": "attention",
        "blk.0.attn_v.weight": "attention", "blk.0.attn_output.weight": "attention",
        "blk.0.ffn_norm.weight": "norm", "blk.0.ffn_gate.weight": "ffn", "blk.0.ffn_up.weight": "ffn",
        "blk.0.ffn_down.weight": "ffn",
    }  # fmt: skip


def test_keys_nobody_reads_are_listed() -> None:
    found = model(make.llama(llama__attention__telepathy=3, llama__attention__layer_norm_rms_epsilon=1e-5))
    assert found.unread_keys == ("llama.attention.telepathy",)


# KV-relevant facts from the GGUF against those from the config of the same model.
SAME = (
    "attention", "query_heads_count", "key_dim", "value_dim", "window_tokens", "latent_dim", "rope_dim",
    "query_latent_dim", "indexer_dim", "indexer_heads_count", "shares_kv_with", "has_sinks", "state",
    "experts_count", "active_experts_count", "expert_dim", "shared_expert_dim",
)  # fmt: skip


@pytest.mark.parametrize(
    "model_id",
    [
        "openai/gpt-oss-120b", "Qwen/Qwen3-235B-A22B", "Qwen/Qwen3.5-122B-A10B", "google/gemma-2-27b-it",
        "google/gemma-4-E4B-it", "deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3.2",
        "zai-org/GLM-4.5-Air",
        "LGAI-EXAONE/EXAONE-4.0-32B", "allenai/Olmo-3-32B-Think", "tencent/Hunyuan-A13B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
    ],
)  # fmt: skip
def test_layers_equal_those_of_the_config_that_was_converted(model_id: str) -> None:
    config, header = stored(model_id)
    ours, theirs = model_from_gguf([header], id=model_id), model_from_config(config, id=model_id)
    for field in SAME:
        assert [getattr(x, field) for x in ours.layers] == [getattr(x, field) for x in theirs.layers], field
    assert (ours.hidden_dim, ours.vocab_size) == (theirs.hidden_dim, theirs.vocab_size)
    assert ours.unread_keys == ()


@pytest.mark.parametrize(
    ("model_id", "total", "active"),
    [
        # Counted by transformers 5.23.0 on the meta device: total, and total - experts x (E - k) / E.
        ("openai/gpt-oss-120b", 116_829_156_672, 5_711_982_912),
        ("tencent/Hy3", 295_033_528_320, 20_675_715_072),
    ],
)
def test_parameters_and_active_parameters(model_id: str, total: int, active: int) -> None:
    found = model_from_gguf([stored(model_id)[1]], id=model_id)
    assert parameters_count(found.tensors) == total
    assert active_parameters_count(found.tensors, found.layers) == active


def test_window_patterns_of_the_file_come_before_those_of_the_architecture() -> None:
    assert [x.window_tokens for x in bare("gpt-oss", 4, attention__sliding_window=128).layers] == [
        128,
        None,
    ] * 2
    array = bare(
        "gpt-oss",
        4,
        attention__sliding_window=128,
        attention__sliding_window_pattern=(False, True, True, False),
    )
    assert [x.window_tokens for x in array.layers] == [None, 128, 128, None]
    period = bare("gemma3", 6, attention__sliding_window=512, attention__sliding_window_pattern=3)
    assert [x.attention for x in period.layers] == ["sliding", "sliding", "full"] * 2


def test_a_window_that_llama_cpp_ignores_is_noted_not_used() -> None:
    found = bare("phi3", 2, attention__sliding_window=2048)
    assert [x.window_tokens for x in found.layers] == [None, None]
    assert "2048" in found.notes[0]


def test_llama4_chunks_are_8192_whatever_the_file_says() -> None:
    found = bare("llama4", 4, attention__sliding_window=4096)
    assert [(x.attention, x.window_tokens) for x in found.layers] == [("chunked", 8192)] * 3 + [
        ("full", None)
    ]


def test_layers_without_kv_heads_recur() -> None:
    """State as n_embd_r and n_embd_s: (4 - 1) x (128 + 2 x 1 x 16) and 16 x 128."""
    found = bare(
        "granitehybrid", 2, attention__head_count_kv=(0, 2), ssm__conv_kernel=4, ssm__inner_size=128,
        ssm__state_size=16, ssm__group_count=1, ssm__time_step_rank=8,
    )  # fmt: skip
    first, second = found.layers
    assert (first.attention, second.attention) == ("none", "full")
    assert first.state is not None
    assert (first.state.conv_values_count, first.state.ssm_values_count) == (3 * 160, 2048)
    assert second.state is None


def test_per_expert_tensors_of_old_files_count_as_experts() -> None:
    one = {f"blk.0.ffn_{part}.{i}.weight": (128, 64) for part in ("gate", "up") for i in range(8)}
    one |= {f"blk.0.ffn_down.{i}.weight": (64, 128) for i in range(8)}
    found = bare("llama", 1, one, expert_count=8, expert_used_count=2)
    (layer,) = found.layers
    assert (layer.experts_count, layer.active_experts_count, layer.expert_dim) == (8, 2, 128)
    assert active_parameters_count(found.tensors, found.layers) == 64 + 3 * 2 * 128 * 64


def test_draft_blocks_are_apart() -> None:
    found = bare("glm4moe", 3, {"blk.2.nextn.eh_proj.weight": (64, 128)}, nextn_predict_layers=1)
    assert len(found.layers) == 2
    assert {t.name: t.role for t in found.tensors}["blk.2.attn_norm.weight"] == "mtp"


def test_shard_names() -> None:
    assert shard_names("x.gguf") == ("x.gguf",)
    assert shard_names("x-00002-of-00003.gguf") == tuple(f"x-0000{i}-of-00003.gguf" for i in (1, 2, 3))
    for bad in ("x-00004-of-00003.gguf", "x-00000-of-00003.gguf", "x-00001-of-99999.gguf"):
        with pytest.raises(MalformedGguf):
            shard_names(bad)


def _split(number: int, count: int, name: str, total: int = 2) -> GgufHeader:
    keys = {
        **make.LLAMA,
        "split.no": ("u16", number),
        "split.count": ("u16", count),
        "split.tensors.count": ("i32", total),
    }
    tensors = {"blk.0.attn_norm.weight": (64,)} if number else {"token_embd.weight": (64, 8)}
    return read_header(Buffer(make.model(keys, tensors), name))


def test_shards_are_joined_and_checked() -> None:
    first, second = _split(0, 2, "x-00001-of-00002.gguf"), _split(1, 2, "x-00002-of-00002.gguf")
    assert len(model_from_gguf([first, second], id="x").tensors) == 2
    with pytest.raises(MalformedGguf, match="2 shards, 1 were found"):
        model_from_gguf([first], id="x")
    with pytest.raises(MalformedGguf, match=r"x-00002-of-00002\.gguf#split\.no"):
        model_from_gguf([second, first], id="x")
    with pytest.raises(MalformedGguf, match=r"this is shard 0, not 1"):
        model_from_gguf([first, first], id="x")
    with pytest.raises(MalformedGguf, match="9 tensors are promised"):
        model_from_gguf([_split(0, 2, "a", 9), _split(1, 2, "b", 9)], id="x")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"llama__block_count": 2}, MalformedGguf, "block 1 has no tensors"),
        ({"llama__block_count": 0}, MalformedGguf, "0 blocks"),
        ({"llama__block_count": 2**31}, MalformedGguf, "blocks"),
        ({"llama__embedding_length": 128}, MalformedGguf, "token_embd.weight has the shape"),
        ({"tokenizer__ggml__tokens": ["a"]}, MalformedGguf, "1 tokens, but token_embd.weight has 8 rows"),
        ({"llama__attention__head_count_kv": [1, 2, 3]}, MalformedGguf, "array of 3"),
        ({"llama__attention__head_count_kv": -1.5}, ReadError, "head_count_kv"),
        ({"llama__context_length": "many"}, ReadError, "context_length"),
        ({"llama__rope__freq_base": float("nan")}, ReadError, "freq_base"),
        ({"llama__nextn_predict_layers": 7}, MalformedGguf, "7 draft blocks of 1"),
        ({"general__architecture": "clip"}, UnsupportedArchitecture, "projector"),
        ({"general__architecture": ""}, MissingConfigKey, "general.architecture"),
        ({"general__architecture": "unheard"}, MissingConfigKey, "block_count"),
        ({"general__type": "adapter"}, UnsupportedArchitecture, "adapter"),
        ({"split__count": ("u16", 3)}, MalformedGguf, "3 shards, 1 were found"),
    ],
)  # fmt: skip
def test_contradictions_are_named(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        model(make.llama(**changes))
    assert "m.gguf" in str(caught.value)


def test_a_header_without_tensors_is_no_model() -> None:
    with pytest.raises(MalformedGguf, match="no tensors"):
        model(make.whole(make.header(make.LLAMA), 0))


def test_far_arrays_do_not_reach_the_layers() -> None:
    header = read_header(Buffer(make.llama(llama__attention__head_count=[4] * 3000), "m.gguf"))
    assert isinstance(header.metadata["llama.attention.head_count"], FarArray)
    with pytest.raises(ReadError, match="head_count"):
        model_from_gguf([header], id="m")
