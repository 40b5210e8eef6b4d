"""Measure how many characters and bytes a token is, per language and tokenizer: rows of
catalog/stores/text.csv.

    python bench/text_rates.py --qwen qwen.tiktoken NAME:LANGUAGE:FILE:SOURCE ... > rows.csv

XLM-RoBERTa's and BERT's tokenizers are those that BlingFire carries (`pip install blingfire`); Qwen's is its
table of merges (`qwen.tiktoken`, shipped by the packages dashscope and qwen-agent) with Qwen2's pattern, by
tiktoken. Lines shorter than 40 characters are left out; in a Russian text also lines of less than 60 %
Cyrillic.
"""

from __future__ import annotations

import argparse
import base64
import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path

import blingfire
import tiktoken

COLUMNS = (
    "text",
    "language",
    "tokenizer",
    "characters_count",
    "bytes_count",
    "tokens_count",
    "distinct_per_512",
    "source",
)
# transformers/models/qwen2/tokenization_qwen2.py: PRETOKENIZE_REGEX
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
Tokens = Callable[[str], list[int]]


def prose(text: str, language: str) -> str:
    """The lines that are text of the language."""
    kept = []
    for line in text.split("\n"):
        share = sum("а" <= c.lower() <= "я" or c in "ёЁ" for c in line) / max(1, len(line))
        if len(line) >= 40 and (share >= 0.6 if language == "ru" else share <= 0.01):
            kept.append(line)
    return "\n".join(kept)


def blingfire_tokens(model: str, unknown: int) -> Tokens:
    """A tokenizer that BlingFire carries, line by line."""
    loaded = blingfire.load_model(os.path.join(os.path.dirname(blingfire.__file__), model))

    def tokens(text: str) -> list[int]:
        found: list[int] = []
        for line in filter(str.strip, text.split("\n")):
            ids = blingfire.text_to_ids(loaded, line, 16 + 4 * len(line), unknown, no_padding=True)
            found += [int(i) for i in ids]
        return found

    return tokens


def qwen_tokens(path: str) -> Tokens:
    """Qwen's byte-level BPE."""
    rows = (line.split() for line in Path(path).read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in rows}
    encoding = tiktoken.Encoding("qwen", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return lambda text: encoding.encode(text, disallowed_special=())


def distinct(tokens: list[int]) -> float:
    """Mean number of distinct tokens in pieces of 512."""
    pieces = [tokens[i : i + 512] for i in range(0, len(tokens) - 511, 512)] or [tokens]
    return sum(len(set(piece)) for piece in pieces) / len(pieces)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--qwen", required=True, help="qwen.tiktoken")
    parser.add_argument("texts", nargs="+", help="NAME:LANGUAGE:FILE:SOURCE")
    asked = parser.parse_args()
    tokenizers = {
        "xlm-roberta": blingfire_tokens("xlm_roberta_base.bin", 3),
        "qwen": qwen_tokens(asked.qwen),
        "bert-uncased": blingfire_tokens("bert_base_tok.bin", 100),
    }
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for entry in asked.texts:
        name, language, path, source = entry.split(":", 3)
        text = prose(Path(path).read_text(encoding="utf-8"), language)
        for tokenizer, tokens in tokenizers.items():
            found = tokens(text)
            out.writerow(
                [
                    name,
                    language,
                    tokenizer,
                    len(text),
                    len(text.encode()),
                    len(found),
                    round(distinct(found), 1),
                    source,
                ]
            )


if __name__ == "__main__":
    main()
