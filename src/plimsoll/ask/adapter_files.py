"""Adapters from local files: the folder PEFT writes, its safetensors, or a GGUF. Pickles are never opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll.domain.adapter import LoraAdapter
from plimsoll.edges import files
from plimsoll.errors import NotFound, ReadError
from plimsoll.parse import strict_json

if TYPE_CHECKING:
    from plimsoll.edges.files import FileSource

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_CHUNK_BYTES = 1 << 20
# The values of B are read up to the first that is not zero: one chunk for every trained adapter.
_MOST_ZERO_BYTES = 4 << 30


def load(reference: str) -> LoraAdapter:
    """The adapter at a path; its tensors say whether they hold nothing but zeros.

    Raises NotFound, ReadError (with a hint for pickles), and what the parsers raise.
    """
    path = Path(reference).expanduser()
    if not files.exists(path):
        raise NotFound(
            f"there is no file or folder {reference}", hint="give the folder that holds adapter_config.json"
        )
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in files.PICKLES:
        raise _pickle(path)
    if path.suffix.lower() == ".gguf":
        return _gguf(path)
    if path.name == CONFIG or path.suffix == ".safetensors":
        return _peft(path.parent, path if path.suffix == ".safetensors" else path.parent / WEIGHTS)
    raise ReadError(
        "not an adapter", where=str(path), hint=f"give a folder with {CONFIG}, a .safetensors or a .gguf"
    )


def _folder(folder: Path) -> LoraAdapter:
    if files.exists(folder / WEIGHTS):
        return _peft(folder, folder / WEIGHTS)
    if files.exists(folder / _PICKLE):
        raise _pickle(folder / _PICKLE)
    ggufs = sorted(p for p in folder.glob("*.gguf"))
    if len(ggufs) == 1:
        return _gguf(ggufs[0])
    if files.exists(folder / CONFIG):
        raise NotFound(f"there is no {WEIGHTS} beside {CONFIG} in {folder}")
    raise ReadError(
        "there is no adapter in this folder", where=str(folder), hint=f"it has {CONFIG} and {WEIGHTS}"
    )


def _peft(folder: Path, weights: Path) -> LoraAdapter:
    from plimsoll.parse.adapter import adapter_from_peft
    from plimsoll.parse.safetensors import read_header

    config = folder / CONFIG
    if not files.exists(config):
        raise NotFound(f"there is no {CONFIG} beside the weights in {folder}")
    values = strict_json.loads_object(
        files.read_bytes(config, strict_json.CONFIG.size_bytes), where=str(config)
    )
    with files.FileSource(weights) as source:
        header = read_header(source)
        outputs = [(t.name, t.offset, t.size_bytes) for t in header.tensors if "lora_B" in t.name or
                   "lora_embedding_B" in t.name]  # fmt: skip
        seen, zero = _zeros(source, outputs)
    return adapter_from_peft(
        values, header, id=folder.name or str(folder), where=str(config), seen=seen, zero=zero
    )


def _gguf(path: Path) -> LoraAdapter:
    from plimsoll.parse.adapter import adapter_from_gguf
    from plimsoll.parse.gguf import read_header

    with files.FileSource(path) as source:
        header = read_header(source)
        rows = [
            (t.name, t.offset, t.size_bytes)
            for t in header.tensors
            if t.name.endswith((".lora_a", ".lora_b"))
        ]
        seen, zero = _zeros(source, rows)
    return adapter_from_gguf(header, id=path.name, seen=seen, zero=zero)


def _zeros(source: FileSource, rows: Iterable[tuple[str, int, int]]) -> tuple[set[str], set[str]]:
    """Names whose values were read, and those of them that hold only zero bytes."""
    seen, zero, budget = set(), set(), _MOST_ZERO_BYTES
    for name, offset, size in rows:
        if size == 0 or offset + size > source.size_bytes:
            continue
        at = 0
        while at < size and budget > 0:
            chunk = source.read(offset + at, min(_CHUNK_BYTES if at else 4096, size - at))
            budget -= len(chunk)
            if not chunk or chunk.strip(b"\0"):
                break
            at += len(chunk)
        if at < size and budget <= 0:
            continue
        seen.add(name)
        if at >= size:
            zero.add(name)
    return seen, zero


def _pickle(path: Path) -> ReadError:
    return ReadError(
        "a pickle can run code when it is opened, so it is never opened",
        where=str(path),
        hint="save the adapter again with save_pretrained(folder), which writes adapter_model.safetensors",
    )
