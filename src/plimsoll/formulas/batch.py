"""What bounds a continuous batch: the tokens of one step, and the requests whose cache the memory holds."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.decode import kv_bytes_read, state_bytes_moved

_STATE_VALUE_BYTES = 4


def sequence_bytes(layers: Sequence[LayerSpec], tokens: int, format_k: str, format_v: str) -> int:
    """Cache that one sequence of `tokens` holds: keys and values of what each layer still sees, and its
    recurrent state (held once, while a step reads and writes it: half of what moves)."""
    kept = kv_bytes_read(layers, tokens, format_k, format_v)
    return kept + state_bytes_moved(layers, _STATE_VALUE_BYTES) // 2


def sequences_held(
    memory_bytes: int, weights_bytes: int, sequence_bytes: int, *, used_share: float, working_bytes: int = 0
) -> int:
    """Sequences whose cache fits beside the weights: (memory x share - weights - workspace) / bytes of one.

    At least 1: a single request that does not fit is a question for `fit`.
    """
    left = int(memory_bytes * used_share) - weights_bytes - working_bytes
    return max(left // max(sequence_bytes, 1), 1)
