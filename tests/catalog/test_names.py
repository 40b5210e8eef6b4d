"""Keys of names and did-you-mean."""

from __future__ import annotations

import pytest

from plimsoll.catalog.names import name_key, nearest, one_of, sizes


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Qwen3:30b-a3b", "qwen3.30ba3b"), ("qwen3 30B_A3B", "qwen3.30ba3b"), ("GPT_OSS-120b", "gptoss120b"),
        ("Llama-3.3-70B", "llama3.3.70b"), ("qwen3.3-2b", "qwen3.3.2b"), ("Qwen3-32B", "qwen3.32b"),
        ("ryzen ai max+ 395", "ryzenaimaxplus395"), ("v2.", "v2"), ("", ""),
    ],
)  # fmt: skip
def test_name_key(written: str, key: str) -> None:
    assert name_key(written) == key


def test_sizes() -> None:
    assert sizes("qwen3 30b a3b") == {"30b", "a3b"}
    assert sizes("Llama-3.3-70B") == {"70b"}
    assert sizes("gemma-3-270m") == {"270m"}
    assert sizes("phi-4") == frozenset()


def test_nearest_prefers_the_size_and_then_the_nearest_number() -> None:
    known = {
        "llama3.1.70b": ["org/Llama-3.1-70B"], "llama3.3.70b": ["org/Llama-3.3-70B"],
        "llama3.1.8b": ["org/Llama-3.1-8B"], "mistral7b": ["org/Mistral-7B"],
    }  # fmt: skip
    assert nearest("llama 3.4 70b", known)[:2] == ("org/Llama-3.3-70B", "org/Llama-3.1-70B")
    assert nearest("zebra", known) == ()


def test_one_of() -> None:
    assert one_of(["a", "b", "c"]) == "a, b or c"
    assert one_of(["a"]) == "a"
    assert one_of([]) == ""
