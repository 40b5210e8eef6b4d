"""`plimsoll fit`: parse the question, ask, print the answer."""

from __future__ import annotations

from typing import Any, get_args

import click

from plimsoll.ask.fit import FitQuestion, fit, spelled
from plimsoll.domain.deployment import SplitKind
from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting
from plimsoll.runtimes import RUNTIMES
from plimsoll.units import parse_bytes, parse_tokens


class Parsed(click.ParamType[Any]):
    """A value read by a function of `plimsoll.units`."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except BadSetting as error:
            self.fail(f"{error.message} ({error.hint})", param, ctx)


SIZE = Parsed("size", parse_bytes)
TOKENS = Parsed("tokens", parse_tokens)


def fit_options(command: Any) -> Any:
    """The options of a fit question, in the order people need them."""
    option = click.option
    for add in reversed(
        [
            option(
                "--on",
                metavar="MACHINE",
                help="rtx-pro-6000, '2x rtx-3090 + 128GiB ram', a .toml file; default: here.",
            ),
            option(
                "--runtime",
                default="",
                metavar="NAME[==VERSION]",
                help=f"{', '.join(map(spelled, RUNTIMES))}.",
            ),
            option(
                "--weights",
                default="",
                metavar="FORMAT",
                help="q4_k_m, q8_0, bf16, fp8, awq, mlx-4bit, exl3-4.0bpw.",
            ),
            option(
                "--kv", default="", metavar="FORMAT[/FORMAT]", help="KV cache (or K/V), such as q8_0 or fp8."
            ),
            option("--context", type=TOKENS, help="Tokens per sequence: 131072 or 128k."),
            option(
                "--parallel",
                type=click.IntRange(1, 10**6),
                default=1,
                show_default=True,
                help="Sequences at once.",
            ),
            option("--vram-free", type=SIZE, help="What is free on each device, such as 80GiB."),
            option("--ram", type=SIZE, help="Host memory, such as 128GiB."),
            option("--desktop", type=SIZE, help="What a desktop takes on the first card."),
            option(
                "--split", type=click.Choice(get_args(SplitKind)), help="How several devices share the model."
            ),
            option(
                "--gpu-layers",
                "-ngl",
                type=click.IntRange(0),
                help="llama.cpp: layers on the GPU, rest in RAM.",
            ),
            option(
                "--n-cpu-moe", type=click.IntRange(0), help="llama.cpp: layers whose experts stay in RAM."
            ),
            option(
                "--override-tensor",
                "-ot",
                multiple=True,
                metavar="REGEX=BUFFER",
                help="llama.cpp: 'exps=CPU'.",
            ),
            option("--adapter", "adapters", multiple=True, metavar="PATH", help="A LoRA adapter, too."),
            option(
                "--set",
                "settings",
                multiple=True,
                metavar="NAME=VALUE",
                help="A setting of the runtime itself.",
            ),
            option("--offline", is_flag=True, help="Never use the network."),
            option("--why", is_flag=True, help="Show every number's formula, inputs and sources."),
            option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object."),
        ]
    ):
        command = add(command)
    return command


@click.command("fit", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@fit_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """Does MODEL fit the machine, and how much room is left?

    MODEL is a name (gpt-oss-120b), a hub id (Qwen/Qwen3-30B-A3B), a .gguf file or a folder with
    safetensors. Several models are placed on the machine side by side.

    Exit code: 0 yes, 1 no, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = fit(question_from(typed))
    if typed["as_json"]:
        say_json(answer)
    else:
        from plimsoll.doors.cli.render import show

        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)


def question_from(typed: dict[str, Any]) -> FitQuestion:
    """The question that the options of `fit_options` asked."""
    return FitQuestion(
        models=typed["models"],
        on=typed["on"],
        runtime=typed["runtime"],
        weights=typed["weights"],
        kv=typed["kv"],
        context_tokens=typed["context"],
        parallel_sequences_count=typed["parallel"],
        vram_free_bytes=typed["vram_free"],
        ram_bytes=typed["ram"],
        desktop_bytes=typed["desktop"],
        split=typed["split"],
        gpu_layers_count=typed["gpu_layers"],
        cpu_expert_layers_count=typed["n_cpu_moe"],
        overrides=tuple(_pair(text, "--override-tensor") for text in typed["override_tensor"]),
        settings={name: _value(value) for name, value in (_pair(t, "--set") for t in typed["settings"])},
        adapters=typed["adapters"],
        offline=typed["offline"],
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise BadSetting(f"{option} {text!r} lacks a name or a value", hint=f"{option} NAME=VALUE")
    return name, value


def _value(text: str) -> int | float | str | bool:
    if text.lower() in ("true", "false", "on", "off"):
        return text.lower() in ("true", "on")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
