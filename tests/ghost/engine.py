"""The real llama.cpp as a judge: loads a GGUF without allocating anything and reports its buffers.

`measure(path, runs)` starts a child process (llama.cpp aborts its process on some errors) which loads the
file once with `no_alloc` and builds one context per run, exactly what llama.cpp's own `--fit` does
(common/fit.cpp, common_get_device_memory_data_impl). Model, context and compute bytes come from
`llama_get_memory_breakdown`, to the byte; the split of the context into KV and recurrent state comes from
`memory_breakdown()` of the two halves of a hybrid memory, to the byte as well. Only `output_mib` and the
`kv` list are read from the log, which has two decimals of a MiB.

The shared object is that of PyPI `xllamacpp`; struct layouts are those of include/llama.h at 0c1e57098 and
are (one field more in b11549) and are
checked against `llama_context_default_params()` before anything is passed (`_check_layout`).
"""

from __future__ import annotations

import ctypes as c
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30,
}  # fmt: skip
FLASH = {"auto": -1, "off": 0, "on": 1}
DEFAULTS: dict[str, Any] = {
    "n_ctx": 4096, "n_parallel": 1, "n_batch": 2048, "n_ubatch": 512, "type_k": "f16", "type_v": "f16",
    "flash_attn": "auto", "kv_unified": False, "swa_full": False, "offload_kqv": True,
    "n_outputs": None,  # None: one per slot, as llama-server reserves
}  # fmt: skip


def measure(
    path: str | Path, runs: Iterable[Mapping[str, Any]], *, timeout_s: float = 120
) -> list[dict[str, Any]]:
    """One result per run: `model`, `context`, `compute` (bytes per buffer type), `kv_bytes`, `state_bytes`,
    `output_mib`, `n_ctx`, `n_ctx_seq`; or `error` with the last lines of the log."""
    wanted = [{**DEFAULTS, **run} for run in runs]
    results: list[dict[str, Any]] = []
    while len(results) < len(wanted):
        # A run on which the engine aborts ends the child; the next child goes on behind it.
        order = {"path": str(path), "runs": wanted[len(results) :]}
        child = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )
        found = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
        results += found
        error = {"error": child.stderr[-1500:] or f"the engine ended with {child.returncode}"}
        if not found and child.returncode == 1:
            return results + [error] * (len(wanted) - len(results))
        if len(results) < len(wanted):
            results.append(error)
    return results


class ModelParams(c.Structure):
    _fields_ = [
        ("devices", c.c_void_p),
        ("tensor_buft_overrides", c.c_void_p),
        ("n_gpu_layers", c.c_int32),
        ("split_mode", c.c_int32),
        ("load_mode", c.c_int32),
        ("lazy_mode", c.c_int32),
        ("main_gpu", c.c_int32),
        ("tensor_split", c.c_void_p),
        ("progress_callback", c.c_void_p),
        ("progress_user_data", c.c_void_p),
        ("kv_overrides", c.c_void_p),
        ("vocab_only", c.c_bool),
        ("check_tensors", c.c_bool),
        ("use_extra_bufts", c.c_bool),
        ("no_host", c.c_bool),
        ("no_alloc", c.c_bool),
        ("load_mtp", c.c_bool),
    ]


class ContextParams(c.Structure):
    _fields_ = [
        *(
            (name, c.c_uint32)
            for name in (
                "n_ctx",
                "n_batch",
                "n_ubatch",
                "n_seq_max",
                "n_rs_seq",
                "n_outputs_max",
                "n_outputs_max_per_seq",
            )
        ),
        *(
            (name, c.c_int32)
            for name in (
                "n_threads",
                "n_threads_batch",
                "ctx_type",
                "rope_scaling_type",
                "pooling_type",
                "attention_type",
                "flash_attn_type",
            )
        ),
        *(
            (name, c.c_float)
            for name in (
                "rope_freq_base",
                "rope_freq_scale",
                "yarn_ext_factor",
                "yarn_attn_factor",
                "yarn_beta_fast",
                "yarn_beta_slow",
            )
        ),
        ("yarn_orig_ctx", c.c_uint32),
        ("defrag_thold", c.c_float),
        ("cb_eval", c.c_void_p),
        ("cb_eval_user_data", c.c_void_p),
        ("type_k", c.c_int32),
        ("type_v", c.c_int32),
        ("abort_callback", c.c_void_p),
        ("abort_callback_data", c.c_void_p),
        ("added_after_source", c.c_void_p),  # 8 zero bytes that b11549 has and 0c1e57098 has not
        *(
            (name, c.c_bool)
            for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")
        ),
        ("samplers", c.c_void_p),
        ("n_samplers", c.c_size_t),
        ("ctx_other", c.c_void_p),
    ]


