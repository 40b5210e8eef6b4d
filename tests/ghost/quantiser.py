"""llama.cpp's own quantiser as a judge: the types `llama_model_quantize` would write, in a dry run.

PLIMSOLL_LIBLLAMA names a libllama.so of the source's commit (PyPI's `xllamacpp` leaves the quantiser
out): `cmake -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_COMMON=OFF ... && ninja llama` in a llama.cpp tree.
Run as a child process: `python quantiser.py LIBRARY` with an order on stdin.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

LIBRARY_VARIABLE = "PLIMSOLL_LIBLLAMA"
_LINE = re.compile(
    r"^\[ *\d+/ *\d+\] +(\S+) +- \[.*?\], type = +(\w+), size = +[\d.]+ MiB(?: -> +[\d.]+ MiB \((\w+)\))?"
)


def library() -> Path | None:
    """The libllama.so named by PLIMSOLL_LIBLLAMA, or None."""
    value = os.environ.get(LIBRARY_VARIABLE)
    return Path(value) if value and Path(value).is_file() else None


def dry_runs(
    path: Path, orders: Iterable[tuple[int, bool]], *, timeout_s: float = 300
) -> list[dict[str, str]]:
    """For each (file type id, with an importance matrix?): tensor name -> type, as the quantiser decides.

    Raises RuntimeError with the end of the log when it refuses.
    """
    found = library()
    if found is None:
        raise RuntimeError(f"{LIBRARY_VARIABLE} does not name a libllama.so")
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(found), str(path), json.dumps(list(orders))],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-800:])
    return [json.loads(line) for line in done.stdout.splitlines()]


class Imatrix(c.Structure):
    _fields_ = [("name", c.c_char_p), ("data", c.POINTER(c.c_float)), ("size", c.c_size_t)]


class Parameters(c.Structure):
    _fields_ = [
        ("nthread", c.c_int32), ("ftype", c.c_int), ("output_tensor_type", c.c_int),
        ("token_embedding_type", c.c_int), ("allow_requantize", c.c_bool),
        ("quantize_output_tensor", c.c_bool), ("only_copy", c.c_bool), ("pure", c.c_bool),
        ("keep_split", c.c_bool), ("dry_run", c.c_bool), ("imatrix", c.POINTER(Imatrix)),
        ("kv_overrides", c.c_void_p), ("tt_overrides", c.c_void_p), ("prune_layers", c.c_void_p),
        ("max_buf_size", c.c_size_t),
    ]  # fmt: skip


def _run(path_of_library: str, path: str, orders: str) -> None:
    lib = c.CDLL(path_of_library)
    pieces: list[bytes] = []
    logger = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
    keep = logger(lambda level, text, data: pieces.append(text))
    lib.llama_log_set(keep, None)
    lib.llama_backend_init()
    lib.llama_model_quantize_default_params.restype = Parameters
    one = c.c_float(1.0)
    entries = (Imatrix * 2)(Imatrix(b"none", c.pointer(one), 1), Imatrix(None, None, 0))
    for file_type, has_imatrix in json.loads(orders):
        pieces.clear()
        parameters = lib.llama_model_quantize_default_params()
        parameters.ftype, parameters.dry_run, parameters.nthread = file_type, True, 1
        if has_imatrix:
            parameters.imatrix = entries
        failed = lib.llama_model_quantize(path.encode(), b"/dev/null", c.byref(parameters))
        log = b"".join(pieces).decode()
        if failed:
            sys.exit(log[-800:])
        found = (_LINE.match(line) for line in log.splitlines())
        print(json.dumps({line[1]: (line[3] or line[2]).lower() for line in found if line}))


if __name__ == "__main__":
    _run(*sys.argv[1:4])
