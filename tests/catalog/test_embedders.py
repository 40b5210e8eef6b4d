"""Embedders load, are found as people write them, and their configs give their sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.catalog import embedders, lint_stores, stores
from plimsoll.errors import CatalogError, UnknownModel


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("bge-m3", "BAAI/bge-m3"), ("BGE M3", "BAAI/bge-m3"), ("BAAI/bge-m3", "BAAI/bge-m3"),
        ("e5-large", "intfloat/multilingual-e5-large"), ("jina-v3", "jinaai/jina-embeddings-v3"),
        ("qwen3-embedding-8b", "Qwen/Qwen3-Embedding-8B"), ("nomic", "nomic-ai/nomic-embed-text-v1.5"),
    ],
)  # fmt: skip
def test_names_as_people_write_them(typed: str, found: str) -> None:
    assert embedders.find(typed).id == found


def test_a_misspelt_name_is_told_its_neighbours() -> None:
    with pytest.raises(UnknownModel) as caught:
        embedders.find("bge-m33")
    assert "did you mean bge-m3" in caught.value.hint
    with pytest.raises(UnknownModel) as caught:
        embedders.find("zzzzzzzz")
    assert "one of " in caught.value.hint


def test_every_embedder_has_a_tokenizer_that_was_measured_in_both_languages() -> None:
    counted = {(t.tokenizer, t.language) for t in stores.load_texts()}
    for embedder in embedders.load_all():
        assert {(embedder.tokenizer, "ru"), (embedder.tokenizer, "en")} <= counted, embedder.id


def test_the_shipped_facts_have_no_findings(tmp_path: Path) -> None:
    assert lint_stores.lint(Path(embedders.FOLDER).parent) == []


def test_bad_files_are_told_what_is_wrong(tmp_path: Path) -> None:
    for folder in ("embedders", "stores"):
        (tmp_path / folder).mkdir()
    good = (Path(embedders.FOLDER) / "bge-m3.toml").read_text("utf-8")
    bad = good.replace("layers_count = 24", "layers_count = 2").replace('"xlm-roberta"\n\n', '"hiero"\n\n')
    (tmp_path / "embedders" / "other.toml").write_text(bad, "utf-8")
    (tmp_path / "embedders" / "more.toml").write_text("colour = 1\n" + good, "utf-8")
    (tmp_path / "stores" / "lamp.toml").write_text(
        'id = "lamp"\n[kinds]\ntree = ["float32"]\n[sources]\n', "utf-8"
    )
    (tmp_path / "stores" / "text.csv").write_text("language,tokens_count,source\nxx,many,a friend\n", "utf-8")
    (tmp_path / "stores" / "broken.toml").write_text("id = ", "utf-8")
    told = "\n".join(lint_stores.lint(tmp_path))
    for words in (
        "not named after 'BAAI/bge-m3'",
        "'hiero' was not measured",
        "parameters of blocks",
        "unknown keys colour",
        "no index 'tree'",
        "tokens_count is 'many'",
        "language 'xx'",
        "source 'a friend'",
        "cannot be read",
    ):
        assert words in told


def test_a_bad_row_is_told_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "FOLDER", str(tmp_path))
    (tmp_path / "pages.csv").write_text("name,characters_count,basis,source\na,many,norm,x\n", "utf-8")
    with pytest.raises(CatalogError, match="line 2"):
        stores.load_pages()
    (tmp_path / "facts.csv").write_text("belongs_in,says\nadapter,x\n", "utf-8")
    with pytest.raises(CatalogError, match="columns are"):
        stores.load_facts()
    with pytest.raises(CatalogError, match=r"coefficients\.json"):
        stores.load_coefficients()