def open_library() -> c.CDLL:
    """The shared object of the installed `xllamacpp`."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("xllamacpp")
    path = next(Path(spec.submodule_search_locations[0]).glob("xllamacpp.abi3.so"))
    lib = c.CDLL(str(path))
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_context_default_params.restype = ContextParams
    lib.llama_model_load_from_file.argtypes = [c.c_char_p, ModelParams]
    lib.llama_model_load_from_file.restype = c.c_void_p
    lib.llama_init_from_model.argtypes = [c.c_void_p, ContextParams]
    lib.llama_init_from_model.restype = c.c_void_p
    for name in ("llama_free", "llama_model_free"):
        getattr(lib, name).argtypes = [c.c_void_p]
        getattr(lib, name).restype = None
    for name in ("llama_n_ctx", "llama_n_ctx_seq", "llama_n_ubatch", "llama_n_batch"):
        getattr(lib, name).argtypes = [c.c_void_p]
        getattr(lib, name).restype = c.c_uint32
    lib.llama_get_memory.argtypes = [c.c_void_p]
    lib.llama_get_memory.restype = c.c_void_p
    lib.ggml_backend_buft_name.argtypes = [c.c_void_p]
    lib.ggml_backend_buft_name.restype = c.c_char_p
    _check_layout(lib)
    return lib


def _check_layout(lib: c.CDLL) -> None:
    model, context = lib.llama_model_default_params(), lib.llama_context_default_params()
    found = (
        context.n_ctx,
        context.n_batch,
        context.n_ubatch,
        context.n_seq_max,
        context.flash_attn_type,
        context.type_k,
        context.type_v,
        context.yarn_beta_fast,
        context.defrag_thold,
        context.offload_kqv,
        context.op_offload,
        context.swa_full,
        model.n_gpu_layers,
        model.no_alloc,
        model.use_extra_bufts,
    )
    known = (512, 2048, 512, 1, -1, 1, 1, -1.0, -1.0, True, True, True, -1, False, True)
    if found != known:
        raise RuntimeError(f"this build lays its parameters out differently: {found} instead of {known}")


# --- std::map as returned by the C++ functions (libstdc++ red-black tree, x86-64 and aarch64 SysV) ---


def _word(address: int, offset: int = 0) -> int:
    return c.c_uint64.from_address(address + offset).value


def _map_nodes(header: int) -> Iterable[int]:
    """Value addresses of a std::map whose header node (colour, parent, left, right) is at `header`."""
    stack = [_word(header, 8)]
    while stack:
        node = stack.pop()
        if node:
            yield node + 32
            stack += [_word(node, 16), _word(node, 24)]


def _returned_map(function: Any, this: int) -> list[int]:
    box = (c.c_uint64 * 6)()
    function.argtypes = [c.c_void_p, c.c_void_p]
    function.restype = c.c_void_p
    function(c.addressof(box), this)
    _KEPT.append(box)
    return list(_map_nodes(c.addressof(box) + 8))


_KEPT: list[Any] = []


def _breakdown(lib: c.CDLL, context: int) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {"model": {}, "context": {}, "compute": {}}
    for value in _returned_map(lib._Z26llama_get_memory_breakdownPK13llama_context, context):
        name = lib.ggml_backend_buft_name(_word(value)).decode()
        for i, key in enumerate(("model", "context", "compute")):
            out[key][name] = out[key].get(name, 0) + _word(value, 8 + 8 * i)
    return out


_HYBRIDS = {
    "llama_memory_hybrid": "_ZNK19llama_memory_hybrid12get_mem_recrEv",
    "llama_memory_hybrid_iswa": "_ZNK24llama_memory_hybrid_iswa12get_mem_recrEv",
    "llama_memory_hybrid_idx": "_ZNK23llama_memory_hybrid_idx12get_mem_recrEv",
}


def _memory_class(lib: c.CDLL, memory: int) -> str:
    """The C++ class of a llama_memory_i, told by its vtable."""
    for name in (
        "llama_kv_cache",
        "llama_kv_cache_iswa",
        "llama_kv_cache_dsa",
        "llama_kv_cache_dsa_iswa",
        "llama_kv_cache_msa",
        "llama_kv_cache_dsv4",
        "llama_memory_recurrent",
        *_HYBRIDS,
    ):
        try:
            table = c.addressof(c.c_char.in_dll(lib, f"_ZTV{len(name)}{name}"))
        except ValueError:
            continue
        if _word(memory) == table + 16:
            return name
    return "unknown"


def _state_bytes(lib: c.CDLL, kind: str, memory: int) -> int | None:
    """Bytes of the recurrent half; None when this build does not tell."""
    breakdown = lib._ZNK22llama_memory_recurrent16memory_breakdownEv
    if kind == "llama_memory_recurrent":
        half = memory
    elif kind in _HYBRIDS:
        get = getattr(lib, _HYBRIDS[kind], None)
        if get is None:
            return None
        get.argtypes, get.restype = [c.c_void_p], c.c_void_p
        half = get(memory)
    else:
        return 0
    return sum(_word(value, 8) for value in _returned_map(breakdown, half))


def _one_run(lib: c.CDLL, model: int, run: Mapping[str, Any], log: list[str]) -> dict[str, Any]:
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = run["n_ctx"], run["n_batch"], run["n_ubatch"]
    params.n_seq_max = run["n_parallel"]
    params.n_outputs_max = run["n_parallel"] if run["n_outputs"] is None else run["n_outputs"]
    params.type_k, params.type_v = TYPES[run["type_k"]], TYPES[run["type_v"]]
    params.flash_attn_type = FLASH[run["flash_attn"]]
    params.kv_unified, params.swa_full = run["kv_unified"], run["swa_full"]
    params.offload_kqv = run["offload_kqv"]
    params.n_threads = params.n_threads_batch = 1
    del log[:]
    context = lib.llama_init_from_model(model, params)
    if not context:
        return {"error": "".join(log[-3:]).strip()}
    parts = _breakdown(lib, context)
    memory = lib.llama_get_memory(context)
    kind = _memory_class(lib, memory) if memory else "none"
    state = _state_bytes(lib, kind, memory) if memory else 0
    total = sum(parts["context"].values())
    text = "".join(log)
    output = re.search(r"output buffer size =\s*([\d.]+) MiB", text)
    result = {
        **parts,
        "memory_class": kind,
        "context_bytes": total,
        "state_bytes": state,
        "kv_bytes": None if state is None else total - state,
        "compute_bytes": sum(parts["compute"].values()),
        "model_bytes": sum(parts["model"].values()),
        "output_mib": float(output.group(1)) if output else None,
        "n_ctx": lib.llama_n_ctx(context),
        "n_ctx_seq": lib.llama_n_ctx_seq(context),
        "n_ubatch": lib.llama_n_ubatch(context),
        "kv": re.findall(r"size =\s+[\d.]+ MiB \(\s*(\d+) cells,\s*(\d+) layers,\s*(\d+)/(\d+) seqs\)", text),
        "flash_attn": not re.search(r"Flash Attention not supported|flash_attn\s*=\s*disabled", text),
    }
    if run.get("graph"):
        result["graph"] = _graph(lib, context, run)
    lib.llama_free(context)
    return result


def _graph(lib: c.CDLL, context: int, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reserved prompt graph, node by node (allocates; for small contexts only)."""
    reserve = lib._Z19llama_graph_reserveP13llama_contextjjj
    reserve.argtypes, reserve.restype = [c.c_void_p, c.c_uint32, c.c_uint32, c.c_uint32], c.c_void_p
    tokens = min(lib.llama_n_ubatch(context), lib.llama_n_ctx(context))
    graph = reserve(context, tokens, run["n_parallel"], min(tokens, run["n_outputs"] or run["n_parallel"]))
    lib.ggml_op_name.restype = c.c_char_p
    count, leafs_count = c.c_int.from_address(graph + 4).value, c.c_int.from_address(graph + 8).value
    nodes, leafs = _word(graph, 16), _word(graph, 40)
    seen: dict[int, int] = {}
    out: list[dict[str, Any]] = []

    def visit(address: int, where: str) -> int:
        if address in seen:
            if where != "src":
                out[seen[address]]["where"] = where
            return seen[address]
        ints = (c.c_int64 * 4).from_address(address + 16)
        op = c.c_int32.from_address(address + 80).value
        sources = [s for s in ((_word(address, 152 + 8 * i)) for i in range(10)) if s]
        view = _word(address, 232)
        row: dict[str, Any] = {
            "type": c.c_int32.from_address(address).value,
            "ne": list(ints),
            "where": where,
            "nb": list((c.c_uint64 * 4).from_address(address + 48)),
            "op": lib.ggml_op_name(op).decode(),
            "flags": c.c_int32.from_address(address + 148).value,
            "offset": _word(address, 240),
            "name": c.string_at(address + 256, 64).split(b"\0")[0].decode(),
            "src": [visit(s, "src") for s in sources],
            "view": visit(view, "src") if view else None,
        }
        seen[address] = len(out)
        out.append(row)
        return seen[address]

    order = [visit(_word(leafs, 8 * i), "leaf") for i in range(leafs_count)]
    order += [visit(_word(nodes, 8 * i), "node") for i in range(count)]
    return [{"order": order, "leafs_count": leafs_count, "tensors": out}]


def _main() -> None:
    order = json.loads(sys.stdin.read())
    lib = open_library()
    log: list[str] = []
    callback_type = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
    callback = callback_type(lambda level, text, user: log.append(text.decode("utf-8", "replace")))
    lib.llama_log_set(callback, None)
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    params.no_alloc, params.load_mode, params.use_extra_bufts = True, 0, False
    model = lib.llama_model_load_from_file(order["path"].encode(), params)
    if not model:
        sys.stderr.write("".join(log[-6:]))
        sys.exit(1)
    for run in order["runs"]:
        print(json.dumps(_one_run(lib, model, run, log)), flush=True)
    lib.llama_model_free(model)


if __name__ == "__main__":
    _main()
