"""Recipes against llama.cpp's quantiser and against files that were published."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.errors import BadSetting
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import RECIPES, quantise, recipe_named
from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors
from tests.ghost.quantiser import dry_runs, library
from tests.ghost.store import digest, orders
from tests.ghost.stored import converted, converted_ids
from tests.ghost.writer import write_converted

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
# One per rule: 8 experts, 70B, grouped values or not, tied or not, odd rows, latent attention, falcon,
# hybrids, experts counted by layer, per-layer embeddings, fused qkv, draft layers.
TELLING = (
    "mistralai/Mixtral-8x7B-v0.1", "meta-llama/Llama-3.3-70B-Instruct", "EleutherAI/pythia-6.9b",
    "Qwen/Qwen3-0.6B", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V2-Lite", "tiiuae/falcon-7b",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "ibm-granite/granite-4.0-h-tiny", "google/gemma-4-E2B-it",
    "microsoft/Phi-3.5-mini-instruct", "Qwen/Qwen3.5-9B",
)  # fmt: skip
PUBLISHED: list[dict[str, Any]] = json.loads((FIXTURES / "gguf_published.json").read_text())


@cache
def model_of(model_id: str) -> Model:
    return model_from_config(converted(model_id)["config"], id=model_id)


@cache
def table_of(model_id: str) -> tuple[TensorSpec, ...]:
    return gguf_tensors(model_of(model_id))


def quantised(model_id: str, recipe: str, *, has_imatrix: bool | None = None) -> tuple[TensorSpec, ...]:
    return quantise(table_of(model_id), model_of(model_id), recipe, has_imatrix=has_imatrix)


@cache
def source_of(model_id: str) -> tuple[TensorSpec, ...]:
    """The f16 table: the files the quantiser was given. What it leaves alone keeps that type."""
    return quantise(table_of(model_id), model_of(model_id), "f16")


@cache
def judged() -> dict[str, dict[str, str]]:
    """What the quantiser chose: model -> 'recipe' or 'recipe+imatrix' -> digest."""
    result: dict[str, dict[str, str]] = json.loads(
        gzip.decompress((FIXTURES / "gguf_recipes.json.gz").read_bytes())
    )
    return result


def check(model_id: str) -> None:
    wrong = []
    for order, seen in judged()[model_id].items():
        recipe, _, imatrix = order.partition("+")
        table = quantise(source_of(model_id), model_of(model_id), recipe, has_imatrix=bool(imatrix))
        types = {t.name: t.format for t in table}
        if digest(types, model_id) != seen:
            wrong.append(order)
    assert wrong == []


@pytest.mark.parametrize("model_id", TELLING)
def test_types_are_those_of_the_quantiser(model_id: str) -> None:
    assert len(judged()[model_id]) >= 30
    check(model_id)


@pytest.mark.slow
@pytest.mark.parametrize("model_id", sorted(set(judged()) - set(TELLING)))
def test_types_are_those_of_the_quantiser_for_every_other_model(model_id: str) -> None:
    check(model_id)


@pytest.mark.oracle
@pytest.mark.skipif(library() is None, reason="PLIMSOLL_LIBLLAMA names no libllama.so with the quantiser")
@pytest.mark.parametrize("model_id", converted_ids())
def test_types_are_those_of_the_quantiser_today(model_id: str, tmp_path: Path) -> None:
    write_converted(tmp_path / "ghost.gguf", model_id)
    results = dry_runs(tmp_path / "ghost.gguf", [(RECIPES[name].file_type, has) for name, has in orders()])
    for (name, has_imatrix), theirs in zip(orders(), results, strict=True):
        table = quantise(source_of(model_id), model_of(model_id), name, has_imatrix=has_imatrix)
        ours = {t.name: t.format for t in table}
        assert digest(ours, model_id) == digest(theirs, model_id), f"{name} {has_imatrix}"


@pytest.mark.parametrize("row", [r for r in PUBLISHED if "differs" not in r], ids=lambda row: row["file"])
def test_published_files_have_the_predicted_size(row: dict[str, Any]) -> None:
    table = quantised(row["model"], row["recipe"], has_imatrix=row.get("has_imatrix"))
    held = [t for t in table if row.get("has_drafts", True) or t.role != "mtp"]
    size = sum(t.size_bytes for t in held)
    if row["kind"] == "tensors":
        assert size == row["bytes"]
        assert sum(t.elements_count for t in held) == row["parameters_count"]
    else:
        # the rest is metadata: vocabulary and merges, of 32,000 to 262,144 tokens
        assert 1_000_000 < row["bytes"] - size < 16_000_000


@pytest.mark.parametrize("family", ["Qwen/Qwen3-", "openai/gpt-oss-"])
def test_files_of_one_tokenizer_have_equally_long_headers(family: str) -> None:
    headers = [
        row["bytes"] - sum(t.size_bytes for t in quantised(row["model"], row["recipe"]))
        for row in PUBLISHED
        if row["kind"] == "file" and row["model"].startswith(family) and "differs" not in row
    ]
    assert len(headers) >= 4
    assert max(headers) - min(headers) < 32_000


def test_parameters_of_published_files_even_where_the_mixture_is_the_publishers_own() -> None:
    rows = [row for row in PUBLISHED if "differs" in row and row["kind"] == "tensors"]
    assert len(rows) >= 5
    for row in rows:
        assert sum(t.elements_count for t in table_of(row["model"])) == row["parameters_count"], row["file"]


def test_plain_recipes_keep_small_tensors_in_f32() -> None:
    kinds = {t.format for t in quantised("Qwen/Qwen3-0.6B", "bf16")}
    assert kinds == {"bf16", "f32"}
    assert {t.format for t in quantised("Qwen/Qwen3-0.6B", "f32")} == {"f32"}


def test_experts_published_in_mxfp4_stay_so_under_every_recipe() -> None:
    for recipe in ("f16", "bf16", "q8_0", "q4_k_m", "mxfp4_moe"):
        table = quantised("openai/gpt-oss-20b", recipe)
        assert {t.format for t in table if t.name.endswith("_exps.weight")} == {"mxfp4"}


def test_a_recipe_is_found_in_any_spelling() -> None:
    assert recipe_named("Q4_K_M") is RECIPES["q4_k_m"]
    assert recipe_named("iq4-xs") is RECIPES["iq4_xs"]


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(BadSetting, match="q4_k_x") as caught:
        recipe_named("q4_k_x")
    assert "q4_k" in caught.value.hint


def test_file_types_are_distinct() -> None:
    assert len({recipe.file_type for recipe in RECIPES.values()}) == len(RECIPES)


def test_recipes_that_need_an_importance_matrix_say_so() -> None:
    needy = {name for name, recipe in RECIPES.items() if recipe.needs_imatrix}
    assert needy == {
        "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "q2_k_s",
    }  # fmt: skip
