"""The multi-token-prediction head that Qwen3-Next began: `mtp.fc`, three norms, and whole blocks."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import Row, linear, norm


def mtp_ends(hidden: int) -> Iterator[Row]:
    """fc (hidden, 2 x hidden) and three norms. Source: vLLM models/qwen3_5_mtp.py, exaone_moe_mtp.py."""
    yield from linear("mtp.fc", hidden, 2 * hidden, "mtp", None)
    for name in ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"):
        yield from norm(f"mtp.{name}", hidden)
