"""References become sources with a web address."""

from __future__ import annotations

import pytest

from plimsoll.catalog import models, sources
from plimsoll.errors import CatalogError


def test_a_path_inside_extends_the_address() -> None:
    (source,) = sources.load_all(["aiconfigurator#openai--gpt-oss-120b_config.json"])
    assert source.kind == "config"
    assert source.commit
    assert source.url.endswith(
        f"/{source.commit}/aic-core/src/aiconfigurator_core/model_configs/openai--gpt-oss-120b_config.json"
    )


def test_all_sources_of_a_model() -> None:
    found = sources.load_all(models.find("gpt-oss-120b").sources)
    assert all(source.url.startswith("https://") for source in found)


def test_an_unknown_source() -> None:
    with pytest.raises(CatalogError, match="hearsay"):
        sources.load_all(["hearsay"])
