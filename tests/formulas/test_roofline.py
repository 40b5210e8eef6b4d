import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.ask.models import from_catalog
from plimsoll.formulas.prefill import chunks_count, prompt_attention_flops
from plimsoll.formulas.roofline import distinct_share, model_work
from plimsoll.runtimes.llama_cpp.weights import tensor_table


def test_one_token_touches_its_active_experts() -> None:
    assert distinct_share(128, 8, 1) == pytest.approx(8 / 128)


@given(st.integers(2, 512), st.integers(1, 16), st.integers(1, 4096))
def test_more_tokens_never_touch_fewer_experts(experts: int, active: int, tokens: int) -> None:
    active = min(active, experts)
    one, more = distinct_share(experts, active, tokens), distinct_share(experts, active, tokens + 1)
    assert 0 < one <= more <= 1


def test_the_work_of_a_mixture_is_its_published_active_parameters() -> None:
    model = from_catalog("Qwen/Qwen3-30B-A3B")
    work = model_work(model, tensor_table(model, "q4_k_m"))
    routed = sum(g.values_count * g.active_experts_count // g.experts_count for g in work.experts)
    embedding = model.vocab_size * model.hidden_dim
    # 3.3 B active (Qwen3's README); the input embedding is looked up, not multiplied.
    active = work.block_values_count + work.output_values_count + routed + embedding
    assert active == pytest.approx(3.35e9, rel=0.02)
    assert work.format_family == "q4_k"


def test_a_tied_embedding_is_read_as_the_output_but_tables_per_layer_are_not() -> None:
    model = from_catalog("google/gemma-4-E2B-it")
    work = model_work(model, model.tensors)
    assert work.output_bytes == 262_144 * 1536 * 2
    assert work.weights_bytes < 6 * 10**9  # 4.7 GB of tables per layer stay unread


def test_a_stated_file_size_scales_what_is_read() -> None:
    model = from_catalog("meta-llama/Llama-3.1-8B")
    table = tensor_table(model, "q4_k_m")
    size = sum(t.size_bytes for t in table)
    plain, doubled = model_work(model, table), model_work(model, table, file_bytes=2 * size)
    assert doubled.block_bytes == pytest.approx(2 * plain.block_bytes, rel=1e-6)
    assert doubled.block_values_count == plain.block_values_count


def test_attention_of_a_prompt_is_the_sum_over_its_tokens() -> None:
    from plimsoll.formulas.decode import attention_flops

    layers = from_catalog("openai/gpt-oss-20b").layers
    summed = sum(attention_flops(layers, 100 + i) for i in range(1, 401))
    assert prompt_attention_flops(layers, 100, 400) == pytest.approx(summed, rel=0.01)


def test_chunks_cover_the_prompt() -> None:
    assert (chunks_count(512, 512), chunks_count(513, 512), chunks_count(1, 2048)) == (1, 2, 1)
