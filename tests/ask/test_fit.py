"""The fit question end to end, on the shipped catalog, without the network."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plimsoll.ask.fit import FitQuestion, fit, named_runtime
from plimsoll.core.replay import replay
from plimsoll.domain.answer import Answer, plain
from plimsoll.domain.bill import Interval, Line
from plimsoll.domain.origin import Origin
from plimsoll.errors import AmbiguousName, BadSetting, UnknownDevice, UnknownModel, UnknownRuntime, UsageError

ORDER = {"fits": 0, "tight": 0, "offload": 1, "unknown": 1, "does_not_fit": 2}


def ask(model: str = "qwen3-30b-a3b", on: str = "rtx-3090 + 128GiB ram", **changes: object) -> Answer:
    return fit(FitQuestion(models=(model,), on=on, offline=True, **changes))  # type: ignore[arg-type]


def test_the_first_example_of_the_readme_fits() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", context_tokens=131072)
    assert answer.verdict == "fits"
    assert answer.model[0].parameters_count == 116_829_156_672
    assert answer.model[0].active_parameters_count == 5_711_982_912
    assert answer.model[0].weight_format == "mxfp4"
    assert answer.max_context_tokens == 131072


@pytest.mark.parametrize("runtime", ["llama.cpp", "vllm", "sglang", "transformers", "exllama"])
def test_every_line_and_every_size_of_a_device_names_its_origin(runtime: str) -> None:
    answer = ask("gpt-oss-20b", "rtx-pro-6000 + 64GiB ram", runtime=runtime)
    assert all(line.origins for line in answer.bill.lines)
    assert all(total.origins for total in answer.bill.devices)


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
        ({"runtime": "vllm==banana"}, BadSetting),
        ({"runtime": "==5"}, BadSetting),
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

    if {small.verdict, large.verdict} <= {"fits", "tight"}:
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
        models=("llama-3.1-8b",),
        on="rtx-3090 + 64GiB ram",
        runtime="llama.cpp",
        weights="f16",
        offline=True,
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


@pytest.mark.parametrize(
    ("runtime", "name", "value"),
    [
        ("vllm", "gpu_memory_utilization", "lots"),
        ("vllm", "gpu_memory_utilization", float("nan")),
        ("vllm", "gpu_memory_utilization", 5),
        ("vllm", "max_num_seqs", True),
        ("vllm", "max_num_seqs", 1.5),
        ("vllm", "enforce_eager", 3),
        ("vllm", "kv_cache_memory_bytes", "4zB"),
        ("sglang", "page_size", 0),
        ("tensorrt-llm", "tokens_per_block", 0),
        ("exllama", "reserve_gib", -1),
    ],
)
def test_settings_of_a_wrong_kind_or_range_are_refused(runtime: str, name: str, value: object) -> None:
    with pytest.raises(BadSetting, match=name if value != "4zB" else "4zB"):
        ask("llama-3.1-8b", runtime=runtime, settings={name: value})


def test_sizes_may_be_written_as_sizes() -> None:
    said = ask("llama-3.1-8b", runtime="vllm", settings={"kv_cache_memory_bytes": "4GiB"})
    meant = ask("llama-3.1-8b", runtime="vllm", settings={"kv_cache_memory_bytes": 4 * 2**30})
    assert said.bill == meant.bill


@pytest.mark.parametrize("changes", [{"gpu_layers_count": 3}, {"cpu_expert_layers_count": 3}])
def test_an_offload_is_llama_cpps(changes: dict[str, int]) -> None:
    with pytest.raises(BadSetting, match="llama"):
        ask(runtime="vllm", **changes)
    assert ask(**changes).model[0].runtime == "llama_cpp"


@pytest.mark.parametrize(
    "changes",
    [{"gpu_layers_count": 9999}, {"cpu_expert_layers_count": 5}, {"overrides": (("no such tensor", "CPU"),)}],
    ids=str,
)
def test_an_offload_that_moves_nothing_is_none(changes: dict[str, object]) -> None:
    answer = ask("llama-3.1-8b", weights="q8_0", **changes)
    assert answer.verdict == "fits"
    assert any(note.endswith("changes nothing") for note in answer.notes)


def test_an_offload_that_is_not_needed_says_so() -> None:
    answer = ask("llama-3.1-8b", weights="q8_0", gpu_layers_count=10)
    assert (answer.verdict, answer.remedies) == ("offload", ())
    assert any("everything fits on the devices" in note for note in answer.notes)


def test_an_offload_into_memory_nobody_told_is_unknown_and_says_how_much_it_takes() -> None:
    answer = ask("qwen3-30b-a3b", "rtx-3090", weights="q8_0")
    assert (answer.verdict, answer.exit_code) == ("unknown", 3)
    ram = next(r for r in answer.remedies if r.flags.startswith("--ram "))
    told = ask("qwen3-30b-a3b", f"rtx-3090 + {ram.flags.split()[1]} ram", weights="q8_0")
    assert (told.verdict, told.headroom_bytes) == (ram.verdict, ram.headroom_bytes)


def test_split_none_is_one_card() -> None:
    answer = ask("llama-3.1-8b", "2x rtx-3090", runtime="vllm", split="none")
    alone = ask("llama-3.1-8b", "rtx-3090", runtime="vllm")
    assert answer.bill.devices[0].used_bytes == alone.bill.devices[0].used_bytes


@pytest.mark.parametrize(("runtime", "split"), [("llama.cpp", "tensor"), ("vllm", "expert")])
def test_a_split_that_cannot_be_is_refused(runtime: str, split: str) -> None:
    with pytest.raises(BadSetting, match="split"):
        ask("llama-3.1-8b", "2x rtx-3090", runtime=runtime, split=split)


def test_the_chosen_split_is_told() -> None:
    answer = ask("llama-3.1-8b", "3x rtx-3090", runtime="vllm")
    assert any("split over 3 devices: pipeline" in note for note in answer.notes)


def test_more_cards_are_added_to_what_is_there() -> None:
    answer = ask("llama-3.3-70b", "rtx-5090 + rtx-3060 + 64GiB ram", weights="q4_k_m", context_tokens=65536)
    more = next(r for r in answer.remedies if r.flags.startswith("--on"))
    machine = more.flags.split('"')[1]
    assert machine == "2x rtx-5090 + rtx-3060-12gb + 64GiB ram"
    again = ask("llama-3.3-70b", machine, weights="q4_k_m", context_tokens=65536)
    assert (again.verdict, again.headroom_bytes) == (more.verdict, more.headroom_bytes)


def test_two_changes_where_one_is_not_enough() -> None:
    answer = ask("llama-3.3-70b", "macbook-pro-m4-max-48gb")
    assert answer.remedies[0].flags == "--weights mlx-4bit --vram-free 44032MiB"


def test_a_remedy_that_keeps_weights_in_ram_says_so() -> None:
    answer = ask(on="rtx-3090 + 64GiB ram", weights="bf16", runtime="vllm")
    other = next(r for r in answer.remedies if r.flags.startswith("--runtime llama.cpp"))
    assert other.verdict == "offload"


def test_an_offload_is_found_where_host_memory_holds_only_a_part() -> None:
    """9.3 GiB go to 15 GiB of host memory; all the experts (28 GiB) would not."""
    answer = ask("qwen3-30b-a3b", "rtx-3090 + 15GiB ram", weights="q8_0")
    assert answer.verdict == "offload"
    assert ask("qwen3-30b-a3b", "rtx-3090 + 8GiB ram", weights="q8_0").verdict == "does_not_fit"


@pytest.mark.parametrize(
    ("settings", "context", "sequences"),
    [({"kv_cache_memory_bytes": 4 * 2**30}, 32768, 4), ({"num_gpu_blocks_override": 1024}, 16384, 2)],
)
def test_a_told_kv_pool_of_vllm_is_the_limit(settings: dict[str, int], context: int, sequences: int) -> None:
    """Llama 3.1 8B keeps 128 KiB per token, 16 tokens in a block."""
    answer = ask("llama-3.1-8b", "rtx-3090", runtime="vllm", settings=settings)
    assert (answer.verdict, answer.max_context_tokens) == ("fits", context)
    assert answer.max_parallel_sequences == sequences
    more = ask(
        "llama-3.1-8b", "rtx-3090", runtime="vllm", settings=settings, parallel_sequences_count=sequences + 1
    )
    assert more.verdict == "does_not_fit"


def test_sequences_beyond_max_num_seqs_wait() -> None:
    answer = ask(
        "llama-3.1-8b", "rtx-3090", runtime="vllm", settings={"max_num_seqs": 2}, parallel_sequences_count=3
    )
    assert answer.verdict == "does_not_fit"
    assert "max_num_seqs=2" in answer.reason


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"runtime": "vlm"}, "did you mean vllm? one of llama.cpp, vllm,"),
        ({"runtime": "vllm", "weights": "awk"}, "did you mean awq? --weights bf16|"),
        ({"runtime": "llama.cpp", "kv": "q80"}, "did you mean q8_0"),
        ({"runtime": "vllm", "settings": {"max_num_seq": 8}}, "did you mean max_num_seqs"),
    ],
)
def test_a_misspelt_word_names_the_nearest(changes: dict[str, object], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        fit(FitQuestion(models=("qwen3-30b-a3b",), on="rtx-pro-6000", **changes))  # type: ignore[arg-type]
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("runtime", ["sglang", "vllm", "mlx", "tensorrt-llm", "exllama", "transformers"])
def test_a_split_over_no_card_is_an_answer(runtime: str) -> None:
    for split in ("none", "layer", "pipeline", "tensor"):
        with contextlib.suppress(BadSetting):  # a split that the runtime does not have
            on = "epyc-9554-12ch-ddr5-4800 + 128GiB ram"
            answer = fit(FitQuestion(models=("qwen3-30b-a3b",), on=on, runtime=runtime, split=split))
            assert answer.verdict in ("does_not_fit", "unknown", "fits")
            assert answer.verdict == "fits" or answer.reason


@pytest.mark.parametrize("version", ["0.1x", "0.33.", "0,33", "nightly"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BadSetting, match="is not a version of vllm"):
        named_runtime(f"vllm=={version}")


@pytest.mark.parametrize(
    "version", ["0.33", "v0.11.0", "0.11.0rc1", "0.5.2.post3", "0.33.1rc0.dev5+g1a2b", "25.10-py3", "2026-05"]
)
def test_versions_as_releases_write_them_are_read(version: str) -> None:
    assert named_runtime(f"vllm=={version}") == ("vllm", version)
