"""How a typed name is matched: a key that ignores case, spaces and punctuation, and did-you-mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_SIZE = re.compile(r"(?<![0-9a-z.])a?[0-9]+(?:\.[0-9]+)?[bm](?![a-z])")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[^0-9a-z]+(?=[0-9])")
_OTHER = re.compile(r"[^0-9a-z.]+|\.(?![0-9])|(?<![0-9])\.")


def name_key(text: str) -> str:
    """The form names are compared in: 'Qwen3:30b-a3b' and 'qwen3 30B A3B' both give 'qwen3.30ba3b'.

    Lower case, no punctuation, except that a separator between two digits stays as one '.', so that
    3.3-2b and 3-32b differ, and that '+' is the word plus.
    """
    return _OTHER.sub("", _BETWEEN_DIGITS.sub(".", text.lower().replace("+", "plus")))


def sizes(text: str) -> frozenset[str]:
    """The size words in a model name: 'Llama-3.3-70B' gives {'70b'}, 'qwen3 30b a3b' {'30b', 'a3b'}."""
    return frozenset(_SIZE.findall(re.sub(r"[^0-9a-z.]+", " ", text.lower())))


def nearest(name: str, known: Mapping[str, Sequence[str]], count: int = 3) -> tuple[str, ...]:
    """Up to `count` ids, best first, from `known`: name key -> ids.

    Similarity = difflib's ratio over keys + 0.15 when the size words agree (- 0.1 when they do not)
    - 0.1 x the relative distance of the other numbers, so that 'llama 3.4 70b' is nearest 'llama 3.3 70b'.
    """
    from difflib import SequenceMatcher  # 5 ms to import, needed only for an error

    key = name_key(name)
    wanted, numbers = sizes(name), _numbers(key)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(key)
    best: dict[str, float] = {}
    for other, ids in known.items():
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() < 0.5 or matcher.quick_ratio() < 0.5:
            continue
        ratio = matcher.ratio() - 0.1 * _distance(numbers, _numbers(other))
        for model_id in ids:
            found = sizes(model_id.rpartition("/")[2])
            bonus = 0.0 if not wanted or not found else (0.15 if wanted == found else -0.1)
            best[model_id] = max(best.get(model_id, 0.0), ratio + bonus)
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], len(pair[0]), pair[0]))
    return tuple(model_id for model_id, score in ranked[:count] if score >= 0.6)


def _numbers(key: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(key)]


def _distance(wanted: list[float], found: list[float]) -> float:
    """Mean relative distance of numbers in the same place; a missing number counts as 1."""
    length = max(len(wanted), len(found))
    if length == 0:
        return 0.0
    pairs = zip(wanted, found, strict=False)
    near = sum(abs(a - b) / max(a, b, 1.0) for a, b in pairs)
    return (near + abs(len(wanted) - len(found))) / length


def one_of(names: Sequence[str]) -> str:
    """'A, B or C' for a message."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} or {names[-1]}"
