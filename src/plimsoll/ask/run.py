"""Start what `launch` said, watch its log, and hold what it reports against the promise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from plimsoll.ask.fit import spelled
from plimsoll.core import launch_figures
from plimsoll.core.launch_check import compare, foreign_splits_count
from plimsoll.domain.engine_log import EngineLog
from plimsoll.domain.launch import (
    NO_DRAFT,
    NO_MODEL,
    NO_MODEL_ELSEWHERE,
    Compared,
    ComparedCount,
    LaunchAnswer,
    RunAnswer,
)
from plimsoll.edges import serve
from plimsoll.edges.paths import is_path
from plimsoll.errors import BadSetting, LaunchError
from plimsoll.parse import llama_cpp_log, sglang_log, vllm_log

# llama-server, vLLM, SGLang, trtllm-serve and mlx_lm.server answer 200 there once they serve.
_HEALTH = "/health"
_READERS: dict[str, Callable[[EngineLog, str], EngineLog]] = {
    "llama_cpp": llama_cpp_log.after, "vllm": vllm_log.after, "sglang": sglang_log.after,
}  # fmt: skip
_QUIET_S = 0.4  # a log that is silent for so long after readiness has said what it had to say
_INSTALL = {
    "llama_cpp": "install llama.cpp (https://github.com/ggml-org/llama.cpp), or --program PATH",
    "vllm": "pip install vllm, or --program PATH",
    "sglang": "pip install sglang, or --program PATH of the Python that has it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who is told of what: each line of the log, and the answer once the model serves."""

    line: Callable[[str], None]
    ready: Callable[[RunAnswer], None]


def check(answer: LaunchAnswer) -> None:
    """Raise BadSetting for what would keep the command from starting: nothing is started then."""
    command, serving = answer.command, answer.serving
    if answer.verdict not in ("fits", "tight", "offload") or command is None or serving is None:
        raise BadSetting(
            f"there is nothing to run: {answer.reason or answer.verdict}", hint="plimsoll fit says why"
        )
    runtime = answer.deployments[0].runtime.id
    if serving.model_path in (*NO_MODEL.values(), NO_MODEL_ELSEWHERE):
        raise BadSetting("where the model lies was not told", hint="--model-path PATH")
    if serving.draft_path == NO_DRAFT:
        raise BadSetting("where the draft model lies was not told", hint="--draft-path PATH")
    if serve.found_program(command.program[0]) is None:
        raise BadSetting(
            f"there is no program {command.program[0]!r} on the PATH",
            hint=_INSTALL.get(runtime, f"install {spelled(runtime)}, or --program PATH"),
        )
    for path in (serving.model_path, *serving.adapter_paths, *filter(None, (serving.draft_path,))):
        if (runtime == "llama_cpp" or is_path(path)) and not Path(path).exists():
            raise BadSetting(f"there is no file {path}", hint="--model-path PATH")
    problem = serve.port_problem(serving.host, serving.port)
    if problem:
        free = serve.free_port(serving.host, serving.port) if "in use" in problem else None
        raise BadSetting(problem, hint=f"--port {free}" if free else "another --host or --port")


def run(answer: LaunchAnswer, watching: Watching, *, until_ready: bool = False) -> RunAnswer:
    """Start it and watch it until it ends, is interrupted, or (`until_ready`) has been compared.

    A model that memory does not hold after all is an answer (exit code 1). Raises BadSetting where `check`
    does and LaunchError when the program ends for another reason; nothing is left running.
    """
    check(answer)
    assert answer.command is not None
    assert answer.serving is not None
    words = (str(serve.found_program(answer.command.program[0])), *answer.command.arguments[1:])
    variables = {flag.name: flag.value for flag in answer.command.environment}
    started = time.monotonic()
    log = EngineLog()
    try:
        process = serve.Running(words, variables)
    except OSError as error:
        raise LaunchError(f"{words[0]}: {error.strerror}", hint="--program PATH") from None
    with process:
        log, is_ready = _until_ready(process, answer, log, watching)
        seconds = time.monotonic() - started
        if not is_ready:
            return _ended(answer, log, process.wait_end(5.0), seconds)
        ready = _ready(answer, log, seconds)
        watching.ready(ready)
        if until_ready:
            return ready
        while (line := process.line(0.5)) is not None:
            if line:
                watching.line(line)
        status = process.wait_end(5.0)
    return replace(ready, outcome="stopped", exit_status=status)


