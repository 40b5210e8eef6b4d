"""Training memory: equal to what PEFT published, and never smaller for more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.ask import models
from plimsoll.catalog import training as catalog
from plimsoll.core.replay import replay
from plimsoll.core.training import allocated_bytes, component_bytes, memory
from plimsoll.core.training_disk import adapter_file_bytes
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.domain.model import Model
from plimsoll.domain.training import Attachment, TrainingMemory, TrainingSetup
from plimsoll.errors import BadSetting
from plimsoll.units import GIB

LLAMA = "meta-llama/Llama-3.2-3B"
QWEN = "Qwen/Qwen3-30B-A3B"


@pytest.fixture(scope="module")
def llama() -> Model:
    return models.from_catalog(LLAMA)


@pytest.fixture(scope="module")
def qwen() -> Model:
    return models.from_catalog(QWEN)


def setup_of(method: str = "lora", framework: str = "trl", **values: object) -> TrainingSetup:
    given = {"rank": 16, "sequence_tokens": 2048, **values}
    return TrainingSetup(method=method, framework=FRAMEWORKS[framework], **given)  # type: ignore[arg-type, index]


def needed(model: Model, setup: TrainingSetup) -> TrainingMemory:
    found = attachment(model, setup.method, setup.targets, setup.rank)
    return memory(model, setup, found, "gpu0", catalog.load())


# huggingface/peft@5d602fdb, method_comparison/MetaMathQA/results/*.json: num_trainable_params, file_size.
PUBLISHED = [
    ("lora", ("q_proj", "v_proj"), 64, 18_350_080, 73_415_408),
    ("dora", ("q_proj", "v_proj"), 32, 9_289_728, 37_181_760),
    ("lora", ("gate_proj", "up_proj", "down_proj"), 10, 9_461_760, 37_868_984),
]


@pytest.mark.parametrize(("method", "targets", "rank", "trained", "size"), PUBLISHED)
def test_trained_values_and_the_file_are_those_that_peft_published(
    llama: Model, method: str, targets: tuple[str, ...], rank: int, trained: int, size: int
) -> None:
    setup = setup_of(method, "peft", rank=rank, targets=targets)
    found = attachment(llama, setup.method, targets, rank)
    assert found.trained_values_count == trained
    assert adapter_file_bytes(found, setup) == size


# The same files: accelerator_memory_max, batches of 4 padded to at most 768 tokens, no checkpointing.
PEAKS = [
    ("lora", ("q_proj", "v_proj"), 64, 22_552_772_608),
    ("lora", ("gate_proj", "up_proj", "down_proj"), 10, 24_698_159_104),
    ("dora", ("q_proj", "v_proj"), 32, 24_532_484_096),
    ("full", (), 0, 38_868_615_168),
]


@pytest.mark.parametrize(("method", "targets", "rank", "peak"), PEAKS)
def test_what_lives_is_within_five_percent_of_the_peaks_that_peft_published(
    llama: Model, method: str, targets: tuple[str, ...], rank: int, peak: int
) -> None:
    setup = setup_of(
        method, "peft", rank=rank, targets=targets, batch=4, sequence_tokens=768, is_checkpointed=False,
        attention="sdpa", is_padded=True, keeps_logits=True,
    )  # fmt: skip
    assert allocated_bytes(needed(llama, setup)) == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize(
    "more",
    [{"rank": 64}, {"batch": 2}, {"sequence_tokens": 8192}, {"is_checkpointed": False}, {"is_padded": True},
     {"attention": "eager"}, {"loss": "plain"}, {"value_bytes": 4},
     {"dropout": 0.05, "is_checkpointed": False}],
)  # fmt: skip
def test_more_never_needs_less(qwen: Model, more: dict[str, object]) -> None:
    less: dict[str, object] = {"loss": "chunked", "is_padded": False}
    if "dropout" in more:
        less["is_checkpointed"] = False
    before, after = needed(qwen, setup_of(**less)), needed(qwen, setup_of(**{**less, **more}))
    for a, b in zip(before.phases, after.phases, strict=True):
        assert b.value >= a.value


def test_lines_sum_to_the_peak_and_replay(qwen: Model) -> None:
    found = needed(qwen, setup_of("qlora", "axolotl", base_bits=4, targets=("attention", "experts")))
    peak = next(p for p in found.phases if p.phase == found.peak)
    assert sum(x.size_bytes for x in found.lines) == peak.value
    for line in found.lines:
        assert replay(line) == (line.size_bytes, line.low_bytes, line.high_bytes)


def test_bitsandbytes_leaves_experts_in_16_bits_and_axolotl_packs_them(qwen: Model) -> None:
    plain = component_bytes(needed(qwen, setup_of("qlora", "trl", base_bits=4)).lines)["weights"]
    packed = component_bytes(needed(qwen, setup_of("qlora", "axolotl", base_bits=4)).lines)["weights"]
    assert plain > 54 * GIB
    assert packed < 16 * GIB


def test_zero_shares_out_the_optimiser_then_gradients_then_weights(llama: Model) -> None:
    told = [
        component_bytes(
            needed(llama, setup_of("full", "ms-swift", sharding=s, devices_count=4, accumulate=2)).lines
        )
        for s in ("zero1", "zero2", "zero3")
    ]
    assert told[1]["gradients"] * 4 == pytest.approx(told[0]["gradients"], rel=1e-6)
    assert told[2]["weights"] < told[1]["weights"]
    assert told[0]["optimizer"] == told[2]["optimizer"]


def test_where_the_words_attach(qwen: Model, llama: Model) -> None:
    assert attachment(qwen, "lora", ("attention",), 8).names == ("k_proj", "o_proj", "q_proj", "v_proj")
    experts = attachment(qwen, "lora", ("experts",), 8)
    assert experts.parameters == ("mlp.experts.down_proj", "mlp.experts.gate_up_proj")
    assert {p.experts_count for p in experts.pairs} == {128}
    assert attachment(qwen, "router-only", (), 8).trained_values_count == 48 * 128 * 2048
    assert "no router" in attachment(llama, "router-only", (), 8).refusal
    assert "without DoRA" in attachment(qwen, "dora", ("experts",), 8).refusal


def test_a_module_that_is_not_there_is_refused_with_the_nearest(llama: Model) -> None:
    with pytest.raises(BadSetting, match="no module 'q_prj'") as stop:
        attachment(llama, "lora", ("q_prj",), 8)
    assert "q_proj" in stop.value.hint


def test_paged_moments_are_counted_and_told_to_be_movable(llama: Model) -> None:
    plain, paged = (
        next(x for x in needed(llama, setup_of("full", optimizer=o)).lines if "optimiser" in x.label)
        for o in ("adamw-8bit", "paged-adamw-8bit")
    )
    assert plain.size_bytes == paged.size_bytes > 2 * 3 * 10**9
    assert "may move to host memory" in paged.label


def test_words_that_name_nothing_and_a_gguf_are_refused(qwen: Model) -> None:
    with pytest.raises(BadSetting, match="no linear layers for mlp"):
        attachment(qwen, "lora", ("mlp",), 8)
    with pytest.raises(BadSetting, match="not from a GGUF"):
        attachment(replace(qwen, naming="gguf"), "lora", (), 8)


def test_an_attachment_without_pairs_writes_no_adapter() -> None:
    assert adapter_file_bytes(Attachment(whole_values_count=5), setup_of("full")) == 0
