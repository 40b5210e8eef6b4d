"""Lines of real logs, of several years, and why a start fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.domain.engine_log import EngineLog
from plimsoll.parse.llama_cpp_log import after, read

MIB = 2**20
# A start of b11549 with -lv 4 (xllamacpp 2026.10.11549), shortened.
STARTED = """\
0.00.025.088 I load_tensors: loading model tensors, this can take a while... (load_mode = mmap)
0.00.026.117 I load_tensors:   CPU_Mapped model buffer size =     5.01 MiB
0.00.026.447 I llama_context: constructing llama_context
0.00.026.487 I llama_context: n_seq_max             = 2
0.00.026.491 I llama_context: n_ctx                 = 8192
0.00.026.492 I llama_context: n_ctx_seq             = 4096
0.00.026.505 I llama_context: n_ctx_seq (4096) < n_ctx_train (32768) -- the full capacity will not be utilized
0.00.026.535 I llama_context:        CPU  output buffer size =     0.00 MiB
0.00.026.898 I llama_kv_cache:        CPU KV buffer size =    16.00 MiB
0.00.093.792 I llama_kv_cache: size =   16.00 MiB (  4096 cells,   4 layers,  2/2 seqs), K (f16):    8.00 MiB
0.00.112.153 I sched_reserve:        CPU compute buffer size =     9.52 MiB
0.00.145.996 I srv    load_model: initializing, n_slots = 2, n_ctx_slot = 4096, kv_unified = 'false'
0.00.166.605 I srv          init: model loaded
""".splitlines()


def test_a_start_is_read_whole() -> None:
    log = read(STARTED)
    assert [(b.kind, b.name, b.size_bytes) for b in log.buffers] == [
        ("weights", "CPU_Mapped", round(5.01 * MIB)), ("output", "CPU", 0), ("kv", "CPU", 16 * MIB),
        ("compute", "CPU", round(9.52 * MIB)),
    ]  # fmt: skip
    assert (log.context_tokens, log.sequence_tokens) == (8192, 4096)
    assert (log.slots_count, log.slot_tokens) == (2, 4096)
    assert log.is_ready
    assert log.failure is None


# Lines as published, with their sources in the data this project was built on.
@pytest.mark.parametrize(
    ("line", "kind", "name", "mib"),
    [
        # https://github.com/ikawrakow/ik_llama.cpp/issues/539
        ("llm_load_tensors: CPU buffer size = 14888.20 MiB", "weights", "CPU", 14888.20),
        ("llama_new_context_with_model: CPU compute buffer size = 8743.51 MiB", "compute", "CPU", 8743.51),
        # https://github.com/hogeheer499-commits/strix-halo-guide
        ("llama_context: Vulkan_Host output buffer size = 0.95 MiB", "output", "Vulkan_Host", 0.95),
        ("llama_memory_recurrent: Vulkan0 RS buffer size = 62.81 MiB", "state", "Vulkan0", 62.81),
        ("load_tensors: ROCm_Host model buffer size = 515.31 MiB", "weights", "ROCm_Host", 515.31),
        ("llama_kv_cache_init: CUDA0 KV buffer size = 1600.00 MiB", "kv", "CUDA0", 1600.0),
        ("llm_load_tensors: Metal buffer size = 4403.50 MiB", "weights", "Metal", 4403.5),
        ("CUDA_Host compute buffer size = 78.01 MiB", "compute", "CUDA_Host", 78.01),
        ("load_tensors: AMX model buffer size = 18214.39 MiB", "weights", "AMX", 18214.39),
    ],
)
def test_buffers_of_all_years(line: str, kind: str, name: str, mib: float) -> None:
    (found,) = after(EngineLog(), line).buffers
    assert (found.kind, found.name) == (kind, name)
    assert found.size_bytes == round(mib * MIB)


def test_the_sum_of_a_cache_is_not_counted_beside_its_parts() -> None:
    line = "llama_new_context_with_model: KV self size = 63488.00 MiB, K (f16): 31744.00 MiB"
    assert after(EngineLog(), line).buffers == ()


def test_caches_add_up_and_compute_buffers_are_reserved_anew() -> None:
    lines = [
        "llama_kv_cache: CUDA0 KV buffer size = 100.00 MiB",
        "llama_kv_cache: CUDA0 KV buffer size = 20.00 MiB",
        "sched_reserve: CUDA0 compute buffer size = 300.00 MiB",
        "sched_reserve: CUDA0 compute buffer size = 250.00 MiB",
    ]
    log = read(lines)
    assert sum(b.size_bytes for b in log.buffers if b.kind == "kv") == 120 * MIB
    assert [b.size_bytes for b in log.buffers if b.kind == "compute"] == [250 * MIB]
    again = read([*lines, "llama_context: constructing llama_context"])
    assert again.buffers == ()


def test_a_draft_is_kept_apart_from_its_target() -> None:
    # b10434 with -md, shortened.
    lines = [
        "load_tensors:      Vulkan0 model buffer size =     4.76 MiB",
        "llama_context: constructing llama_context",
        "llama_kv_cache:    Vulkan0 KV buffer size =    16.00 MiB",
        "common_speculative_init_result: loading draft model 'd.gguf'",
        "load_tensors: loading model tensors, this can take a while... (load_mode = mmap)",
        "load_tensors:      Vulkan0 model buffer size =     2.00 MiB",
        "llama_context: constructing llama_context",
        "llama_kv_cache:    Vulkan0 KV buffer size =     8.00 MiB",
    ]
    log = read(lines)
    assert [b.size_bytes for b in log.target_buffers] == [round(4.76 * MIB), 16 * MIB]
    assert [b.size_bytes for b in log.buffers] == [2 * MIB, 8 * MIB]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 560.00 MiB on device 0: cudaMalloc failed: "
         "out of memory", "memory"),
        ("llama_kv_cache_init: failed to allocate buffer for kv cache", "memory"),
        ("ggml_vulkan: Device memory allocation of size 4294967296 failed.", "memory"),
        ("E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18765", "port"),
        ("llama_model_load: error loading model: unknown model architecture: 'nope'", "architecture"),
        ("error: invalid argument: --fitt", "flag"),
        ("gguf_init_from_file: failed to open GGUF file 'x.gguf' (No such file or directory)", "file"),
    ],
)  # fmt: skip
def test_failures_have_a_kind(line: str, kind: str) -> None:
    found = after(EngineLog(), line).failure
    assert found is not None
    assert found.kind == kind


def test_memory_is_named_before_what_follows_from_it() -> None:
    log = read(["error loading model: x", "cudaMalloc failed: out of memory", "failed to load model"])
    assert log.failure is not None
    assert log.failure.kind == "memory"


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_read(lines: list[str]) -> None:
    read(lines)
