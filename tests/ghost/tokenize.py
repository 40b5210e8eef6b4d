"""The real llama.cpp as a judge of tokens: loads the vocabulary of a GGUF and encodes texts.

`encode(path, texts, pre=...)` starts a child process, since llama.cpp aborts its process on some errors.
`pre` overrides `tokenizer.ggml.pre`, so one vocabulary can judge every pre-tokenizer.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Override(c.Structure):
    """struct llama_model_kv_override of include/llama.h; tag 3 is a text."""

    _fields_ = [("tag", c.c_int32), ("key", c.c_char * 128), ("pad", c.c_int32), ("text", c.c_char * 128)]


def encode(
    path: str | Path,
    texts: Iterable[str],
    *,
    pre: str = "",
    add_special: bool = False,
    timeout_s: float = 120,
) -> list[list[int]]:
    """Ids of each text, special tokens recognised; RuntimeError with the log when the engine refuses."""
    return encode_each(path, texts, (pre,), add_special=add_special, timeout_s=timeout_s)[0]


def encode_each(
    path: str | Path, texts: Iterable[str], pres: Iterable[str], *, add_special: bool = False,
    timeout_s: float = 120,
) -> list[list[list[int]]]:  # fmt: skip
    """The same for each of several pre-tokenizers, in one child."""
    order = {"path": str(path), "texts": list(texts), "pres": list(pres), "add_special": add_special}
    child = subprocess.run(
        [sys.executable, "-m", "tests.ghost.tokenize"], input=json.dumps(order), capture_output=True,
        text=True, timeout=timeout_s, check=False, env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if child.returncode:
        raise RuntimeError(child.stderr[-800:] or f"the engine ended with {child.returncode}")
    found: list[list[list[int]]] = json.loads(child.stdout.splitlines()[-1])
    return found


def _main() -> None:
    from tests.ghost.engine import open_library

    order: dict[str, Any] = json.load(sys.stdin)
    lib = open_library()
    lib.llama_model_get_vocab.argtypes = [c.c_void_p]
    lib.llama_model_get_vocab.restype = c.c_void_p
    lib.llama_tokenize.argtypes = [
        c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32), c.c_int32, c.c_bool, c.c_bool,
    ]  # fmt: skip
    print(json.dumps([_one(lib, order, pre) for pre in order["pres"]]))


def _one(lib: c.CDLL, order: dict[str, Any], pre: str) -> list[list[int]]:
    params = lib.llama_model_default_params()
    params.vocab_only = True
    overrides = (Override * 2)()
    if pre:
        overrides[0] = Override(3, b"tokenizer.ggml.pre", 0, pre.encode())
        params.kv_overrides = c.addressof(overrides)
    model = lib.llama_model_load_from_file(order["path"].encode(), params)
    if not model:
        raise SystemExit(f"the engine refuses this file with {pre!r}")
    vocab = lib.llama_model_get_vocab(model)
    out = []
    for text in order["texts"]:
        data = text.encode()
        room = (c.c_int32 * (len(data) + 16))()
        count = lib.llama_tokenize(vocab, data, len(data), room, len(room), order["add_special"], True)
        out.append(list(room[:count]))
    lib.llama_model_free(model)
    return out


if __name__ == "__main__":
    _main()
