"""How a typed name is matched: a key that ignores case, spaces and punctuation, and did-you-mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SIZE = re.compile(r"(?<![0-9a-z])(?:a)?[0-9]+(?:\.[0-9]+)?[bm](?![a-z])")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[^0-9a-z]+(?=[0-9])")
_OTHER = re.compile(r"[^0-9a-z.]+|\.(?![0-9])|(?<![0-9])\.")


def name_key(text: str) -> str:
    """The form names are compared in: 'Qwen3:30b-a3b' and 'qwen3 30B A3B' both give 'qwen3.30ba3b'.

    Lower case, no punctuation, except that a separator between two digits stays as one '.', so that
    3.3-2b and 3-32b differ.
    """
    return _OTHER.sub("", _BETWEEN_DIGITS.sub(".", text.lower()))


def sizes(text: str) -> frozenset[str]:
    """The size words in a model name: 'Llama-3.3-70B' gives {'70b'}, 'qwen3 30b a3b' {'30b', 'a3b'}."""
    return frozenset(_SIZE.findall(re.sub(r"[^0-9a-z.]+", " ", text.lower())))


def nearest(name: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Up to `count` known names, best first; names of the same size rank before equally similar others.

    Similarity is difflib's ratio over name keys, + 0.15 for equal size words, - 0.1 for different ones.
    """
    from difflib import SequenceMatcher  # 5 ms to import, needed only for an error

    key, wanted = name_key(name), sizes(name)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(key)
    scored: list[tuple[float, str]] = []
    for candidate in known:
        other = candidate.rpartition("/")[2]
        matcher.set_seq1(name_key(other))
        if matcher.real_quick_ratio() < 0.4:
            continue
        found = sizes(other)
        bonus = 0.0 if not wanted or not found else (0.15 if wanted == found else -0.1)
        scored.append((matcher.ratio() + bonus, candidate))
    ranked = sorted(scored, key=lambda pair: (-pair[0], len(pair[1]), pair[1]))
    return tuple(candidate for score, candidate in ranked[:count] if score >= 0.55)


def one_of(name: str, candidates: Sequence[str]) -> str:
    """'A, B or C' for a message."""
    if len(candidates) < 2:
        return "".join(candidates)
    return f"{', '.join(candidates[:-1])} or {candidates[-1]}"
