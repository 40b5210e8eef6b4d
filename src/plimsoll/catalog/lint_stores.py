"""Checks embedders and stores: they load, name sources, and their numbers agree with one another."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plimsoll.catalog import embedders, stores
from plimsoll.domain.store_plan import LANGUAGES

TOKENIZERS = ("xlm-roberta", "qwen", "bert-uncased")
_GATED = ("new", "nomic_bert", "qwen3")  # three matrices in a feed-forward block instead of two
# What a config leaves out of the blocks' parameters: norms, biases, poolers, adapters, grouped keys and
# values.
_TOLERANCE = 0.11


def lint(catalog: Path) -> list[str]:
    """All findings about embedders and stores as 'file: what is wrong'."""
    findings = []
    for path in [*sorted((catalog / "embedders").glob("*.toml")), *sorted((catalog / "stores").glob("*.*"))]:
        shown = path.relative_to(catalog).as_posix()
        try:
            data = _read(path)
        except (OSError, ValueError, csv.Error) as error:
            findings.append(f"{shown}: cannot be read: {error}")
            continue
        found = embedder_problems(data, shown) if shown.startswith("embedders/") else store_problems(data)
        findings += [f"{shown}: {problem}" for problem in found]
    return findings


def _read(path: Path) -> Mapping[str, Any]:
    """A fact file as nested tables; the rows of a .csv, and none of a .json, are under 'rows'."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return {"rows": list(csv.DictReader(file))}
    return tomllib.loads(path.read_text("utf-8")) if path.suffix == ".toml" else {"rows": []}


def embedder_problems(data: Mapping[str, Any], path: str) -> Iterator[str]:
    """It loads, its sources are addresses or catalog files, and its config gives its published size."""
    try:
        embedder, _ = embedders.embedder_from(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"{type(error).__name__}: {error}"
        return
    if not path.endswith(f"/{embedder.id.rpartition('/')[2].lower()}.toml"):
        yield f"the file is not named after {embedder.id!r}"
    if embedder.tokenizer not in TOKENIZERS:
        yield f"tokenizer {embedder.tokenizer!r} was not measured: one of {', '.join(TOKENIZERS)}"
    if embedder.languages not in ("multilingual", "english"):
        yield f"languages {embedder.languages!r} is not 'multilingual' or 'english'"
    for source in embedder.sources:
        if not source.url.startswith(("https://", "catalog/models/")):
            yield f"source {source.url!r} is not a web address or a model of the catalog"
    matrices = 3 if embedder.architecture in _GATED else 2
    attention = 4 * embedder.hidden_dim**2
    blocks = embedder.layers_count * (attention + matrices * embedder.hidden_dim * embedder.feed_forward_dim)
    if abs(blocks / embedder.block_parameters_count - 1) > _TOLERANCE and embedder.architecture != "qwen3":
        yield f"config gives {blocks:,} parameters of blocks, published: {embedder.block_parameters_count:,}"


def store_problems(data: Mapping[str, Any]) -> Iterator[str]:
    """A store's file loads, or a table's rows do and are possible."""
    if "rows" not in data:
        try:
            stores.store_from(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield f"{type(error).__name__}: {error}"
        return
    for line, row in enumerate(data["rows"], start=2):
        yield from (f"line {line}: {found}" for found in _row_problems(row))


def _row_problems(row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        if name.endswith(("_count", "_tokens", "_per_s", "value", "dimension")):
            try:
                if float(value) < 0:
                    yield f"{name} is {value}"
            except (TypeError, ValueError):
                yield f"{name} is {value!r}, not a number"
    if row.get("language", "ru") not in LANGUAGES:
        yield f"language {row['language']!r} is not one of {', '.join(LANGUAGES)}"
    if row.get("tokenizer", TOKENIZERS[0]) not in TOKENIZERS:
        yield f"tokenizer {row['tokenizer']!r} is not known"
    source = row.get("source", "docs/")
    if not source.startswith(("https://", "http://", "catalog/", "docs/", "Debian 12: ")):
        yield f"source {source!r} is not an address, a file of ours or a Debian package"
