"""Granite 3 and 4.1 dense: Llama's tensors, scaled activations."""

from __future__ import annotations

from plimsoll.parse.families import llama
from plimsoll.parse.families.blocks import Layout
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/granite/modeling_granite.py."""
    return llama.build(keys)
