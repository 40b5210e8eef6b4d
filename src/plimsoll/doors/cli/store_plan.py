"""`plimsoll store-plan`: parse the question, ask, print the answer."""

from __future__ import annotations

from typing import Any

import click

from plimsoll.ask.store_plan import StorePlanQuestion, store_plan
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.store_plan import StorePlanAnswer, StoreWay
from plimsoll.doors.cli.fit import SIZE, TOKENS, Parsed
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.units import format_bytes, format_count, format_seconds, parse_count, parse_per_second

COUNT = Parsed("count", parse_count)
PER_SECOND = Parsed("rate", parse_per_second)
_SHOWN = 8


@click.command("store-plan", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pages", type=COUNT, required=True, help="Pages of text: 1_000_000, 1M or 200k.")
@click.option("--language", default="ru", show_default=True, metavar="ru|en|mixed", help="Of the text.")
@click.option(
    "--embedder", default="bge-m3", show_default=True, metavar="NAME", help="bge-m3, e5-large, jina-v3 ..."
)
@click.option("--on", metavar="MACHINE", help="'rtx-3090 + 64GiB ram': does it fit, and how long it takes.")
@click.option("--ram", type=SIZE, help="Host memory, such as 64GiB.")
@click.option("--disk", type=SIZE, help="Free disk, such as 500GB.")
@click.option("--cores", type=click.IntRange(1, 4096), help="Processor cores that embed. [default: 8]")
@click.option("--characters-per-page", type=COUNT, help="Of your pages, spaces included.")
@click.option("--chunk-tokens", type=TOKENS, help="[default: 512, or what the embedder reads]")
@click.option(
    "--overlap", type=click.IntRange(0), help="Tokens that the next chunk repeats. [default: an eighth]"
)
@click.option("--store", default="", metavar="NAME", help="lancedb, qdrant, faiss, hnswlib, usearch.")
@click.option("--index", default="", metavar="hnsw|ivf-pq|flat", help="How vectors are searched.")
@click.option("--vector", default="", metavar="TYPE", help="float32, float16, int8, binary, pq.")
@click.option("--m", type=click.IntRange(2, 512), default=16, show_default=True, help="HNSW: links per node.")
@click.option(
    "--ef", type=click.IntRange(1, 100_000), default=100, show_default=True, help="HNSW: candidates."
)
@click.option("--full-text/--no-full-text", default=True, help="An index of words too.  [default: full-text]")
@click.option("--sparse", is_flag=True, help="Weights per token too, where the embedder makes them.")
@click.option("--colbert", is_flag=True, help="A vector per token too, where the embedder makes them.")
@click.option("--queries", type=PER_SECOND, help="Such as 2/s.")
@click.option("--svg", default="", metavar="FILE", help="Draw memory and disk by vector type into a file.")
@click.option("--why", is_flag=True, help="Show the arithmetic step by step, with sources.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What does it take to keep so many pages searchable?

    Text, tokens, chunks, vectors and index, memory and disk part by part, the time to embed them and to
    search, each with an interval; which stores and vector types fit the machine, ranked.

    Exit code: 0 answered or fits, 1 does not fit, 2 usage.
    """
    answer = store_plan(
        StorePlanQuestion(
            pages=typed["pages"],
            language=typed["language"],
            embedder=typed["embedder"],
            on=typed["on"],
            ram_bytes=typed["ram"],
            disk_bytes=typed["disk"],
            cores=typed["cores"],
            chunk_tokens=typed["chunk_tokens"],
            overlap_tokens=typed["overlap"],
            characters_per_page=typed["characters_per_page"],
            store=typed["store"],
            index=typed["index"],
            vector=typed["vector"],
            m=typed["m"],
            ef=typed["ef"],
            full_text=typed["full_text"],
            sparse=typed["sparse"],
            colbert=typed["colbert"],
            queries_per_s=typed["queries"],
            svg=typed["svg"],
        )
    )
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)


def show(answer: StorePlanAnswer, *, why: bool) -> None:
    """Print verdict, arithmetic, the chosen way part by part, the others, times and notes to stdout."""
    way = answer.way
    words = {"fits": ("FITS", "green"), "does_not_fit": ("DOES NOT FIT", "red")}
    head, colour = words.get(answer.verdict, ("", ""))
    on = f" on {answer.machine}" if answer.machine else ""
    told = f": {answer.reason}" if head else ""
    say(f"{head + '  ' if head else ''}{way.setup.label}{on}{told}", fg=colour or None, bold=True)
    embedder = answer.embedder
    say(
        f"{embedder.id}: {embedder.dimension:,} values a vector, "
        f"up to {embedder.context_tokens:,} tokens a text\n"
    )
    shown = answer.steps if why else answer.steps[:-1]
    table(
        ("what", "how", "result", "from … to"),
        [(s.what, s.how, _amount(s.estimate, s.estimate.value), _range(s.estimate)) for s in shown],
        right=(2,),
    )
    _way(way)
    _others(answer)
    _times(answer)
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        _why(answer)
    else:
        say("--why shows the arithmetic to terabytes, formulas and sources", dim=True)


def _way(way: StoreWay) -> None:
    rows: list[tuple[str, ...]] = [
        (c.place, c.name, format_bytes(round(c.estimate.value)), _range(c.estimate), c.estimate.basis)
        for c in way.components
    ]
    for place, total in (("disk", way.disk), ("ram", way.ram)):
        rows.append((place, "together", format_bytes(round(total.value)), _range(total), ""))
    rows.sort(key=lambda row: row[0])
    say()
    table(("place", "part", "size", "from … to", "basis"), rows, right=(2,))


def _others(answer: StorePlanAnswer) -> None:
    rows = [
        (
            "▸" if way.setup == answer.way.setup else "",
            way.setup.label,
            format_bytes(round(way.ram.value)),
            format_bytes(round(way.disk.value)),
            format_seconds(way.query.value) if way.query else "?",
            way.reason,
        )
        for way in _shown(answer)
    ]
    say()
    table(("", "ways, the best first", "memory", "disk", "search", ""), rows, right=(2, 3, 4))


def _shown(answer: StorePlanAnswer) -> list[StoreWay]:
    """The first ways, and the chosen one wherever it stands."""
    first = list(answer.ways[:_SHOWN])
    return first if any(w.setup == answer.way.setup for w in first) else [*first[:-1], answer.way]


def _times(answer: StorePlanAnswer) -> None:
    rows = [(f"embedding all on {e.quantity}", format_seconds(e.value), _range(e)) for e in answer.embedding]
    queries = [*answer.query, *([answer.way.query] if answer.way.query else [])]
    rows += [(e.quantity, format_seconds(e.value), _range(e)) for e in queries]
    say()
    table(("time", "expected", "from … to"), rows, right=(1,))


def _amount(estimate: Estimate, value: float) -> str:
    if estimate.unit == "bytes":
        return format_bytes(round(value))
    if estimate.unit == "seconds":
        return format_seconds(value)
    return format_count(round(value))


def _range(estimate: Estimate) -> str:
    if estimate.low == estimate.high:
        return ""
    return f"{_amount(estimate, estimate.low)} … {_amount(estimate, estimate.high)}"


def _why(answer: StorePlanAnswer) -> None:
    for e in (
        *(s.estimate for s in answer.steps),
        *(c.estimate for c in answer.way.components),
        *answer.embedding,
        *answer.query,
        *([answer.way.query] if answer.way.query else []),
    ):
        given = ", ".join(f"{name} = {_given(value)}" for name, value in e.inputs.items())
        say(f"{e.quantity}: {e.formula} ({e.basis}){': ' + given if given else ''}", dim=True)
    say("\nwhat belongs where")
    for fact in answer.facts:
        say(f"  {fact.belongs_in}: {fact.says}")
        say(f"    {fact.source}", dim=True)
    say("\nsources: catalog/stores/text.csv and pages.csv list every measured text and page; and")
    for source in answer.sources:
        say(f"  {source.url}", dim=True)


def _given(value: object) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
