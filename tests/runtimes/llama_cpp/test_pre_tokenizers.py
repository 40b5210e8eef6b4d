"""Tokens of a vocabulary inside a GGUF equal those of the real llama.cpp, for every pre-tokenizer listed.

The carrier is a vocabulary trained without any cuts on the very texts that are compared, so that merges run
across every boundary and a cut in another place gives other tokens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.encoding import CannotEncode, encoder_from_vocabulary
from plimsoll.ask.tokenizer_files import load
from plimsoll.catalog.samples import load_all
from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.runtimes.llama_cpp.pre_tokenizers import PRE_TOKENIZERS
from tests.ghost import upstream
from tests.ghost.tokenize import encode, encode_each
from tests.parse import gguf_bytes as make

REAL = (
    "aquila", "baichuan", "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "gpt-2",
    "gpt-neox", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2", "qwen35", "refact", "starcoder",
)  # fmt: skip
HARD = [
    "Hello world, it's 12345678 o'clock! We'LL see.\n\n  Yes   \t no\r\n", "  \n \n\n   \n", "",
    "a\u00a0b\u2003c\u3000d\u2028e", "ÀÉß ǅungla ʰa ªº ①②Ⅷ ٣٤٥ ५६७",
    "$100 < x^2 + `y` ~ |z| = #1 @me €5 ©®™ ½",
    "IT'S DON'T we've I'M ſ'ſ 'Sa 'll", "नमस्ते दुनिया สวัสดีชาวโลก שלום مرحبا، كيف؟ 한국어",
    "camelCaseXYZHello ABCdef ÉCOLEécole", "/ // \n/ //\r\n!!!\n\n???/\n", "a\tb\t\tc \t d\x0b\x0ce\x1c\x85f",
    "👨‍👩‍👧‍👦🏳️‍🌈 e\u0301 中文　カタカナ、ひらがな。", "1234567890 12 1 1,234.5 ٣٣٣٣",
]  # fmt: skip
_LETTERS = "aZé ЯяßĐ的あア한\n\r\t  '.,!?-_/$+<^|123٣½😀\u0301\u200d\u3000\u00a0«»…sStTLl()[]{}\"#"


def fuzz(count: int) -> list[str]:
    """Random strings of letters that pre-tokenizers treat differently; always the same ones."""
    chosen = random.Random(1)
    return ["".join(chosen.choice(_LETTERS) for _ in range(chosen.randint(1, 24))) for _ in range(count)]


def texts() -> list[str]:
    """Samples of five kinds, hard cases and 400 random strings."""
    return [*load_all().values(), *HARD, *fuzz(400)]


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level vocabulary of some thousand merges in a GGUF."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.train_from_iterator(
        texts(),
        library.trainers.BpeTrainer(
            vocab_size=6000, show_progress=False, min_frequency=1, max_token_length=8,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    path = tmp_path_factory.mktemp("carrier") / "carrier.gguf"
    path.write_bytes(written(tokens, model["merges"]))
    return path


def written(tokens: Sequence[str], merges: Sequence[Any], **keys: Any) -> bytes:
    """A GGUF with a byte-level vocabulary and nothing else."""
    lines = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    return make.whole(
        make.header(
            {
                **make.LLAMA, "tokenizer.ggml.tokens": list(tokens), "tokenizer.ggml.merges": lines,
                "tokenizer.ggml.token_type": [1] * len(tokens), "tokenizer.ggml.bos_token_id": 0,
                "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.pre": "gpt-2", **keys,
            }
        ),
        0,
    )  # fmt: skip


def ours(vocabulary: Vocabulary, wanted: Sequence[str]) -> list[list[int]]:
    """Our tokens of each text."""
    encoder = encoder_from_vocabulary(vocabulary, where="test")
    return [[span.id for span in encoder.spans(text)] for text in wanted]


def vocabulary_at(path: Path) -> Vocabulary:
    """The vocabulary in a file."""
    found = load(str(path)).vocabulary
    assert found is not None
    return found


@pytest.mark.oracle
def test_every_byte_level_pre_tokenizer_cuts_as_llama_cpp(carrier: Path) -> None:
    pytest.importorskip("xllamacpp")
    names = [name for name, pre in PRE_TOKENIZERS.items() if pre.is_byte_level]
    wanted, vocabulary = texts(), vocabulary_at(carrier)
    theirs = encode_each(carrier, wanted, names, timeout_s=600)
    seen: dict[object, list[list[int]]] = {}
    wrong = {}
    for name, expected in zip(names, theirs, strict=True):
        cuts = PRE_TOKENIZERS[name]
        if cuts not in seen:
            seen[cuts] = ours(replace(vocabulary, pre=name), wanted)
        differing = [t for t, a, b in zip(wanted, seen[cuts], expected, strict=True) if a != b]
        if differing:
            wrong[name] = min(differing, key=len)
    assert not wrong
    assert len({json.dumps(found) for found in seen.values()}) > 20  # the texts do tell the cuts apart


@pytest.fixture(scope="module")
def plain_carrier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of plain UTF-8 with ▁ for spaces, without merges of newlines; two letters are left out and
    become bytes."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE())
    made.normalizer = library.normalizers.Replace(" ", "▁")
    made.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[^\n]+|[\n]+"), behavior="isolated")
    trainer = library.trainers.BpeTrainer(
        vocab_size=5000, show_progress=False, min_frequency=1, max_token_length=8
    )
    made.train_from_iterator(texts(), trainer)
    model = json.loads(made.to_str())["model"]
    kept = [t for t in sorted(model["vocab"], key=model["vocab"].__getitem__) if not set(t) & set("あé")]
    merges = [pair for pair in model["merges"] if not set("".join(pair)) & set("あé\n")]
    path = tmp_path_factory.mktemp("carrier") / "plain.gguf"
    path.write_bytes(written([*kept, *(f"<0x{b:02X}>" for b in range(256))], merges))
    return path


@pytest.mark.oracle
def test_every_plain_pre_tokenizer_cuts_as_llama_cpp(plain_carrier: Path) -> None:
    pytest.importorskip("xllamacpp")
    names = [name for name, pre in PRE_TOKENIZERS.items() if not pre.is_byte_level]
    wanted, vocabulary = texts(), vocabulary_at(plain_carrier)
    for name, expected in zip(names, encode_each(plain_carrier, wanted, names), strict=True):
        assert ours(replace(vocabulary, pre=name), wanted) == expected, name


@pytest.mark.oracle
@pytest.mark.parametrize("name", REAL)
def test_real_vocabularies_give_the_tokens_of_llama_cpp(name: str) -> None:
    pytest.importorskip("xllamacpp")
    source = upstream.source_tree()
    if source is None or not (path := source / "models" / f"ggml-vocab-{name}.gguf").exists():
        pytest.skip(f"{upstream.SOURCE_VARIABLE} names no tree with models/ggml-vocab-{name}.gguf")
    wanted = [*texts(), "<s>hi</s> <unk> <|endoftext|>x<|im_end|> y"]
    assert ours(vocabulary_at(path), wanted) == encode(path, wanted)


def test_an_unproven_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(written(["a", "b", "ab"], ["a b"], **{"tokenizer.ggml.pre": "superbpe"}))
    with pytest.raises(CannotEncode, match="superbpe"):
        ours(vocabulary_at(path), ["ab"])


def test_doubled_tokens_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(written(["a", "a"], []))
    with pytest.raises(CannotEncode, match="stands twice"):
        ours(vocabulary_at(path), ["a"])


def test_kinds_that_are_not_modelled_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(written(["a"], [], **{"tokenizer.ggml.model": "bert"}))
    with pytest.raises(CannotEncode, match="WordPiece"):
        ours(vocabulary_at(path), ["a"])
