"""The real llama.cpp is the judge: weights, KV cache and state of a GGUF, read by us and loaded by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.domain.deployment import Deployment, Runtime, Workload
from plimsoll.domain.machine import Machine
from plimsoll.parse.gguf import read_header
from plimsoll.parse.gguf_model import model_from_gguf

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
CONVERTED = Path(__file__).parent.parent / "fixtures" / "gguf_converted"
IDS = sorted(p.name.removesuffix(".json.gz").replace("__", "/") for p in CONVERTED.glob("*.json.gz"))


@pytest.mark.parametrize("model_id", IDS)
def test_every_byte_that_llama_cpp_reserves(model_id: str, tmp_path: Path) -> None:
    """Equal to the byte, at two contexts and with two sequences."""
    from plimsoll.edges.files import FileSource
    from plimsoll.runtimes.llama_cpp import memory
    from tests.ghost import engine, writer

    if not writer.converted(model_id)["tensors"]:
        pytest.skip("the stored conversion has no tensors")
    path = tmp_path / "model.gguf"
    writer.write_converted(path, model_id)
    runs = [{"n_ctx": 4096}, {"n_ctx": 16384, "n_parallel": 2, "type_k": "q8_0", "type_v": "q8_0"}]
    measured = engine.measure(path, [{**run, "flash_attn": "on"} for run in runs])
    with FileSource(path) as source:
        model = model_from_gguf([read_header(source)], id=model_id)
    for run, truth in zip(runs, measured, strict=True):
        if "error" in truth:
            pytest.skip(f"llama.cpp refuses it: {truth['error'][-200:]}")
        sequences = run.get("n_parallel", 1)
        kind = run.get("type_k", "f16")
        deployment = Deployment(
            model=model, machine=Machine(name="host", devices=()), runtime=Runtime(id="llama_cpp"),
            workload=Workload(context_tokens=run["n_ctx"] // sequences, parallel_sequences_count=sequences),
            kv_format_k=kind, kv_format_v=kind, settings={"flash_attn": "on"},
        )  # fmt: skip
        ours = {"kv": 0, "state": 0}
        for line in memory.lines(deployment):
            if line.component in ours:
                ours[line.component] += line.size_bytes
        assert ours == {"kv": truth["kv_bytes"], "state": truth["state_bytes"]}, run
