"""Pages in, gigabytes out: the arithmetic, the ways and their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.ask.store_plan import StorePlanQuestion, store_plan
from plimsoll.domain.store_plan import StorePlanAnswer
from plimsoll.errors import BadSetting, UnknownModel

GB = 1e9


def size(answer: StorePlanAnswer, what: str) -> float:
    return next(s.estimate.value for s in answer.steps if s.what == what)


def test_a_million_russian_pages_are_gigabytes_not_terabytes() -> None:
    answer = store_plan(StorePlanQuestion(pages=1_000_000))
    assert 3 * GB < size(answer, "text in UTF-8") < 6 * GB
    assert 4 * GB < size(answer, "vectors in float32") < 8 * GB
    assert answer.way.disk.high < 20 * GB
    assert size(answer, "not needed: a vector per token") > 1500 * GB
    assert answer.verdict == "answered"
    assert answer.exit_code == 0


def test_the_steps_multiply_out() -> None:
    answer = store_plan(
        StorePlanQuestion(pages=1000, characters_per_page=1800, chunk_tokens=500, overlap_tokens=100)
    )
    assert size(answer, "characters") == 1_800_000
    assert size(answer, "chunks") == -(-size(answer, "tokens") // 400)
    assert size(answer, "text with overlaps") == pytest.approx(size(answer, "text in UTF-8") * 1.25)
    assert size(answer, "vectors in float32") == size(answer, "chunks") * 1024 * 4


def test_parts_sum_to_the_totals_and_lie_in_their_intervals() -> None:
    for way in store_plan(StorePlanQuestion(pages=50_000)).ways:
        for place, total in (("disk", way.disk), ("ram", way.ram)):
            parts = [c.estimate for c in way.components if c.place == place]
            assert total.value == pytest.approx(sum(e.value for e in parts))
            assert all(e.low <= e.value <= e.high for e in parts)


@settings(max_examples=4, deadline=None)
@given(st.integers(1, 3_000_000), st.integers(1, 1_000_000))
def test_more_pages_never_need_less(pages: int, more: int) -> None:
    few, many = (store_plan(StorePlanQuestion(pages=n)) for n in (pages, pages + more))
    sizes = {w.setup: w for w in few.ways}
    for way in many.ways:
        assert way.disk.value >= sizes[way.setup].disk.value
        assert way.ram.value >= sizes[way.setup].ram.value


def test_english_needs_fewer_bytes_a_letter_and_mixed_lies_between() -> None:
    ru, mixed, en = (
        size(store_plan(StorePlanQuestion(pages=1000, language=x)), "text in UTF-8")
        for x in ("ru", "mixed", "en")
    )
    assert en < mixed < ru
    assert en == pytest.approx(1000 * 2403, rel=0.01)


def test_what_does_not_fit_is_told_the_nearest_that_does() -> None:
    answer = store_plan(StorePlanQuestion(pages=2_000_000, on="rtx-3090 + 8GiB ram", store="hnswlib"))
    assert answer.verdict == "does_not_fit"
    assert answer.exit_code == 1
    assert "of memory are missing" in answer.reason
    nearest = next(n for n in answer.notes if n.startswith("nearest that fits"))
    assert next(w for w in answer.ways if w.fits).setup.label in nearest


def test_fitting_ways_come_first_and_exact_vectors_before_codes() -> None:
    ways = store_plan(StorePlanQuestion(pages=1_000_000, on="rtx-3090 + 128GiB ram")).ways
    assert ways[0].setup.vector == "float32"
    fits = [w.fits for w in store_plan(StorePlanQuestion(pages=1_000_000, on="rtx-3090 + 4GiB ram")).ways]
    assert fits == sorted(fits, key=lambda x: x is False)
    assert False in fits


def test_free_disk_is_judged_where_it_is_told() -> None:
    answer = store_plan(
        StorePlanQuestion(pages=1_000_000, ram_bytes=1 << 37, disk_bytes=10**9, on="rtx-3090")
    )
    assert answer.verdict == "does_not_fit"
    assert "of disk are missing" in answer.reason


def test_a_card_embeds_faster_than_eight_cores() -> None:
    answer = store_plan(StorePlanQuestion(pages=10_000, on="rtx-3090 + 64GiB ram"))
    card, cores = answer.embedding
    assert card.value < cores.value
    assert card.low < card.value < card.high


def test_sparse_and_token_vectors_come_on_top() -> None:
    plain = store_plan(StorePlanQuestion(pages=1000))
    more = store_plan(StorePlanQuestion(pages=1000, sparse=True, colbert=True))
    assert more.way.disk.value > 10 * plain.way.disk.value
    assert {"sparse vectors", "a vector per token"} <= {c.name for c in more.way.components}


@pytest.mark.parametrize(
    ("question", "message", "hint"),
    [
        (StorePlanQuestion(pages=0), "0 pages cannot be planned", "--pages from 1"),
        (StorePlanQuestion(pages=10**12), "pages cannot be planned", "--pages from 1"),
        (StorePlanQuestion(pages=1, language="de"), "no figures of the language 'de'", "--language ru|en"),
        (StorePlanQuestion(pages=1, chunk_tokens=9000), "bge-m3 reads 8,192 tokens", "--chunk-tokens 8190"),
        (
            StorePlanQuestion(pages=1, embedder="e5-large", chunk_tokens=512),
            "a chunk of 512 would be cut off", "--chunk-tokens 510",
        ),
        (StorePlanQuestion(pages=1, chunk_tokens=64, overlap_tokens=64), "never advance", "--overlap 8"),
        (StorePlanQuestion(pages=1, store="qdrent"), "no such store", "did you mean qdrant"),
        (StorePlanQuestion(pages=1, vector="int4"), "no such vector", "--vector float32|"),
        (StorePlanQuestion(pages=1, store="hnswlib", vector="int8"), "no measured layout", "hnswlib: hnsw"),
        (StorePlanQuestion(pages=1, embedder="e5-large", sparse=True), "no sparse vectors", "bge-m3"),
        (StorePlanQuestion(pages=1, embedder="e5-large", colbert=True), "no vector per token", "bge-m3"),
    ],
)  # fmt: skip
def test_bad_questions_are_told_what_would_be_good(
    question: StorePlanQuestion, message: str, hint: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        store_plan(question)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_unknown_embedder() -> None:
    with pytest.raises(UnknownModel):
        store_plan(StorePlanQuestion(pages=1, embedder="bge-m4"))


def test_an_english_embedder_is_warned_of_for_russian() -> None:
    answer = store_plan(StorePlanQuestion(pages=1000, embedder="nomic"))
    assert any("was made for English" in note for note in answer.notes)


def test_the_drawing_has_both_places(tmp_path: Path) -> None:
    path = tmp_path / "store.svg"
    store_plan(StorePlanQuestion(pages=1_000_000, svg=str(path)))
    text = path.read_text("utf-8")
    assert "on disk" in text
    assert "in memory" in text
    assert "float16" in text
