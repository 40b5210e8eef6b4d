"""Rows of a speed-measurement file that several requests made: ServingMeasurements, or a reason why not.

What a row counts is told by its source: llama-benchy's `results.py` (generated tokens after each request's
first, from the first of all first tokens to the last), METHODOLOGY.md and `curve` of 4x3090-llm-benchmarks
(all output tokens over the whole wave), the Qwen3 speed tables ((prompt + generated) / time), the serving
client of InferenceX (output tokens over ten times as many requests as are in flight).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import speed_rows
from memory_rows import NotExpressed
from speed_rows import Row

from plimsoll.domain.measurement import Measurement, ServingMeasurement

# The prompts of llama-benchy's test "05-big-context", in the order of the source's tables; the rows of
# generated tokens carry the first for all four (benchmark-suite.json of dgx-spark-benchmarks).
_BIG_CONTEXT = (4096, 8192, 16384, 25000)
# meta.json of dgx-spark-benchmarks: prefix caching off.
_BENCHY_CHUNK = 8192
# The llama-server commands of 4x3090's orchestrator: -np 8 (launch_argv of data/benchmarks.jsonl).
_ORCHESTRATOR_SLOTS = 8


def is_serving(row: Row) -> bool:
    """Whether a client made it that counts prompts and queueing in; llama-batched-bench and llama-benchy's
    prompt rows count a pass alone."""
    notes, metric = row.get("notes") or "", row["metric"]
    if metric in ("ttft_ms", "tpot_ms"):
        return True
    if metric == "throughput_tps":
        return "S_TG" not in notes
    return (row.get("concurrency") or 1) > 1 and "kind=aggregate_output" in notes


def with_prompts(rows: Iterable[Row]) -> list[Row]:
    """The rows with `n_prompt` where only the order of a source's table tells it.

    Four rows of one table, concurrency and metric are its four prompts in order; other counts are left as
    they are, and refused later.
    """
    out = [dict(r) for r in rows]
    tables: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in out:
        if "05-big-context" in (row.get("notes") or "") and row["metric"] in ("throughput_tps", "decode_tps"):
            tables[row["source_url"], row["metric"], row["concurrency"]].append(row)
    for found in tables.values():
        if len(found) == len(_BIG_CONTEXT):
            for row, prompt in zip(found, _BIG_CONTEXT, strict=True):
                row["depth"] = prompt
                row["is_prompt_told"] = True
    return out


def express(row: Row) -> ServingMeasurement:
    """The row as a ServingMeasurement. Raises NotExpressed with the reason."""
    notes = row.get("notes") or ""
    if "serving client" in notes and row["model"].startswith("GLM-5"):
        # Its serve_glm5_sbatch.sh sets speculative-config.method mtp.
        raise NotExpressed("speculative decoding: the acceptance rate is not told")
    client, counted = _client(row, notes)
    prompt, output = _shape(row, notes, client)
    plain, instances = _one_engine(row, notes)
    base = speed_rows.express(plain)
    values = {f.name: getattr(base, f.name) for f in fields(Measurement)}
    values |= {
        "metric": row["metric"], "value": float(row["value"]), "prompt_tokens": prompt,
        "generated_tokens": output, "depth_tokens": 0,
        "ubatch_tokens": _BENCHY_CHUNK if client == "llama-benchy" else base.ubatch_tokens,
        "sequences_count": row.get("concurrency") or 1,
    }  # fmt: skip
    if client == "queue":
        values["value"] *= base.devices_count  # told per card
    return ServingMeasurement(
        **values,
        client=client,
        counted=counted,
        instances_count=instances,
        cached_percent=_cached_percent(row, base, instances),
        order="prompts first" if base.runtime == "sglang" else "",
        slots_count=_ORCHESTRATOR_SLOTS
        if base.runtime == "llama_cpp" and "#orch/" in row["source_url"]
        else 0,
    )


def _client(row: Row, notes: str) -> tuple[str, str]:
    metric = row["metric"]
    if "llama-benchy" in notes:
        return "llama-benchy", "after the first"
    if "source defines speed=(prompt" in notes:
        return "wave", "prompt and output"
    if "maximum load" in notes:
        if "PER GPU" not in notes:
            raise NotExpressed("whether tokens are counted per card is not told")
        return "queue", "output"
    if "serving client" in notes:
        return "closed", "mean" if metric == "tpot_ms" else "output"
    if "inter-token latency" in notes:
        return "wave", "gap"
    if "objective=concurrency_sweep" in notes:  # its waits stop growing from 24 requests on
        return "closed", "mean" if metric in ("tpot_ms", "decode_tps") else "output"
    if re.search(r"kind=(aggregate_output|single_stream_wall)", notes):
        return "wave", "mean" if metric in ("tpot_ms", "decode_tps") else "output"
    if metric == "ttft_ms" and row.get("concurrency") == 1:
        return "single", "output"
    raise NotExpressed("what the client counted is not told")


def _shape(row: Row, notes: str, client: str) -> tuple[int, int]:
    prompt, output = row.get("n_prompt"), row.get("n_gen")
    if client == "llama-benchy":
        if "05-big-context" in notes and not row.get("is_prompt_told"):
            raise NotExpressed("which of the test's four prompts it is, is not told")
        prompt = row["depth"]
    if not prompt:
        raise NotExpressed("the length of the prompt is not told")
    if not output and row["metric"] != "ttft_ms":
        raise NotExpressed("the number of generated tokens is not told")
    if "objective=prefix_cache" in notes:
        raise NotExpressed("how much of the prompt was cached is not told")
    return int(prompt), int(output or 1)


def _one_engine(row: Row, notes: str) -> tuple[Row, int]:
    """The row as if one engine ran it, and how many ran side by side."""
    found = re.search(r"tp(\d+) pp(\d+) instances(\d+)", notes)
    plain = {**row, "metric": "decode_tps", "n_prompt": None, "concurrency": row.get("concurrency") or 1}
    plain["notes"] = re.sub(r"source defines speed.*|at maximum load|tp\d+ pp\d+ instances\d+", "", notes)
    if row.get("quant") is None and "serving client" in notes:  # served as published
        plain["quant"] = "fp8" if speed_rows.model_of(row["model"]).weight_format == "fp8" else None
    if found:
        tensor, pipeline, instances = (int(n) for n in found.groups())
        if pipeline > 1:
            raise NotExpressed("a pipeline has no serving model")
        plain["n_gpu"] = tensor
        return plain, instances
    parallel = re.search(r"parallelism ([^;]+);", notes)
    if parallel and not re.fullmatch(r"TP\d+( PP1)?", parallel[1]):
        raise NotExpressed(f"parallelism {parallel[1]} has no serving model")
    return plain, 1


def _cached_percent(row: Row, base: Measurement, instances: int) -> int:
    """The runs of 4x3090's orchestrator repeat one prompt, and vLLM and llama-server keep its prefix unless
    the model has recurrent layers; with fewer requests than engines most find one that has not seen it.
    llama-server keeps it per slot, and the runs double their requests up to its slots: half of the slots are
    new."""
    from plimsoll.ask.measured import work_of

    count = row.get("concurrency") or 1
    if "#orch/" not in row["source_url"] or count < instances:
        return 0
    work = work_of(base.model, base.runtime, base.weight_format, base.file_bytes)
    if any(layer.state for layer in work.layers):
        return 0
    return 50 if base.runtime == "llama_cpp" and 1 < count <= _ORCHESTRATOR_SLOTS else 100