def _until_ready(
    process: serve.Running, answer: LaunchAnswer, log: EngineLog, watching: Watching
) -> tuple[EngineLog, bool]:
    """Read until the server answers and its log is quiet; False when it ended before."""
    assert answer.serving is not None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(answer.serving.host, answer.serving.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{answer.serving.port}{_HEALTH}"
    after = _READERS.get(answer.deployments[0].runtime.id)
    is_ready, asked = False, 0.0
    while True:
        line = process.line(_QUIET_S if is_ready else 0.1)
        if line is None:
            return log, False
        if line:
            watching.line(line)
            log = after(log, line) if after else log
        elif is_ready:
            return log, True
        if not is_ready and time.monotonic() - asked > 0.25:
            is_ready, asked = serve.answers(url), time.monotonic()


def _compared(answer: LaunchAnswer, log: EngineLog) -> tuple[Compared, ...]:
    deployment = answer.deployments[0]
    if deployment.runtime.id == "llama_cpp":
        return compare(answer.promise, deployment, log)
    if deployment.runtime.id not in _READERS:
        return ()
    return launch_figures.compare(answer.promise, answer.estimates, deployment, log)


def _counts(answer: LaunchAnswer, log: EngineLog) -> tuple[ComparedCount, ...]:
    if answer.deployments[0].runtime.id not in ("vllm", "sglang"):
        return ()
    return launch_figures.compare_counts(answer.promise, answer.estimates, log)


def _ready(answer: LaunchAnswer, log: EngineLog, seconds: float) -> RunAnswer:
    return RunAnswer(
        question="run", outcome="ready", reason="", compared=_compared(answer, log),
        seconds=round(seconds, 2), exit_status=None, notes=tuple(_notes(answer, log)),
        versions=answer.versions, counts=_counts(answer, log),
    )  # fmt: skip


def _notes(answer: LaunchAnswer, log: EngineLog) -> Iterator[str]:
    """What else the log says of what was asked."""
    deployment = answer.deployments[0]
    runtime, workload = deployment.runtime.id, deployment.workload
    if runtime not in _READERS:
        yield f"what the log of {spelled(runtime)} reports is not compared: it is only known that it serves"
    elif not log.buffers and not log.figures:
        yield "the log named no buffers: nothing could be compared"
    length = log.slot_tokens if runtime == "llama_cpp" else log.sequence_tokens
    if length and length < workload.context_tokens:
        who = "slot" if runtime == "llama_cpp" else "sequence"
        yield f"a {who} holds {length:,} tokens, not {workload.context_tokens:,} as asked"
    offered = min((f.value for f in log.figures if f.kind == "concurrency"), default=None)
    if offered is not None and offered < workload.parallel_sequences_count:
        yield (
            f"the cache holds {offered:g} sequences of full length, not "
            f"{workload.parallel_sequences_count} as asked: others wait or are computed anew"
        )
    if foreign_splits_count(deployment, log):
        yield (
            f"the graph is cut into {log.splits_count} parts: a device lacks an operation of this model, "
            "which the host computes; expect it to be slow"
        )
    variables = serve.environment("LLAMA_ARG_") if runtime == "llama_cpp" else ()
    if variables:
        yield f"the environment sets {', '.join(variables)}, which the promise does not know"


def _ended(answer: LaunchAnswer, log: EngineLog, status: int | None, seconds: float) -> RunAnswer:
    failure = log.failure
    program = answer.command.program[0] if answer.command else ""
    runtime = spelled(answer.deployments[0].runtime.id)
    if failure is None or failure.kind != "memory":
        why = (
            failure.line
            if failure
            else f"it ended with {status} before it served, and its log does not say why"
        )
        hints = {"port": "--port N", "file": "--model-path PATH", "flag": f"--runtime {runtime}==VERSION"}
        raise LaunchError(f"{program}: {why}", hint=hints.get(failure.kind, "") if failure else "")
    return RunAnswer(
        question="run", outcome="out_of_memory", reason=failure.line, compared=_compared(answer, log),
        seconds=round(seconds, 2), exit_status=status, notes=(), versions=answer.versions,
        counts=_counts(answer, log),
    )  # fmt: skip
