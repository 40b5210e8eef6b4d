"""No secret survives; what only looks like one stays readable."""

import pytest

from plimsoll.core.secrets import MASK, masked

SECRETS = [
    ("HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz0123", "hf_abcdefghijklmnopqrstuvwxyz0123"),
    ("api_key='sk-proj-ABCDEFGHIJKLMNOPQRSTUV'", "sk-proj-ABCDEFGHIJKLMNOPQRSTUV"),
    ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
    ("https://user:hunter2secret@example.org/x", "hunter2secret"),
    ("vllm serve --api-key mysecretkey --port 1", "mysecretkey"),
    ('"password": "correct horse"', "horse"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("WANDB_API_KEY: 0123456789abcdef0123456789abcdef01234567", "0123456789abcdef"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl", "eyJzdWIiOiIxMjM0In0"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    shown, count = masked(text)
    assert secret not in shown
    assert MASK in shown
    assert count >= 1


@pytest.mark.parametrize(
    "text",
    [
        "special tokens: eos_token=2, pad_token_id = 151643", "max_tokens: 131072", "api_key=None",
        "tokenizer='openai/gpt-oss-120b', skip_tokenizer_init=False", "KV cache size: 468,434 tokens",
        "http://127.0.0.1:8000/v1", "tokens per second: 12345678",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == (text, 0)
