from plimsoll.formulas.batch import sequence_bytes, sequences_held
from tests.core.test_speed import CASE


def test_a_sequence_of_llama_8b_holds_128_kib_a_token() -> None:
    # 32 layers x 8 KV heads x 128 x 2 (keys and values) x 2 bytes
    assert sequence_bytes(CASE.work.layers, 1000, "f16", "f16") == 1000 * 131_072


def test_what_is_left_beside_the_weights_is_shared_out() -> None:
    assert sequences_held(24_000, 10_000, 500, used_share=0.9) == (21_600 - 10_000) // 500
    assert sequences_held(24_000, 23_000, 500, used_share=0.9) == 1
