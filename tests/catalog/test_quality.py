"""Published quality figures: they load, a bad file is named, and bits per weight are those of the recipes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from plimsoll.catalog import models, quality
from plimsoll.catalog.sources import load_all
from plimsoll.errors import CatalogError
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import quantise
from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors


def test_the_scoreboard_of_llama_3_is_there_as_published() -> None:
    found = {
        r.importance_matrix: (r.value, r.error)
        for r in quality.load()
        if r.source == "llama-cpp-perplexity"
        and (r.model, r.weight_format, r.metric) == ("meta-llama/Meta-Llama-3-8B", "q4_k_m", "mean_kld_nats")
    }
    assert found == {"yes": (0.028152, 0.00024), "no": (0.031273, 0.000238)}


def test_every_source_can_be_opened() -> None:
    found = load_all(sorted({r.source for r in quality.load()}))
    assert all(s.url.startswith("https://") for s in found)


def test_a_model_has_one_size_and_one_kind() -> None:
    said: dict[str, set[tuple[int, str]]] = {}
    for row in quality.load():
        said.setdefault(row.model, set()).add((row.parameters_count, row.kind))
    assert [model for model, facts in said.items() if len(facts) > 1] == []


def test_bits_per_weight_are_those_of_the_recipes_on_llama_3() -> None:
    record = models.load("meta-llama/Meta-Llama-3-8B")
    model = model_from_config(record.config, id=record.id)
    table = gguf_tensors(model)
    for name, bits in quality.load_bits().items():
        blocks = [t for t in quantise(table, model, name) if t.name.startswith("blk.") and len(t.shape) > 1]
        counted = 8 * sum(t.size_bytes for t in blocks) / sum(math.prod(t.shape) for t in blocks)
        assert counted == pytest.approx(bits, abs=6e-5), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,model\na,b\n", "columns: "),
        (",".join(quality.COLUMNS) + "\na,b\n", "too few cells"),
        (",".join(quality.COLUMNS) + "\n" + ",".join("x" for _ in quality.COLUMNS) + "\n", "invalid literal"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "strange.csv").write_text(text)
    with pytest.raises(CatalogError, match=r"strange\.csv") as caught:
        quality.load_from(str(tmp_path))
    assert said in caught.value.message


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "strange.csv").write_bytes(b"\xff\xfe\x00source")
    with pytest.raises(CatalogError, match=r"strange\.csv"):
        quality.load_from(str(tmp_path))
