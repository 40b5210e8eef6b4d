"""How many requests a minute of CPU simulates: python bench/load_speed.py [--requests N] [--json]

The same Poisson traffic (4,096 prompt and 500 generated tokens) goes through each scheduler below, near and
above its saturation. Beside ours runs the usual way to write such a simulation: a SimPy process (pip install
simpy) that wakes up for every step and gives every sequence its token, with the same step times. `mean wait`
shows that both serve alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from plimsoll.core.chance import Chance
from plimsoll.core.load import simulate
from plimsoll.core.load_figures import Pace, Paces, saturation
from plimsoll.domain.load import Server
from plimsoll.domain.traffic import Request

PROMPT, OUTPUT, SLOTS, STEP = 4096, 500, 64, 2048


def seconds_of(count: int, depth: float, tokens: int, seen: float) -> float:
    """Like an 8B model on one card: 10 ms, 0.1 ms a sequence, 20 us a prompt token."""
    return 0.01 + 1e-4 * count + 1e-8 * count * depth + 2e-5 * tokens


def stream(rate: float, count: int) -> Iterator[Request]:
    """Poisson arrivals."""
    chance, now = Chance(1, "load_speed"), 0.0
    for _ in range(count):
        now += chance.exponential(1 / rate)
        yield Request(arrival_s=now, prompt_tokens=PROMPT, output_tokens=OUTPUT)


def server_of(scheduling: str) -> Server:
    """Slots for all that fit the cache, which holds a little more."""
    return Server(
        scheduling=scheduling, slots_count=SLOTS, step_tokens=STEP, pool_tokens=SLOTS * 4800,  # type: ignore[arg-type]
        context_tokens=4800, block_tokens=16 if scheduling == "chunked" else 1,
        is_unified=scheduling != "slots",
    )  # fmt: skip


def most_of(scheduling: str) -> float:
    """Requests a second at saturation."""
    pace = Pace(server=server_of(scheduling), steps=seconds_of)
    return saturation(list(stream(1.0, 1000)), Paces(expected=pace, slow=pace, fast=pace)).rate.value


def ours(rate: float, count: int, scheduling: str) -> tuple[float, float]:
    """(CPU seconds, mean wait for the first token)."""
    server = server_of(scheduling)
    begin = time.process_time()
    found = simulate(stream(rate, count), server, seconds_of)
    spent = time.process_time() - begin
    return spent, sum(o.ttft_s for o in found.outcomes) / count


def per_token(rate: float, count: int) -> tuple[float, float]:
    """The same by SimPy, an event per step and a turn per token."""
    import simpy

    waits: list[float] = []
    env = simpy.Environment()
    waiting: list[Any] = []
    awake = [env.event()]

    def arrive() -> Any:
        for request in stream(rate, count):
            yield env.timeout(max(request.arrival_s - env.now, 0.0))
            waiting.append({"came": env.now, "left": PROMPT, "out": 0})
            if not awake[0].triggered:
                awake[0].succeed()

    def serve() -> Any:
        running: list[Any] = []
        while len(waits) < count or running:
            while waiting and len(running) < SLOTS:
                running.append(waiting.pop(0))
            if not running:
                awake[0] = env.event()
                yield awake[0]
                continue
            decoding = [j for j in running if not j["left"]]
            budget, tokens = STEP - len(decoding), 0
            for job in running:
                taken = min(job["left"], budget - tokens)
                if taken:
                    job["left"] -= taken
                    tokens += taken
                    job["first"] = not job["left"]
            depth = sum(PROMPT + j["out"] for j in decoding) / max(len(decoding), 1)
            yield env.timeout(seconds_of(len(decoding), depth, tokens, 0.0))
            for job in list(running):
                if job["left"]:
                    continue
                job["out"] += 1
                if job["out"] == 1:
                    waits.append(env.now - job["came"])
                if job["out"] >= OUTPUT:
                    running.remove(job)

    env.process(arrive())
    env.process(serve())
    begin = time.process_time()
    env.run()
    return time.process_time() - begin, sum(waits) / count


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    rows = []
    most = {name: most_of(name) for name in ("chunked", "prompts first", "slots")}
    for share in (0.5, 0.9, 1.2):
        rate = share * most["chunked"]
        for name, own in most.items():
            rows.append(_row(name, share, typed.requests, *ours(share * own, typed.requests, name)))
        fewer = max(typed.requests // 10, 100)
        rows.append(_row("chunked, same requests", share, fewer, *ours(rate, fewer, "chunked")))
        try:
            rows.append(_row("SimPy, event per step", share, fewer, *per_token(rate, fewer)))
        except ImportError:
            print("SimPy is not installed (pip install simpy): no baseline")
    if typed.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print("  ".join(f"{row[name]!s:>{width}}" for name, width in _COLUMNS))


_COLUMNS = (("scheduler", 24), ("load", 5), ("requests", 9), ("per_cpu_minute", 12), ("mean_wait_s", 10))


def _row(name: str, share: float, count: int, seconds: float, wait: float) -> dict[str, Any]:
    return {
        "scheduler": name, "load": share, "requests": count, "mean_wait_s": round(wait, 4),
        "per_cpu_minute": round(60 * count / seconds),
    }  # fmt: skip


if __name__ == "__main__":
    main()
