"""Model cards: license, languages and base model from front matter or metadata, nothing invented."""

from __future__ import annotations

import pytest

from plimsoll.domain.explanation import Card, Fact
from plimsoll.parse.model_card import card_from_gguf, card_from_readme

README = """---
license: apache-2.0
language:
- en
- ru
base_model: [org/base]
tags:
  - moe
---
# Title
license: mit
"""


def test_front_matter_is_read_and_text_is_not() -> None:
    card = card_from_readme(README, "README.md")
    assert card.license == Fact(value="apache-2.0", source="README.md#license")
    assert card.languages.value == "en, ru"
    assert card.base_model.value == "org/base"
    assert card.training_data.value == ""


def test_another_license_is_called_by_its_name() -> None:
    card = card_from_readme("---\nlicense: other\nlicense_name: 'modified-mit'\n---\n", "README.md")
    assert card.license.value == "modified-mit"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no front matter",
        "---\nlicense: mit\nbut no end",
        "---\n---\n",
        "---\nlicense:\n---\n",
        "---\n: :\n- x\n---",
    ],
)
def test_what_is_not_there_stays_unknown(text: str) -> None:
    assert card_from_readme(text, "README.md") == Card()


def test_a_huge_front_matter_is_not_read() -> None:
    assert card_from_readme("---\n" + "a: b\n" * 100_000 + "---\n", "README.md") == Card()


def test_a_gguf_says_it_in_its_metadata() -> None:
    card = card_from_gguf(
        {
            "general.license": "mit", "general.languages": ("en", "zh"), "general.finetune": "Instruct",
            "general.base_model.0.name": "Base 7B", "general.base_model.1.name": 7,
        },
        "a.gguf",
    )  # fmt: skip
    assert card.license == Fact(value="mit", source="a.gguf#general.license")
    assert (card.languages.value, card.variant.value, card.base_model.value) == (
        "en, zh",
        "Instruct",
        "Base 7B",
    )


def test_metadata_of_the_wrong_type_says_nothing() -> None:
    assert card_from_gguf({"general.license": 3, "general.languages": 1.5}, "a.gguf") == Card()
