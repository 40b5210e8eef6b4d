"""What does it take to keep so many pages searchable: text, vectors, index, memory, disk, time?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.catalog import devices, embedders, stores
from plimsoll.core import store_chart, store_fit, store_query, store_text
from plimsoll.core.store_parts import Wanted, embedder_weights_bytes
from plimsoll.core.store_plan import Room, ways_of
from plimsoll.core.store_text import Chunking, Corpora
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Machine
from plimsoll.domain.origin import Source
from plimsoll.domain.store_plan import (
    INDEXES,
    LANGUAGES,
    VECTORS,
    Embedder,
    Language,
    Step,
    StorePlanAnswer,
    StoreRecord,
    StoreVerdict,
    StoreWay,
)
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.units import format_bytes

# More pages than this were never printed; a zero too many is likelier.
MOST_PAGES = 10_000_000_000
# What a tokenizer adds to a text: a token at either end, or one at the end.
_OWN_TOKENS = {"xlm-roberta": 2, "bert-uncased": 2, "qwen": 1}
_CHUNK, _CORES = 512, 8
# 2 bits a parameter (arXiv 2404.05405) x 100 million parameters / 8.
ADAPTER_BYTES = 100_000_000 * 2 // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlanQuestion:
    """Pages in a language, an embedder, and how to keep them; what is '' or None is chosen and told."""

    pages: int
    language: str = "ru"
    embedder: str = "bge-m3"
    on: str | None = None
    ram_bytes: int | None = None
    disk_bytes: int | None = None
    cores: int | None = None
    chunk_tokens: int | None = None
    overlap_tokens: int | None = None
    characters_per_page: int | None = None
    store: str = ""
    index: str = ""
    vector: str = ""
    m: int = 16
    ef: int = 100
    full_text: bool = True
    sparse: bool = False
    colbert: bool = False
    queries_per_s: float | None = None
    svg: str = ""


def store_plan(question: StorePlanQuestion) -> StorePlanAnswer:
    """Answer a StorePlanQuestion; errors are typed, what nobody told or measured is named as unknown."""
    embedder = embedders.find(question.embedder)
    language = _language(question.language)
    chunking = _chunking(question, embedder)
    if not 1 <= question.pages <= MOST_PAGES:
        raise BadSetting(
            f"{question.pages:,} pages cannot be planned for", hint=f"--pages from 1 to {MOST_PAGES:,}"
        )
    rates = store_text.rates_of(
        stores.load_texts(), stores.load_pages(), language, embedder.tokenizer, question.characters_per_page
    )
    corpora = store_text.corpora_of(question.pages, rates, chunking)
    wanted = _wanted(question, embedder, language)
    machine = None if question.on is None and question.ram_bytes is None else _machine(question)
    records = stores.load_stores()
    _check_names(question, records)
    measured = store_fit.built(stores.load_measurements())
    room = Room(
        ram_bytes=_ram(machine, question), disk_bytes=question.disk_bytes,
        taken_bytes=0 if machine and machine.devices else embedder_weights_bytes(embedder),
    )  # fmt: skip
    ways = ways_of(records, corpora, wanted, room, stores.load_coefficients(), measured)
    chosen = [way for way in ways if _is_asked(way, question)]
    if not chosen:
        raise BadSetting(_no_such(question), hint=_kinds(question, records))
    answer = _answer(question, embedder, machine, corpora, chosen[0], ways, rates, chunking)
    if question.svg:
        from plimsoll.edges.chart import draw

        draw(store_chart.chart_of(answer, corpora, wanted, stores.load_coefficients(), records), question.svg)
    return answer


def _language(name: str) -> Language:
    for language in LANGUAGES:
        if name.strip().lower() == language:
            return language
    raise BadSetting(f"no figures of the language {name!r}", hint=choices_hint(name, LANGUAGES, "--language"))


def _chunking(question: StorePlanQuestion, embedder: Embedder) -> Chunking:
    """Tokens of a chunk and its overlap, both within what the embedder reads."""
    own = _OWN_TOKENS[embedder.tokenizer]
    most = embedder.context_tokens - own
    name = embedder.id.rpartition("/")[2]
    chunk = min(_CHUNK, most) if question.chunk_tokens is None else question.chunk_tokens
    if chunk > most:
        raise BadSetting(
            f"{name} reads {embedder.context_tokens:,} tokens, {own} of them its own: "
            f"a chunk of {chunk:,} would be cut off",
            hint=f"--chunk-tokens {most}",
        )
    overlap = chunk // 8 if question.overlap_tokens is None else question.overlap_tokens
    if overlap >= chunk:
        raise BadSetting(
            f"chunks of {chunk:,} tokens that overlap by {overlap:,} never advance",
            hint=f"--overlap {chunk // 8}",
        )
    return Chunking(chunk_tokens=chunk, overlap_tokens=overlap)


def _wanted(question: StorePlanQuestion, embedder: Embedder, language: Language) -> Wanted:
    name = embedder.id.rpartition("/")[2]
    if question.sparse and not embedder.has_sparse:
        raise BadSetting(f"{name} makes no sparse vectors", hint="--embedder bge-m3, or leave out --sparse")
    if question.colbert and not embedder.colbert_dimension:
        raise BadSetting(
            f"{name} makes no vector per token", hint="--embedder bge-m3, or leave out --colbert"
        )
    return Wanted(
        language=language, dimension=embedder.dimension, m=question.m, ef=question.ef,
        has_full_text=question.full_text, has_sparse=question.sparse,
        colbert_dimension=embedder.colbert_dimension if question.colbert else 0,
    )  # fmt: skip


def _machine(question: StorePlanQuestion) -> Machine:
    return machines.resolve(question.on, ram_bytes=question.ram_bytes)


def _ram(machine: Machine | None, question: StorePlanQuestion) -> int | None:
    if machine is None or machine.ram_bytes is None:
        return None
    return machine.ram_bytes - machine.ram_reserved_bytes


def _check_names(question: StorePlanQuestion, records: Sequence[StoreRecord]) -> None:
    """Each name is one that is known; raises BadSetting with the nearest."""
    for typed, known, option in (
        (question.store, [r.id for r in records], "--store"), (question.index, INDEXES, "--index"),
        (question.vector, VECTORS, "--vector"),
    ):  # fmt: skip
        if typed and typed not in known:
            what = option.removeprefix("--")
            raise BadSetting(f"no such {what}: {typed!r}", hint=choices_hint(typed, known, option))


def _is_asked(way: StoreWay, question: StorePlanQuestion) -> bool:
    setup = way.setup
    return all(
        not typed or typed == found
        for typed, found in (
            (question.store, setup.store),
            (question.index, setup.index),
            (question.vector, setup.vector),
        )
    )


def _no_such(question: StorePlanQuestion) -> str:
    words = " ".join(x for x in (question.store, question.index, question.vector) if x)
    return f"no measured layout of {words}"


def _kinds(question: StorePlanQuestion, records: Iterable[StoreRecord]) -> str:
    """What the store that was asked for, or every store, builds."""
    found = [r for r in records if question.store in ("", r.id)]
    return "; ".join(f"{r.id}: {', '.join(f'{i} {v}' for i, v in r.kinds)}" for r in found)


def _answer(
    question: StorePlanQuestion, embedder: Embedder, machine: Machine | None, corpora: Corpora, way: StoreWay,
    ways: Sequence[StoreWay], rates: store_text.Rates, chunking: Chunking,
) -> StorePlanAnswer:  # fmt: skip
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    verdict: StoreVerdict = {None: "answered", True: "fits", False: "does_not_fit"}[way.fits]  # type: ignore[assignment]
    embedding, query = _times(question, embedder, machine, corpora, chunking)
    return StorePlanAnswer(
        question="store-plan", asked={k: v for k, v in values.items() if v not in (None, "", False)},
        verdict=verdict, reason=way.reason, embedder=embedder,
        steps=(*store_text.steps_of(corpora, rates, chunking, embedder), _per_token(corpora, embedder)),
        way=way, ways=tuple(ways), embedding=embedding, query=query, facts=stores.load_facts(),
        notes=tuple(_notes(question, embedder, machine, corpora, way, ways, chunking)),
        unknowns=tuple(_unknowns(question, machine, way)), sources=_sources(embedder, way),
        machine=machine.name if machine else "", versions={"plimsoll": __version__},
    )  # fmt: skip


def _per_token(corpora: Corpora, embedder: Embedder) -> Step:
    """What a plan with a vector per token would take: the way to terabytes."""
    estimate = corpora.estimate(
        "vectors per token", "bytes", lambda c: c.tokens * embedder.dimension * 4.0,
        formula="formulas.text_store:token_vectors_bytes", inputs={"dimension": embedder.dimension},
    )  # fmt: skip
    return Step(
        what="not needed: a vector per token",
        how=f"{corpora.value.tokens:,.0f} tokens x {embedder.dimension:,} x 4 bytes", estimate=estimate,
    )  # fmt: skip


def _times(
    question: StorePlanQuestion,
    embedder: Embedder,
    machine: Machine | None,
    corpora: Corpora,
    chunking: Chunking,
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """Embedding of the chunks on the machine's cards and on processor cores, and of a query."""
    known = {e.id: e for e in embedders.load_all()}
    measured = stores.load_embedding()
    cores = question.cores or _CORES
    per_core = store_query.flops_per_core(measured, known, is_query=False)
    chunk = chunking.chunk_tokens
    on_cores = store_query.seconds_of(
        f"{cores} processor cores", corpora, embedder, chunk, [r * cores for r in per_core], {"cores": cores}
    )
    queries = [
        store_query.query_embedding(
            embedder, cores, store_query.flops_per_core(measured, known, is_query=True)
        )
    ]
    cards = [d for d in machine.devices if d.flops_per_s.get("fp16")] if machine else []
    if not cards:
        return (on_cores,), tuple(queries)
    peaks = {m.device: devices.load(m.device).flops_per_s["fp16"] for m in measured if m.device != "cpu"}
    shares = store_query.shares_of_peak(measured, known, peaks)
    peak = sum(d.flops_per_s["fp16"] for d in cards)
    label = f"{len(cards)}x {cards[0].name}" if len(cards) > 1 else cards[0].name
    on_cards = store_query.seconds_of(
        label, corpora, embedder, chunk, [peak * share for share in shares], {"dense 16-bit peak": peak}
    )
    if cards[0].bandwidth_bytes_per_s:
        queries.append(store_query.query_on_card(embedder, cards[0].bandwidth_bytes_per_s))
    return (on_cards, on_cores), tuple(queries)


