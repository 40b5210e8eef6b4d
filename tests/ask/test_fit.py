"""The fit question end to end, on the shipped catalog, without the network."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plimsoll.ask.fit import FitQuestion, fit
from plimsoll.core.replay import replay
from plimsoll.domain.answer import Answer, plain
from plimsoll.domain.bill import Interval, Line
from plimsoll.domain.origin import Origin
from plimsoll.errors import AmbiguousName, BadSetting, UnknownDevice, UnknownModel, UnknownRuntime

ORDER = {"fits": 0, "tight": 0, "offload": 1, "does_not_fit": 2}


def ask(model: str = "qwen3-30b-a3b", on: str = "rtx-3090 + 128GiB ram", **changes: object) -> Answer:
    return fit(FitQuestion(models=(model,), on=on, offline=True, **changes))  # type: ignore[arg-type]


def test_the_first_example_of_the_readme_fits() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", context_tokens=131072)
    assert answer.verdict == "fits"
    assert answer.model[0].parameters_count == 116_829_156_672
    assert answer.model[0].active_parameters_count == 5_711_982_912
    assert answer.model[0].weight_format == "mxfp4"
    assert answer.max_context_tokens == 131072


def test_what_the_chat_assistant_said_about_the_cache_is_not_so() -> None:
    """ "128k of context costs 25-35 GB": Qwen3-30B-A3B keeps 98,304 bytes per token, 12 GiB at 131,072."""
    answer = ask(on="rtx-pro-6000", runtime="llama.cpp", weights="bf16", context_tokens=131072)
    kv = [line for line in answer.bill.lines if line.component == "kv"]
    assert sum(line.size_bytes for line in kv) == 131072 * 98_304 == 12 * 2**30


def test_several_models_share_one_machine() -> None:
    question = FitQuestion(models=("qwen3-30b-a3b",) * 2, on="rtx-pro-6000", weights="bf16", offline=True)
    answer = fit(question)
    ids = {line.model for line in answer.bill.lines if line.model}
    assert ids == {"Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B #2"}
    assert answer.verdict == "does_not_fit"
    assert any(remedy.flags == "--weights fp8" for remedy in answer.remedies)


def test_experts_go_to_host_memory_and_the_flags_say_how_many() -> None:
    answer = ask("qwen3-235b-a22b", "rtx-pro-6000 + 192GiB ram", weights="q4_k_m")
    assert answer.verdict == "offload"
    assert answer.placement[0].startswith("--n-cpu-moe ")
    count = int(answer.placement[0].split()[1])
    again = ask(
        "qwen3-235b-a22b", "rtx-pro-6000 + 192GiB ram", weights="q4_k_m", cpu_expert_layers_count=count
    )
    assert again.verdict == "offload"
    assert again.headroom_bytes == answer.headroom_bytes


def test_every_remedy_is_true() -> None:
    answer = ask("llama-3.3-70b", "rtx-3090", weights="q8_0", context_tokens=32768)
    by_flag = {r.flags.split()[0]: r for r in answer.remedies}
    more = by_flag["--on"]
    again = ask("llama-3.3-70b", more.flags.split('"')[1], weights="q8_0", context_tokens=32768)
    assert again.verdict == more.verdict
    assert again.headroom_bytes == more.headroom_bytes


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "Qwen3-72B"}, UnknownModel),
        ({"model": "Qwen3-110B"}, UnknownModel),
        ({"model": "no-such-thing"}, UnknownModel),
        ({"on": "rtx 6000"}, AmbiguousName),
        ({"on": "rtx 9999"}, UnknownDevice),
        ({"runtime": "vlm"}, UnknownRuntime),
        ({"runtime": "vllm", "kv": "q8_0"}, BadSetting),
        ({"runtime": "llama.cpp", "weights": "q4_k_x"}, BadSetting),
        ({"settings": {"no_such_setting": 1}}, BadSetting),
    ],
    ids=str,
)
def test_bad_questions_are_typed_errors(changes: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(**changes)  # type: ignore[arg-type]


def test_models_that_do_not_exist_name_the_nearest() -> None:
    with pytest.raises(UnknownModel) as caught:
        ask("Qwen3-72B")
    assert "Qwen/Qwen2.5-72B-Instruct" in caught.value.nearest


MODELS = [
    "gpt-oss-20b",
    "qwen3-30b-a3b",
    "gemma-3-27b",
    "llama-3.1-8b",
    "qwen3-next-80b-a3b-instruct",
    "deepseek-v3",
]
RUNTIMES = ["llama.cpp", "vllm", "sglang", "transformers", "exllama"]
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(
    st.sampled_from(MODELS), st.sampled_from(RUNTIMES),
    st.sampled_from(["rtx-3090", "2x rtx-4090", "rtx-pro-6000"]), st.integers(1, 131072), st.integers(1, 9),
)  # fmt: skip
def test_lines_add_up_and_replay_after_json(
    model: str, runtime: str, on: str, context_tokens: int, sequences: int
) -> None:
    answer = ask(
        model, on, runtime=runtime, context_tokens=context_tokens, parallel_sequences_count=sequences
    )
    for total in answer.bill.devices:
        here = [line for line in answer.bill.lines if line.device == total.id]
        assert total.used_bytes == sum(line.size_bytes for line in here)
    bodies = json.loads(json.dumps(plain(answer)))["bill"]["lines"]
    for body, line in zip(bodies, answer.bill.lines, strict=True):
        body["origins"] = tuple(Origin(**origin) for origin in body["origins"])
        again = replay(Line(**body))
        assert again == replay(line) == Interval(line.size_bytes, line.low_bytes, line.high_bytes), line.label


@quick
@given(
    st.sampled_from(MODELS), st.sampled_from(RUNTIMES), st.integers(1, 65536), st.integers(0, 65536),
    st.integers(1, 4), st.integers(0, 4),
)  # fmt: skip
def test_more_context_or_sequences_never_need_less(
    model: str, runtime: str, context: int, more: int, sequences: int, others: int
) -> None:
    small = ask(
        model, "rtx-pro-6000", runtime=runtime, context_tokens=context, parallel_sequences_count=sequences
    )
    large = ask(
        model, "rtx-pro-6000", runtime=runtime, context_tokens=context + more,
        parallel_sequences_count=sequences + others,
    )  # fmt: skip

    def need(answer: Answer) -> int:
        parts = ("weights", "kv", "state")
        return sum(x.size_bytes for x in answer.bill.lines if x.component in parts)

    if "offload" not in (small.verdict, large.verdict):
        assert need(small) <= need(large)
    assert ORDER[small.verdict] <= ORDER[large.verdict]


@pytest.mark.parametrize("model", MODELS)
def test_fewer_bits_never_need_more(model: str) -> None:
    sizes = []
    for weights in ("bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"):
        answer = ask(model, "h200 + 2TiB ram", runtime="llama.cpp", weights=weights, gpu_layers_count=0)
        sizes.append(sum(x.size_bytes for x in answer.bill.lines if x.component == "weights"))
    assert sizes == sorted(sizes, reverse=True)


def test_the_longest_context_is_the_last_that_fits() -> None:
    question = FitQuestion(
        models=("llama-3.1-8b",), on="rtx-3090", runtime="llama.cpp", weights="f16", offline=True
    )
    answer = fit(question)
    assert answer.max_context_tokens is not None
    assert answer.max_context_tokens < 131072
    at = fit(replace(question, context_tokens=answer.max_context_tokens))
    beyond = fit(replace(question, context_tokens=answer.max_context_tokens + 256))
    assert at.verdict in ("fits", "tight")
    assert beyond.verdict == "offload"


def test_unknown_host_memory_is_unknown() -> None:
    answer = ask("qwen3-30b-a3b", "epyc-9554", weights="q4_k_m")
    assert answer.verdict == "unknown"
    assert answer.exit_code == 3
    assert "not told" in answer.unknowns[0]
