"""The real llama-server with the very words of a command: its own argument parser, then its own start.

`start(arguments)` starts a child process in which llama.cpp's `common_params_parse` (PyPI `xllamacpp`,
b11549) reads the words, the server loads the model and answers one request; all it logged comes back.
"""

from __future__ import annotations

import ctypes as c
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SERVER = 12  # LLAMA_EXAMPLE_SERVER in common/common.h of b11434
_HEAD_BYTES = 16  # a Python object without a dictionary; then comes the C++ struct


@dataclass(frozen=True)
class Started:
    """What became of a command: `outcome` is 'ready', 'refused' (by the parser) or 'failed' (to load)."""

    outcome: str
    answered: bool
    log: str


def start(arguments: Sequence[str], *, timeout_s: float = 120) -> Started:
    """Parse, load, answer once, end. `arguments` begin with the program's name."""
    child = subprocess.run(
        [sys.executable, __file__], input=json.dumps(list(arguments)), capture_output=True, text=True,
        timeout=timeout_s, check=False, env={**os.environ, "GGML_NO_BACKTRACE": "1"}, errors="replace",
    )  # fmt: skip
    told = [line for line in child.stdout.splitlines() if line.startswith("{")]
    last = json.loads(told[-1]) if told else {}
    outcome = last.get("outcome", "failed")
    if outcome == "parsed":
        outcome = "failed"  # it ended while loading
    return Started(outcome, bool(last.get("answered")), child.stderr + child.stdout)


def parse_into(params: object, arguments: Sequence[str]) -> bool:
    """Let llama.cpp's own parser write the words into an `xllamacpp.CommonParams`."""
    import xllamacpp

    lib = c.CDLL(str(Path(xllamacpp.__file__).with_name("xllamacpp.abi3.so")))
    parse = lib._Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E
    parse.restype = c.c_bool
    words = [word.encode() for word in arguments]
    return bool(
        parse(len(words), (c.c_char_p * (len(words) + 1))(*words, None), _address(params), _SERVER, None)
    )


def _address(params: object) -> c.c_void_p:
    """Where the C++ struct lies in the Python object: its second field is the context."""
    params.n_ctx = 54321  # type: ignore[attr-defined]
    address = id(params) + _HEAD_BYTES
    if list((c.c_int32 * 2).from_address(address)) != [-1, 54321]:
        raise RuntimeError("this build lays CommonParams out differently")
    params.n_ctx = 0  # type: ignore[attr-defined]
    return c.c_void_p(address)


def _tell(**found: object) -> None:
    print(json.dumps(found), flush=True)


def _main() -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    if not parse_into(params, json.loads(sys.stdin.read())):
        _tell(outcome="refused")
        os._exit(0)
    _tell(outcome="parsed")
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    answer = server.handle_completions({"prompt": "ab", "max_tokens": 2, "temperature": 0})
    _tell(outcome="ready", answered="choices" in answer or "content" in answer)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
