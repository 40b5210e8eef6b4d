"""A long fuzz of every reader: whatever the bytes, the answer is a result or a typed error, at once.

    python bench/fuzz_readers.py [--seconds 60] [--reader gguf]

With --reader and atheris installed it is guided by coverage, else it damages good headers at random.
Stops at the first exception that is no PlimsollError, and at any input that takes more than a second.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from plimsoll.errors import PlimsollError
from plimsoll.parse import safetensors, strict_json
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.checkpoint import model_from_checkpoint
from plimsoll.parse.gguf import read_header
from plimsoll.parse.gguf_model import model_from_gguf
from plimsoll.parse.tokenizer import facts_from_gguf, facts_from_tokenizer_json
from tests.parse import gguf_bytes

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100, "torch_dtype": "bfloat16",
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32},
}  # fmt: skip
HEADER = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}
INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors"}, "metadata": {"total_size": 8}}
TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]}, "added_tokens": [{"id": 1}]}


def gguf(data: bytes) -> None:
    header = read_header(Buffer(data, "fuzz.gguf", 64))
    facts_from_gguf(header)
    model_from_gguf([header], id="fuzz")


def st_header(data: bytes) -> None:
    safetensors.read_header(Buffer(data, "fuzz.safetensors"))


def st_index(data: bytes) -> None:
    safetensors.read_index(data, where="fuzz.index.json")


def config(data: bytes) -> None:
    model_from_checkpoint(strict_json.loads_object(data, where="config.json"), [], id="fuzz")


def tokenizer(data: bytes) -> None:
    facts_from_tokenizer_json(strict_json.loads_object(data, where="tokenizer.json"))


def _safetensors(header: object) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(8)


READERS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "gguf": (gguf, [gguf_bytes.llama(), gguf_bytes.llama(general__architecture="gemma3")]),
    "safetensors": (st_header, [_safetensors(HEADER)]),
    "index": (st_index, [json.dumps(INDEX).encode()]),
    "config": (config, [json.dumps(CONFIG).encode()]),
    "tokenizer": (tokenizer, [json.dumps(TOKENIZER).encode()]),
}
INTERESTING = (0, 1, 127, 128, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1)


def once(reader: Callable[[bytes], None], data: bytes) -> bool:
    """Whether the reader accepted the bytes; raises for anything but a typed error."""
    began = time.perf_counter()
    try:
        reader(data)
        return True
    except PlimsollError:
        return False
    finally:
        took = time.perf_counter() - began
        if took > 1:
            raise TimeoutError(f"{took:.1f} s for {len(data)} bytes: {data[:200]!r}")


def damaged(seed: bytes, dice: random.Random) -> bytes:
    """A copy with a few bytes, numbers or stretches changed, mostly near the start where headers are."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 6)):
        at = min(int(dice.expovariate(1 / 300)), len(data) - 1) if data else 0
        kind = dice.randrange(6)
        if kind == 0 and data:
            data[at] = dice.randrange(256)
        elif kind == 1:
            data[at : at + 8] = struct.pack("<Q", dice.choice(INTERESTING))
        elif kind == 2:
            data[at : at + 4] = struct.pack("<I", dice.choice(INTERESTING) % 2**32)
        elif kind == 3:
            del data[at : at + dice.randint(1, 40)]
        elif kind == 4:
            data[at:at] = data[at : at + dice.randint(1, 60)]
        else:
            data[at : at + 3] = dice.choice((b"NaN", b"1e9", b"[[[", b"{{{", b'"":', b"-1,", b"nul", b"99,"))
    return bytes(data)


def run(names: list[str], seconds: float, seed: int) -> None:
    """Damage the seeds until the time is over; prints how many inputs were read and refused."""
    dice = random.Random(seed)
    for name in names:
        reader, seeds = READERS[name]
        end, tried, accepted = time.perf_counter() + seconds / len(names), 0, 0
        for good in seeds:
            once(reader, good)
        while time.perf_counter() < end:
            data = damaged(dice.choice(seeds), dice)
            try:
                accepted += once(reader, data)
            except BaseException:
                print(f"{name}: input {data!r}", file=sys.stderr)
                raise
            tried += 1
        print(f"{name:12} {tried:9,} inputs, {accepted:9,} accepted, {tried - accepted:9,} refused")


def guided(name: str, seconds: float) -> bool:
    """Coverage-guided fuzzing by atheris; False when it is not installed."""
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        return False
    reader = READERS[name][0]
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], lambda data: once(reader, data))
    atheris.Fuzz()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--reader", choices=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.reader and guided(chosen.reader, chosen.seconds):
        return
    run([chosen.reader] if chosen.reader else list(READERS), chosen.seconds, chosen.seed)


if __name__ == "__main__":
    main()
