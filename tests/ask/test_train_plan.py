"""`train-plan` as a question: verdicts, what stays resident, files, bad input."""

from __future__ import annotations

import math

import pytest
import yaml

from plimsoll.ask.train_plan import TrainQuestion, draw, train_plan, write_files
from plimsoll.core.training_config import CONFIGS
from plimsoll.domain.training import TrainingAnswer
from plimsoll.errors import BadSetting

QWEN = "Qwen/Qwen3-30B-A3B"


def ask(model: str = QWEN, on: str = "rtx-pro-6000", **values: object) -> TrainingAnswer:
    return train_plan(TrainQuestion(model=model, on=on, offline=True, **values))  # type: ignore[arg-type]


def test_a_lora_of_30b_does_not_leave_room_for_the_same_weights() -> None:
    answer = ask(rank=64, sequence_tokens=8192, beside=".")
    assert (answer.verdict, answer.exit_code) == ("does_not_fit", 1)
    assert answer.missing_bytes > 0
    assert answer.beside is not None
    assert answer.beside.verdict == "does_not_fit"
    assert any("--beside-weights awq" in r for r in answer.remedies)


def test_beside_4_bit_weights_it_does_and_every_line_is_on_the_card() -> None:
    answer = ask(rank=64, sequence_tokens=8192, beside=".", beside_weights="awq")
    assert answer.verdict in ("fits", "tight")
    total = answer.bill.devices[0]
    assert total.used_bytes == sum(x.size_bytes for x in answer.bill.lines)
    assert answer.headroom_bytes == total.capacity_bytes - total.used_bytes
    assert answer.beside is not None
    assert (answer.beside.longest_context_tokens or 0) >= 8192


def test_steps_and_time_follow_the_tokens() -> None:
    one, two = ask(tokens_count=10**6), ask(tokens_count=10**6, epochs=2.0)
    assert one.steps_count == math.ceil(10**6 / (2048 * 16))
    assert two.time[0].value == pytest.approx(2 * one.time[0].value)
    assert one.time[0].low < one.time[0].value < one.time[0].high


def test_a_logged_out_of_memory_is_no_fit() -> None:
    """s1 (github.com/simplescaling/s1, issue 106): 32B in full at 32,768 tokens on cards of 80 GB."""
    answer = ask("Qwen/Qwen2.5-32B-Instruct", "a100-sxm-80gb", method="full", sequence_tokens=32768)
    assert answer.verdict == "does_not_fit"


def test_what_peft_refuses_is_an_answer() -> None:
    answer = ask(method="dora", targets=("experts",))
    assert answer.exit_code == 1
    assert "without DoRA" in answer.reason
    assert not answer.files


@pytest.mark.parametrize("program", CONFIGS)
@pytest.mark.parametrize("method", ["lora", "qlora", "dora", "full"])
def test_each_program_gets_a_file_that_says_the_plan(program: str, method: str) -> None:
    answer = ask("qwen3-8b", "2x rtx-pro-6000", method=method, configs=(program,), rank=32, accumulate=4)
    file = answer.files[0]
    told = yaml.safe_load(file.text)
    flat = {**told, **told.get("training", {}), **told.get("lora", {})}
    assert 4 in [flat.get(k) for k in ("gradient_accumulation_steps",)]
    assert 2048 in [flat.get(k) for k in ("max_length", "sequence_len", "max_seq_length", "cutoff_len")]
    ranks = [flat.get(k) for k in ("lora_r", "lora_rank")]
    assert (32 in ranks) == (method != "full")
    assert file.name in file.command


def test_a_program_refuses_what_it_has_no_option_for() -> None:
    with pytest.raises(BadSetting, match="no option that trains a router"):
        ask(method="router-only", configs=("trl",))
    with pytest.raises(BadSetting, match="no option for parameters"):
        ask(targets=("experts",), configs=("llama-factory",))
    with pytest.raises(BadSetting, match="no configuration for 'axolot'"):
        ask(configs=("axolot",))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "qlora", "base_bits": 16}, "packed weights"),
        ({"method": "full", "base_bits": 4}, "cannot train themselves"),
        ({"sharding": "zero2"}, "one card"),
        ({"tensor_parallel": 2}, "Megatron's"),
        ({"longest_tokens": 4096}, "more than --seq"),
        ({"dtype": "int8"}, "no type"),
        ({"epochs": math.nan}, "times through the data"),
        ({"tensor_parallel": 3, "framework": "megatron"}, "cannot be split"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        ask(**values)


def test_a_machine_without_cards_is_refused() -> None:
    with pytest.raises(BadSetting, match="this machine has none"):
        ask(on="epyc-9554 + 128GiB ram")


def test_cards_without_rows_are_told_so() -> None:
    assert any("learnt on NVIDIA cards" in n for n in ask("qwen3-8b", "mi300x").notes)


def test_files_and_a_chart_are_written(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path)) / "out"
    answer = ask("qwen3-8b", configs=("trl", "axolotl"))
    write_files(answer, str(folder))
    assert sorted(p.name for p in folder.iterdir()) == ["axolotl.yaml", "trl.yaml"]
    draw(TrainQuestion(model="qwen3-8b", on="rtx-pro-6000", offline=True), str(folder / "a.svg"))
    assert "by method" in (folder / "a.svg").read_text("utf-8")
