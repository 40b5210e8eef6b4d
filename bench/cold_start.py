"""The time of a whole command in a new process, for benches to import."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time


def cold(words: list[str], runs: int, *, may_say_no: bool = False) -> tuple[float, float]:
    """Best wall seconds of new processes, and the CPU seconds of that one; raises where one fails."""
    code = "from plimsoll.doors.cli.main import main; main()"
    # Byte code is cached, as it is after an installation by pip.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, env=kept, check=not may_say_no
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return min(found)
