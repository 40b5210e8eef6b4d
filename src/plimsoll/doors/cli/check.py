"""`plimsoll check`: parse the question, ask, print the verdicts."""

from __future__ import annotations

from typing import Any

import click

from plimsoll.doors.cli.text import say_json
from plimsoll.errors import UsageError


@click.command("check", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", required=False, default="", metavar="[MODEL]")
@click.option("--on", metavar="MACHINE", help="rtx-pro-6000, '2x rtx-3090', a .toml file; default: here.")
@click.option("--runtime", default="", metavar="NAME[==VERSION]", help="vllm==0.33, llama.cpp==b11549, ...")
@click.option(
    "--weights", default="", metavar="FORMAT", help="nvfp4, fp8, awq, q4_k_m; default: as published."
)
@click.option("--kv", default="", metavar="FORMAT", help="KV cache, such as fp8 or q8_0.")
@click.option("--lora", default="", metavar="PATH", help="A LoRA adapter.")
@click.option(
    "--ui",
    "ui",
    default=None,
    metavar="NAME",
    is_flag=False,
    flag_value="",
    help="A front-end; without NAME all of them.",
)
@click.option("--driver", default="", metavar="VERSION", help="NVIDIA's driver, such as 580.95.")
@click.option("--cuda", default="", metavar="VERSION", help="CUDA runtime; default: the release's own.")
@click.option("--os", "os", default="", metavar="NAME", help="ubuntu-24.04, windows-11, macos.")
@click.option("--backend", default="", metavar="NAME", help="llama.cpp's: vulkan, rocm, sycl, opencl, ...")
@click.option(
    "--with",
    "features",
    multiple=True,
    metavar="FEATURE",
    help="What else: yarn, speculative, multi-gpu, ...",
)
@click.option(
    "--matrix", is_flag=True, help="All formats x all runtimes; with --weights: machines x runtimes."
)
@click.option("--stack", "stack", default="", metavar="NAME[==VERSION]", help="What a release is built on.")
@click.option(
    "--frontier", is_flag=True, help="Which catalog models run here unquantised, which need a format."
)
@click.option("--html", default="", metavar="FILE", help="Write the matrix as a web page.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--why", is_flag=True, help="Show every rule, its source and what must be done besides.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """Will MODEL run on the machine, with this runtime, version, format, driver, adapter?

    One verdict per aspect: native, supported, penalty, inefficient, unsupported or unknown, each with its
    source and the day it was read; then the answer and the nearest combination that works.

    Exit code: 0 yes, 1 no, 2 usage, 3 unknown, 4 could not reach.
    """
    way = _way(typed)
    if typed["html"] and way != "--matrix":
        raise UsageError("--html writes a matrix", hint="plimsoll check --matrix --html FILE")
    answer, show = _WAYS[way](typed)
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
    ctx.exit(getattr(answer, "exit_code", 0))


def _way(typed: dict[str, Any]) -> str:
    """Which question is asked; raises UsageError for two at once and for options that it does not have."""
    ways = {
        "--matrix": typed["matrix"], "--stack": typed["stack"], "--frontier": typed["frontier"],
        "--ui": typed["ui"] == "" or (typed["ui"] is not None and not typed["model"]),
    }  # fmt: skip
    chosen = [name for name, is_asked in ways.items() if is_asked]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} are two questions", hint=f"leave out {chosen[1]}")
    way = chosen[0] if chosen else ""
    for name in typed if way else ():
        if typed[name] and name not in (*_TAKES[way], "why", "as_json", "offline"):
            word = {"model": "MODEL", "features": "--with"}.get(name, f"--{name}")
            raise UsageError(f"{word} has no meaning for check {way}", hint=f"leave out {word}")
    return way


def _check(typed: dict[str, Any]) -> tuple[Any, Any]:
    from plimsoll.ask.check import CheckQuestion, check
    from plimsoll.doors.cli.check_text import show_check

    names = CheckQuestion.__slots__
    return check(
        CheckQuestion(**{name: typed[name] for name in names if typed[name] is not None})
    ), show_check


def _matrix(typed: dict[str, Any]) -> tuple[Any, Any]:
    from plimsoll.ask.check_matrix import MatrixQuestion, matrix
    from plimsoll.doors.cli.check_text import show_matrix

    found = matrix(
        MatrixQuestion(
            model=typed["model"], on=typed["on"], weights=typed["weights"], offline=typed["offline"]
        )
    )
    if typed["html"]:
        from plimsoll.doors.cli.check_html import write_matrix

        write_matrix(found, typed["html"])
    return found, show_matrix


def _stack(typed: dict[str, Any]) -> tuple[Any, Any]:
    from plimsoll.ask.check_stack import StackQuestion, stack
    from plimsoll.doors.cli.check_text import show_stack

    question = StackQuestion(
        runtime=typed["stack"], on=typed["on"], driver=typed["driver"], cuda=typed["cuda"]
    )
    return stack(question), show_stack


def _frontier(typed: dict[str, Any]) -> tuple[Any, Any]:
    from plimsoll.ask.check_frontier import frontier
    from plimsoll.doors.cli.check_text import show_frontier

    return frontier(typed["on"], runtime=typed["runtime"]), show_frontier


def _uis(typed: dict[str, Any]) -> tuple[Any, Any]:
    from plimsoll.ask.check_ui import uis
    from plimsoll.doors.cli.check_text import show_uis

    return uis(typed["model"], only=typed["ui"], offline=typed["offline"]), show_uis


_WAYS = {"": _check, "--matrix": _matrix, "--stack": _stack, "--frontier": _frontier, "--ui": _uis}
# The options that each question has.
_TAKES = {
    "--matrix": ("matrix", "model", "on", "weights", "html"), "--stack": ("stack", "on", "driver", "cuda"),
    "--frontier": ("frontier", "on", "runtime"), "--ui": ("ui", "model"),
}  # fmt: skip
