"""`plimsoll train-plan`: parse the question, ask, print the answer."""

from __future__ import annotations

import math
from typing import Any, get_args

import click

from plimsoll.ask.train_plan import TrainQuestion, train_plan
from plimsoll.domain.training import Framework, Loss, Method, Optimizer
from plimsoll.doors.cli.fit import TOKENS, Parsed
from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting


def _millions(text: str) -> int:
    """Tokens of a data set: '10M' is ten million here, '300k' three hundred thousand, '1.5B' a billion and
    a half."""
    scale = {"k": 10**3, "m": 10**6, "b": 10**9}.get(text.strip()[-1:].lower(), 1)
    try:
        count = float(text.strip().rstrip("kKmMbB").replace(",", "").replace("_", "")) * scale
    except ValueError:
        count = math.nan
    if not 1 <= count <= 1e15:
        raise BadSetting(f"{text!r} is not a number of tokens", hint="write 10M, 300k or 10_000_000")
    return round(count)


_DATA = Parsed("tokens", _millions)
_OPTIONS = (
    click.option("--on", metavar="MACHINE", help="rtx-pro-6000, '2x rtx-3090', a .toml file; default: here."),
    click.option(
        "--tokens", type=_DATA, default="10M", show_default=True, help="Tokens of the data: 10M, 300k."
    ),
    click.option(
        "--method",
        type=click.Choice(get_args(Method)),
        default="lora",
        show_default=True,
        help="What trains.",
    ),
    click.option(
        "--rank", type=click.IntRange(1, 65536), default=16, show_default=True, help="Rank of LoRA's pairs."
    ),
    click.option("--alpha", type=click.IntRange(1, 10**6), help="LoRA's alpha; default: twice the rank."),
    click.option(
        "--seq", type=TOKENS, default="2048", show_default=True, help="Tokens of a training sequence."
    ),
    click.option(
        "--longest", type=TOKENS, help="The longest sequence in your data, where shorter than --seq."
    ),
    click.option(
        "--targets",
        default="",
        metavar="WHERE",
        help="attention, mlp, experts, router, all-linear, or names.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(get_args(Optimizer)),
        default="adamw",
        show_default=True,
        help="What keeps moments.",
    ),
    click.option(
        "--batch", type=click.IntRange(1, 65536), default=1, show_default=True, help="Sequences of one pass."
    ),
    click.option(
        "--accumulate",
        type=click.IntRange(1, 65536),
        default=16,
        show_default=True,
        help="Passes of one step.",
    ),
    click.option(
        "--epochs",
        type=click.FloatRange(0.001, 1000),
        default=1.0,
        show_default=True,
        help="Times through the data.",
    ),
    click.option(
        "--checkpointing/--no-checkpointing", default=True, show_default=True, help="Recompute activations."
    ),
    click.option(
        "--flash/--no-flash", default=True, show_default=True, help="Flash attention, or scores in full."
    ),
    click.option("--padded", is_flag=True, help="Sequences padded beside each other, not packed."),
    click.option(
        "--loss",
        type=click.Choice(get_args(Loss)),
        help="Over all logits, or in chunks; default: the framework's.",
    ),
    click.option("--dtype", default="bf16", show_default=True, metavar="TYPE", help="bf16, fp16 or fp32."),
    click.option("--bits", type=click.Choice(["4", "8", "16"]), help="The frozen weights; qlora: 4."),
    click.option("--zero", type=click.Choice(["1", "2", "3"]), help="DeepSpeed's stage over several cards."),
    click.option("--fsdp", is_flag=True, help="Share weights out over several cards."),
    click.option("--tp", type=click.IntRange(1, 1024), default=1, help="Megatron: tensor parallel."),
    click.option("--ep", type=click.IntRange(1, 1024), default=1, help="Megatron: expert parallel."),
    click.option("--pp", type=click.IntRange(1, 1024), default=1, help="Megatron: pipeline parallel."),
    click.option(
        "--framework", type=click.Choice(get_args(Framework)), help="Whose memory rules; default: trl."
    ),
    click.option("--train-towers", is_flag=True, help="Vision and audio towers train, too."),
    click.option(
        "--beside", default="", metavar="MODEL", help="A model that goes on answering on the same cards."
    ),
    click.option("--inference-resident", is_flag=True, help="The same as --beside with the model itself."),
    click.option("--beside-weights", default="", metavar="FORMAT", help="Its weights: awq, fp8, q4_k_m."),
    click.option("--beside-runtime", default="", metavar="NAME", help="Its runtime: vllm, llama.cpp."),
    click.option(
        "--beside-context", type=TOKENS, default="8192", show_default=True, help="Its tokens per sequence."
    ),
    click.option(
        "--beside-parallel",
        type=click.IntRange(1, 10**6),
        default=1,
        show_default=True,
        help="Its sequences.",
    ),
    click.option(
        "--config",
        "configs",
        multiple=True,
        metavar="PROGRAM",
        help="trl, axolotl, unsloth, llama-factory, ms-swift.",
    ),
    click.option("--write", metavar="FOLDER", help="Write the configuration into a new or empty folder."),
    click.option(
        "--svg", metavar="FILE", help="Draw memory by method, rank and length as FILE.svg or FILE.png."
    ),
    click.option("--offline", is_flag=True, help="Never use the network."),
    click.option("--why", is_flag=True, help="Show every number's formula and inputs."),
    click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object."),
)


