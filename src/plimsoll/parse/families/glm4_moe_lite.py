"""Glm4MoeLiteForCausalLM (GLM-4.7-Flash): the decoder of DeepSeek V3 with one dense layer in front."""

from __future__ import annotations

from plimsoll.parse.families.blocks import Layout
from plimsoll.parse.families.deepseek_v3 import latent_decoder
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Latent attention and experts. Source: models/glm4_moe_lite/modeling_glm4_moe_lite.py."""
    return latent_decoder(keys, read_mixture(keys, first=1))
