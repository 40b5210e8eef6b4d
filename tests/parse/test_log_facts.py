"""Facts of lines as the programs print them (copied from public logs, numbers as they were)."""

import pytest

from plimsoll.parse.log_facts import distinct, facts_of

LINES = [
    ("INFO 08-20 05:21:33 [core.py:61] Initializing a V1 LLM engine (v0.10.1) with config: "
     "model='openai/gpt-oss-120b', spec",
     {"vllm version": "0.10.1", "model": "openai/gpt-oss-120b"}),
    ("  Device 0: NVIDIA RTX PRO 6000 Blackwell Workstation Edition, compute capability 12.0, VMM: yes",
     {"device": "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "compute capability": "12.0"}),
    ("NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the "
     "current PyTorch installation.",
     {"device": "NVIDIA GeForce RTX 5090", "compute capability": "sm_120"}),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. "
     "GPU 0 has a total capacity of 23.69 GiB of which 1.12 GiB is free.",
     {"memory asked for": "2.00 GiB", "memory of the device": "23.69 GiB", "memory free": "1.12 GiB"}),
    ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 5120.00 MiB on device 0: "
     "cudaMalloc failed: out of memory",
     {"memory asked for": "5120.00 MiB"}),
    ("build: 6097 (9515c613) with cc (Ubuntu) for x86_64-linux-gnu", {"llama.cpp build": "6097"}),
    ("INFO [gpu_worker.py:298] Available KV cache memory: 17.90 GiB", {"KV cache memory": "17.90 GiB"}),
    ("INFO [gpu_model_runner.py:2007] Model loading took 65.9651 GiB and 20.1 seconds", {}),
    ("NVRM: Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus.", {"Xid": "79"}),
    ("ggml_cuda_init: found 1 ROCm devices: Device 0: AMD Radeon Graphics, gfx1151 (0x1151)",
     {"device": "AMD Radeon Graphics", "gfx": "gfx1151"}),
    ("PyTorch version: 2.9.1+cu130", {"torch version": "2.9.1+cu130"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_a_line_states_these_facts(line: str, wanted: dict[str, str]) -> None:
    found = {fact.name: fact.value for fact in facts_of(line, 7)}
    assert wanted.items() <= found.items()
    assert all(fact.line_number == 7 for fact in facts_of(line, 7))


def test_a_value_is_told_once_where_it_was_first_said() -> None:
    again = [f for n in (9, 3, 5) for f in facts_of("torch==2.9.1", n)]
    assert [(f.value, f.line_number) for f in distinct(again)] == [("2.9.1", 3)]
