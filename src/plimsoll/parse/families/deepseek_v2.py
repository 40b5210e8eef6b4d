"""DeepseekV2ForCausalLM (DeepSeek V2 and V2-Lite): as V3, without the router's correction bias."""

from __future__ import annotations

from plimsoll.parse.families.blocks import Layout
from plimsoll.parse.families.deepseek_v3 import latent_decoder
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Latent attention; q_lora_rank null: one q_proj. Source: models/deepseek_v2/modeling_deepseek_v2.py."""
    return latent_decoder(keys, read_mixture(keys, correction=""))
