"""The real llama-server (b11549) judges the printed command: its parser reads it, it starts, it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import launch_llama_cpp as proof
from plimsoll.core.launch_check import compare
from plimsoll.parse import llama_cpp_log
from tests.ghost.tiny import write_tiny
from tests.ghost.writer import write_tensors

# One of each kind: dense, experts, windows, latent attention, gated delta, Mamba beside attention.
JUDGED = ("llama", "qwen3_moe", "gpt_oss", "deepseek_v3", "qwen3_next", "falcon_h1")


@pytest.mark.oracle
@pytest.mark.parametrize("family", JUDGED)
@pytest.mark.parametrize("case", ["four slots, q8_0", "shared cache", "beyond the trained context"])
def test_the_command_starts_and_every_buffer_is_as_promised(family: str, case: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from tests.ghost.server import start

    recipe, fields = proof.ON_PROCESSOR[case]
    path = tmp_path / "model.gguf"
    write_tiny(path, family, recipe)
    answer = proof.answer_for(path, proof.PROCESSOR, fields, port=proof.free_port())
    assert answer.command is not None
    started = start(answer.command.arguments)
    assert (started.outcome, started.answered) == ("ready", True), started.log[-1500:]
    rows = compare(answer.promise, answer.deployments[0], llama_cpp_log.read(started.log.splitlines()))
    assert {row.match for row in rows} == {"equal"}, rows


@pytest.mark.oracle
def test_the_parser_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from tests.ghost.server import start

    path = tmp_path / "model.gguf"
    write_tiny(path, "llama")
    assert start(["llama-server", "-m", str(path), "--no-such-flag"]).outcome == "refused"
    assert start(["llama-server", "-m", str(tmp_path / "none.gguf"), "--fit", "off"]).outcome == "failed"


@pytest.mark.oracle
def test_an_adapter_is_loaded_whatever_its_name(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from tests.ghost.server import start

    path, adapter = tmp_path / "model.gguf", tmp_path / 'my "first", adapter.gguf'
    write_tiny(path, "llama")
    shapes = {"lora_a": (8, 256), "lora_b": (256, 8)}
    write_tensors(
        adapter,
        {"general.architecture": ("STRING", "llama"), "general.type": ("STRING", "adapter"),
         "adapter.type": ("STRING", "lora"), "adapter.lora.alpha": ("FLOAT32", 16.0)},
        [(f"blk.{i}.{name}.weight.{half}", shape, "f32") for i in range(4)
         for name in ("attn_q", "attn_output") for half, shape in shapes.items()],
    )  # fmt: skip
    fields = {"context_tokens": 4096, "adapters": (str(adapter),)}
    answer = proof.answer_for(path, proof.PROCESSOR, fields, port=proof.free_port())
    assert answer.command is not None
    started = start(answer.command.arguments)
    assert (started.outcome, started.answered) == ("ready", True), started.log[-1500:]
    rows = compare(answer.promise, answer.deployments[0], llama_cpp_log.read(started.log.splitlines()))
    assert {row.match for row in rows} == {"equal"}
    assert next(row for row in rows if row.what == "adapters").promised_bytes == 4 * 2 * 2 * 8 * 256 * 4
