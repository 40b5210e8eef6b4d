"""What is written is what a YAML reader finds."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.yaml_text import Noted, document

TEXT = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "no",
        "1e3",
        "# x",
        "a: b",
        "- a",
        "${HOME}",
        "'\"\\",
        "\u2028\u0085\ufeff",
        "\x00\x1b[2J",
        "😀",
        "\udc80",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_a_reader_finds_the_same_values(value: dict[str, Any]) -> None:
    assert yaml.safe_load(document(value)) == value


@st.composite
def noted(draw: st.DrawFn) -> tuple[Any, Any]:
    """(with notes, without)."""
    items = draw(st.lists(st.tuples(TEXT, VALUES, TEXT), max_size=4))
    whole = {key: value for key, value, _ in items}
    listed = [value for _, value, _ in items]
    notes = {key: Noted(value, note) for key, value, note in items}
    told = {"map": notes, "list": [Noted(v, n) for _, v, n in items], "deep": [notes, [Noted(1, "x\ny")]]}
    return told, {"map": whole, "list": listed, "deep": [whole, [1]]}


@given(noted(), TEXT)
def test_notes_change_no_value(pair: tuple[Any, Any], head: str) -> None:
    told, plain = pair
    assert yaml.safe_load(document(told, head)) == plain


def test_notes_stand_above_what_they_are_about() -> None:
    text = document(
        {"a": Noted(1, "why"), "b": [Noted("x", "because\nof that"), {"c": Noted(True, "yes")}]}, "head"
    )
    assert text == ('# head\n# why\na: 1\nb:\n  # because\n  # of that\n  - "x"\n  # yes\n  - c: true\n')
