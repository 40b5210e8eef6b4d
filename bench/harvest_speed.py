"""How long one release takes to harvest and how much memory, download aside.

    python -m bench.harvest_speed [PROJECT VERSION] [--cache DIR]

Each run is a process of its own that reads the package in the cache, without the facts that are kept
beside it, and makes the rules of that release. Bars for one release of vLLM: 20 s and 500 MB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from tools.harvest import fetch
from tools.harvest.__main__ import CATALOG, rules_of
from tools.harvest.archive import read_package
from tools.harvest.facts import Facts
from tools.harvest.projects import project_of

SECONDS, MEGABYTES = 20, 500


def once(name: str, version: str, cache: Path) -> None:
    """Read one release, make its rules, print seconds, processor seconds and the peak of memory."""
    project = project_of(name)
    start = time.perf_counter()
    files = read_package(fetch.source_package(name, version, cache), project.wanted)
    facts = Facts(project=name, version=version, tables=project.read(files))
    rules, _ = rules_of(project, [facts], CATALOG)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{name} {version}: {len(files)} files, {len(rules)} rules, {seconds:.1f} s, "
        f"{used.ru_utime + used.ru_stime:.1f} s of processor, {used.ru_maxrss * 1024 / 1e6:.0f} MB; "
        f"bars {SECONDS} s, {MEGABYTES} MB"
    )


def main() -> None:
    """Three runs; the first one brings the package into the cache beforehand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("release", nargs="*", default=["vllm", "0.33.0"])
    parser.add_argument("--cache", type=Path, default=fetch.default_cache())
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    name, version = asked.release
    if asked.once:
        once(name, version, asked.cache)
        return
    fetch.source_package(name, version, asked.cache)
    command = [
        sys.executable,
        "-m",
        "bench.harvest_speed",
        name,
        version,
        "--cache",
        str(asked.cache),
        "--once",
    ]
    for _ in range(3):
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