def _options(command: Any) -> Any:
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


@click.command("train-plan", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL")
@_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What does it take to train MODEL: memory, time, disk, and may inference go on meanwhile?

    Memory is counted component by component, as the named training program keeps it. A run is taken to meet
    sequences as long as --seq allows, unless --longest says otherwise.

    Exit code: 0 it fits, 1 it does not, 2 usage, 3 unknown, 4 could not reach.
    """
    question = question_from(typed)
    answer = train_plan(question)
    if typed["write"]:
        from plimsoll.ask.train_plan import write_files

        write_files(answer, typed["write"])
    if typed["svg"]:
        from plimsoll.ask.train_plan import draw

        draw(question, typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        from plimsoll.doors.cli.train_plan_text import show

        show(answer, why=typed["why"], written=typed["write"] or "")
    ctx.exit(answer.exit_code)


def question_from(typed: dict[str, Any]) -> TrainQuestion:
    """The question that the options asked."""
    if typed["zero"] and typed["fsdp"]:
        raise BadSetting("--zero and --fsdp share the same weights out twice", hint="leave one of them out")
    if typed["write"] and not typed["configs"]:
        raise BadSetting("--write writes the configuration of --config", hint="--config trl --write FOLDER")
    return TrainQuestion(
        model=typed["model"],
        on=typed["on"],
        tokens_count=typed["tokens"],
        method=typed["method"],
        rank=typed["rank"],
        alpha=typed["alpha"],
        sequence_tokens=typed["seq"],
        longest_tokens=typed["longest"] or 0,
        targets=tuple(t.strip() for t in typed["targets"].split(",") if t.strip()),
        optimizer=typed["optimizer"],
        batch=typed["batch"],
        accumulate=typed["accumulate"],
        epochs=typed["epochs"],
        is_checkpointed=typed["checkpointing"],
        attention="flash" if typed["flash"] else "eager",
        loss=typed["loss"],
        dtype=typed["dtype"],
        base_bits=int(typed["bits"]) if typed["bits"] else None,
        sharding=f"zero{typed['zero']}" if typed["zero"] else "fsdp" if typed["fsdp"] else None,  # type: ignore[arg-type]
        tensor_parallel=typed["tp"],
        expert_parallel=typed["ep"],
        pipeline_parallel=typed["pp"],
        is_padded=typed["padded"],
        framework=_framework(typed),
        trains_towers=typed["train_towers"],
        beside=typed["beside"] or ("." if typed["inference_resident"] else ""),
        beside_weights=typed["beside_weights"],
        beside_runtime=typed["beside_runtime"],
        beside_context_tokens=typed["beside_context"],
        beside_sequences_count=typed["beside_parallel"],
        configs=typed["configs"],
        offline=typed["offline"],
    )


def _framework(typed: dict[str, Any]) -> Framework:
    """The framework that was named, or that of the only configuration asked for."""
    if typed["framework"]:
        named: Framework = typed["framework"]
        return named
    known = [name for name in typed["configs"] if name in get_args(Framework)]
    return known[0] if len(known) == 1 else "trl"