def _notes(
    question: StorePlanQuestion, embedder: Embedder, machine: Machine | None, corpora: Corpora, way: StoreWay,
    ways: Sequence[StoreWay], chunking: Chunking,
) -> Iterable[str]:  # fmt: skip
    if embedder.languages == "english" and question.language != "en":
        yield f"{embedder.id} was made for English: it cuts Russian into letters and was not trained on it"
    if question.chunk_tokens is None:
        yield f"chunks of {chunking.chunk_tokens} tokens; the next repeats {chunking.overlap_tokens} of them"
    if question.characters_per_page is None:
        yield "a page is taken as 1,800 to 3,500 characters: --characters-per-page tells yours"
    if question.cores is None:
        yield f"{_CORES} processor cores are assumed: --cores tells yours"
    if way.fits is False and (best := next((w for w in ways if w.fits), None)):
        yield f"nearest that fits: {best.setup.label}"
    yield (
        f"an adapter of 100 million parameters holds at most {format_bytes(ADAPTER_BYTES)} of facts (2 bits "
        f"each); this text is {format_bytes(round(corpora.value.text_bytes))}: facts belong in the store"
    )
    yield next(r.note for r in stores.load_stores() if r.id == way.setup.store)
    if question.queries_per_s and way.query:
        busy = question.queries_per_s * way.query.value
        yield f"{question.queries_per_s:g} queries a second keep {busy:.2g} cores busy searching"
    if way.setup.is_on_disk:
        reads = (
            10 if way.setup.vector in ("int8", "binary", "pq") else "about every compared vector's worth of"
        )
        yield f"a query reads {reads} vectors at random places of the disk; how long that takes is unknown"


def _unknowns(question: StorePlanQuestion, machine: Machine | None, way: StoreWay) -> Iterable[str]:
    if machine is not None and machine.ram_bytes is None:
        yield "the machine's memory: add it, such as '+ 64GiB ram'"
    if machine is not None and question.disk_bytes is None:
        yield "free disk: --disk SIZE"
    if way.query is None:
        yield f"time of a search in {way.setup.label}: no index of this kind was measured"


def _sources(embedder: Embedder, way: StoreWay) -> tuple[Source, ...]:
    record = next(r for r in stores.load_stores() if r.id == way.setup.store)
    return (*embedder.sources, *record.sources)
