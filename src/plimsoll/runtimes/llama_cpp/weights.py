"""What the tensor table takes in llama.cpp's buffers, device by device."""

from __future__ import annotations

from plimsoll.domain.bill import HOST
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.formulas.formats import GGUF, row_bytes
from plimsoll.formulas.kv_cache import padded
from plimsoll.runtimes.llama_cpp.placement import Placement
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

# Alignment of tensors in a buffer: ggml_backend_*_buffer_type_get_alignment in ggml/src of
# ggml-org/llama.cpp@0c1e57098 (CPU TENSOR_ALIGNMENT 32, CUDA and HIP 128, Metal 32, SYCL 128; Vulkan asks
# the driver, which usually says 16 to 64 and is taken as 64).
_ALIGNMENT = {"cpu": 32, "cuda": 128, "rocm": 128, "metal": 32, "sycl": 128, "vulkan": 64}
# Their output is made before their input, so that the loader finds no tensor to share
# (load_arch_tensors in src/models/gemma3n.cpp and gemma4.cpp).
OUTPUT_FIRST = frozenset({"gemma3n", "gemma4"})
_ROW_PADDING = 512  # MATRIX_ROW_PADDING, ggml/src/ggml-cuda/common.cuh and ggml-sycl

_TABLES: dict[tuple[int, str], tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {}
_GROUPS: dict[tuple[object, ...], tuple[tuple[TensorSpec, ...], dict[str, dict[str, int]]]] = {}
_KEPT_COUNT = 64


def alignment_of(backend: str) -> int:
    """Bytes to which a backend aligns each tensor."""
    return _ALIGNMENT.get(backend, 32)


def tensor_table(model: Model, weight_format: str) -> tuple[TensorSpec, ...]:
    """The model's tensors under GGUF names in the asked recipe; '' leaves the published types.

    Raises BadSetting for an unknown recipe. The last tables are kept: the search for the longest context
    asks for the same one hundreds of times, and hashing thousands of tensors would cost more than it saves.
    """
    key = (id(model.tensors), weight_format)
    if key not in _TABLES:
        _trim(_TABLES)
        _TABLES[key] = (model.tensors, _table(model, weight_format))
    return _TABLES[key][1]


def _table(model: Model, weight_format: str) -> tuple[TensorSpec, ...]:
    from plimsoll.runtimes.llama_cpp.recipe import quantise

    if not weight_format or weight_format == model.weight_format:
        return _unquantised(model)
    # Every recipe starts from the published types: their table is kept, too.
    return quantise(tensor_table(model, ""), model, weight_format)


def _unquantised(model: Model) -> tuple[TensorSpec, ...]:
    from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors

    return model.tensors if model.naming == "gguf" else gguf_tensors(model)


def device_groups(
    table: tuple[TensorSpec, ...], model: Model, placement: Placement, backends: tuple[tuple[str, str], ...]
) -> dict[str, dict[str, int]]:
    """Bytes per 'role format' for each device, as its buffer pads them.

    Tied embeddings lie with the host as the input and a second time where the output layer is, unless that
    is the host, too (there once, or twice in the architectures of `OUTPUT_FIRST`). MTP blocks are not loaded
    unless asked for.
    """
    key = (id(table), placement, backends)
    if key not in _GROUPS:
        _trim(_GROUPS)
        _GROUPS[key] = (table, _grouped(table, model, placement, dict(backends)))
    return _GROUPS[key][1]


def _grouped(
    table: tuple[TensorSpec, ...], model: Model, placement: Placement, backends: dict[str, str]
) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    is_twice = gguf_architecture(model) in OUTPUT_FIRST
    has_output = any(t.name == "output.weight" for t in table)
    for tensor in table:
        if tensor.role in ("mtp", "vision", "audio", "projector"):
            continue
        devices = [placement.of(tensor)]
        if tensor.name == "token_embd.weight" and not has_output and (placement.output != HOST or is_twice):
            devices.append(placement.output)
        for device in devices:
            group = groups.setdefault(device, {})
            name = f"{tensor.role} {tensor.format}"
            group[name] = group.get(name, 0) + buffer_bytes(tensor, backends.get(device, "cpu"))
    return groups


def buffer_bytes(tensor: TensorSpec, backend: str) -> int:
    """Bytes of a tensor in a backend's buffer: its own, rows of quantised types padded to 512 values once
    per tensor on CUDA, HIP and SYCL, the whole aligned.

    Source: ggml_backend_cuda_buffer_type_get_alloc_size, ggml/src/ggml-cuda/ggml-cuda.cu.
    """
    size = tensor.size_bytes
    row = tensor.shape[-1] if tensor.shape else 1
    if backend in ("cuda", "rocm", "sycl") and GGUF.get(tensor.format, (1, 0))[0] > 1 and row % _ROW_PADDING:
        size += row_bytes(tensor.format, _ROW_PADDING - row % _ROW_PADDING)
    return padded(size, alignment_of(backend))


def _trim(kept: dict) -> None:  # type: ignore[type-arg]
    while len(kept) >= _KEPT_COUNT:
        del kept[next(iter(kept))]
