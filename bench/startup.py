"""Cold start of the whole process, offline, beside what Python itself and its usual companions cost.

    python bench/startup.py [--runs 15]

Run it with the interpreter of the environment that Plimsoll is installed in. The bars are 0.20 s
for the fit and 0.15 s for --help, median, on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

PLIMSOLL = "from plimsoll.doors.cli.main import main; main()"
FIT = ["fit", "gpt-oss-120b", "--on", "rtx-pro-6000"]
CASES = [
    ("baseline: python -c pass", ["-c", "pass"]),
    ("baseline: python -c 'import click'", ["-c", "import click"]),
    ("baseline: argparse, dataclasses, json, re", ["-c", "import json, argparse, dataclasses, re"]),
    ("plimsoll --help", ["-c", PLIMSOLL, "--help"]),
    ("plimsoll fit gpt-oss-120b --on rtx-pro-6000", ["-c", PLIMSOLL, *FIT]),
    ("the same with --json", ["-c", PLIMSOLL, *FIT, "--json"]),
    ("plimsoll check gpt-oss-120b --on rtx-pro-6000 --runtime vllm",
     ["-c", PLIMSOLL, "check", *FIT[1:], "--runtime", "vllm"]),
    ("plimsoll check --matrix --on rtx-pro-6000", ["-c", PLIMSOLL, "check", "--matrix", *FIT[2:]]),
    ("plimsoll fit qwen3-30b-a3b --weights q4_k_m",
     ["-c", PLIMSOLL, "fit", "qwen3-30b-a3b", "--on", "rtx-3090", "--weights", "q4_k_m"]),
]  # fmt: skip


def seconds(arguments: list[str]) -> float:
    """Wall time of one process. Byte code is cached, as it is after an installation by pip."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment, check=False)
    return time.perf_counter() - start


def main() -> None:
    """Print median and best of each case; the runs are interleaved, so that a busy minute hits all alike."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for _, arguments in CASES:
        seconds(arguments)
    times: dict[str, list[float]] = {name: [] for name, _ in CASES}
    for _ in range(runs):
        for name, arguments in CASES:
            times[name].append(seconds(arguments))
    load = os.getloadavg()[0]
    print(f"{'median':>8} {'best':>8}   ({runs} runs each, load {load:.1f} on {os.cpu_count()} cores)")
    for name, _ in CASES:
        print(f"{statistics.median(times[name]):>6.3f} s {min(times[name]):>6.3f} s   {name}")


if __name__ == "__main__":
    main()
