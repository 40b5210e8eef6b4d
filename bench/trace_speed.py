"""How fast traces are read and how much memory that takes, beside Python's csv module alone.

Usage: python bench/trace_speed.py [--rows 10000000] [--shape "plain CSV"]

Writes traces of random rows into a temporary folder, reads each in a process of its own, and prints rows per
second of CPU and the peak of that process's memory. The baseline reads the same file by csv.reader, three
numbers a row, and keeps nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

_BASELINE = """
import csv, resource, sys, time
start, count = time.process_time(), 0
with open(sys.argv[1], newline="") as file:
    rows = csv.reader(file)
    next(rows)
    for row in rows:
        float(row[0]), int(row[1]), int(row[2])
        count += 1
print(count, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
_OURS = """
import resource, sys, time
from plimsoll.ask.trace import TraceQuestion, trace
start, count = time.process_time(), 0
for request in trace(TraceQuestion(path=sys.argv[1])).requests:
    count += 1
print(count, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Write the traces, read them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shape", choices=[name for name, _, _ in _SHAPES])
    asked = parser.parse_args()
    rows = asked.rows
    print(f"{rows:,} rows each; Python {sys.version.split()[0]}")
    print(f"{'trace':34}{'rows/s':>12}{'CPU s':>10}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, head, line in _SHAPES:
            if asked.shape and name != asked.shape:
                continue
            path = Path(folder) / "trace"
            _write(path, head, line, rows)
            if name == "plain CSV":
                _time("csv.reader alone, plain CSV", _BASELINE, path, rows)
            _time(name, _OURS, path, rows)


def _plain(at: int, draw: int) -> str:
    return f"{at / 100:.2f},{draw % 4000 + 1},{draw % 500 + 1}\n"


def _shuffled(at: int, draw: int) -> str:
    return _plain(at + draw % 1000, draw)


def _azure(at: int, draw: int) -> str:
    day, second = divmod(at // 100, 86_400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{at % 100:02}0000+00:00"
    return f"2024-05-{10 + day:02} {clock},{draw % 4000 + 1},{draw % 500 + 1}\n"


def _burstgpt(at: int, draw: int) -> str:
    tokens = draw % 2000 + 1, draw % 500
    return f"{at // 10},ChatGPT,{tokens[0]},{tokens[1]},{sum(tokens)},Conversation log\n"


def _mooncake(at: int, draw: int) -> str:
    count = draw % 12_000 + 1
    names = list(range(draw % 99_999, draw % 99_999 + -(-count // 512)))
    return f'{{"timestamp": {at * 10}, "input_length": {count}, "output_length": 9, "hash_ids": {names}}}\n'


_HEAD = "arrival_s,prompt_tokens,output_tokens\n"
_SHAPES = (
    ("plain CSV", _HEAD, _plain),
    ("plain CSV, up to 1,000 rows late", _HEAD, _shuffled),
    ("Azure CSV", "TIMESTAMP,ContextTokens,GeneratedTokens\n", _azure),
    ("BurstGPT CSV", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n", _burstgpt),
    ("Mooncake JSONL", "", _mooncake),
)


def _write(path: Path, head: str, line: object, rows: int) -> None:
    from plimsoll.core.chance import Chance

    chance = Chance(1)
    draws = [chance.bits() >> 20 for _ in range(10_007)]
    assert callable(line)
    with path.open("w") as file:
        file.write(head)
        for at in range(rows):
            file.write(line(at, draws[at % len(draws)] + at // len(draws)))


def _time(name: str, program: str, path: Path, rows: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    count, seconds, peak = (float(word) for word in done.stdout.split())
    assert count <= rows
    print(f"{name:34}{count / seconds:12,.0f}{seconds:10.1f}{peak:10.1f}", flush=True)


if __name__ == "__main__":
    main()
