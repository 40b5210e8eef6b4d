"""Time and memory of `plimsoll diagnose` on a large log: python bench/diagnose_log.py [MB]

Writes a log of repeated server lines with one failure at the end, reads it, and prints seconds, MB/s and the
peak of memory, beside `grep` for one text in the same file.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose

LINES = "".join(
    f"INFO 09-07 10:{i % 60:02}:00 [loggers.py:123] Engine 000: Avg prompt throughput: {i}.5 tokens/s, "
    f"Running: {i % 8} reqs, GPU KV cache usage: {i % 100}.0%\n"
    for i in range(10_000)
)
FAILURE = "CUDA error: no kernel image is available for execution on the device\n"


def main() -> None:
    """Write, read, print."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.log"
        with path.open("w", encoding="utf-8") as file:
            while file.tell() < megabytes << 20:
                file.write(LINES)
            file.write(FAILURE)
        before = time.perf_counter()
        answer = diagnose(DiagnoseQuestion(path=str(path)))
        took = time.perf_counter() - before
        assert answer.causes, "the failure at the end was not found"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = time.perf_counter()
        subprocess.run(["grep", "-c", "no kernel image", str(path)], check=True, stdout=subprocess.DEVNULL)
        grep = time.perf_counter() - before
    print(f"{megabytes} MB, {answer.lines_count:,} lines, {answer.notes[0]}")
    print(
        f"diagnose {took:.1f} s, {megabytes / took:.0f} MB/s, peak {peak:.0f} MiB; "
        f"grep for one text {grep:.1f} s"
    )


if __name__ == "__main__":
    main()
