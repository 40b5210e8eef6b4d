"""The only place where bytes, tokens and counts are parsed from text or printed."""

from __future__ import annotations

import re

from plimsoll.errors import BadSetting

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4

_BYTES = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB, "t": TIB, "tib": TIB,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_NUMBER = re.compile(r"\s*([0-9]+(?:[._,][0-9]+)*)\s*([a-zA-Z]*)\s*")


def parse_bytes(text: str) -> int:
    """Bytes from '80GiB', '24576 MiB', '64GB' (decimal) or '1024'; raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    unit = match.group(2).lower() if match else "?"
    if match is None or unit not in _BYTES:
        raise BadSetting(f"{text!r} is not a size", hint="write a size such as 80GiB, 24576MiB or 64GB")
    return round(_decimal(match.group(1), text) * _BYTES[unit])


def parse_tokens(text: str) -> int:
    """Tokens from '131072', '128k' (131,072) or '1m' (1,048,576); raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    scale = {"": 1, "k": KIB, "m": MIB}.get(match.group(2).lower()) if match else None
    if match is None or scale is None:
        raise BadSetting(f"{text!r} is not a number of tokens", hint="write 32768 or 32k")
    count = round(_decimal(match.group(1), text) * scale)
    if count < 1:
        raise BadSetting("the context must be at least 1 token", hint="write 32768 or 32k")
    return count


def _decimal(digits: str, text: str) -> float:
    """A number whose thousands may be grouped by ',' or '_' ('131,072')."""
    plain = re.sub(r"[,_](?=[0-9]{3}(?:[,_.]|$))", "", digits)
    try:
        return float(plain.replace("_", ""))
    except ValueError:
        raise BadSetting(f"{text!r} is not a number", hint="write 0.5, 32768 or 131,072") from None


def format_bytes(count: int) -> str:
    """'61.20 GiB', '216.0 MiB', '12 B'; negative counts keep their sign."""
    sign, size = ("-" if count < 0 else ""), abs(count)
    if size >= TIB:
        return f"{sign}{size / TIB:.2f} TiB"
    if size >= GIB:
        return f"{sign}{size / GIB:.2f} GiB"
    if size >= MIB:
        return f"{sign}{size / MIB:.1f} MiB"
    if size >= KIB:
        return f"{sign}{size / KIB:.1f} KiB"
    return f"{sign}{size} B"


def format_count(count: int) -> str:
    """'131,072'."""
    return f"{count:,}"


def format_parameters(count: int) -> str:
    """'116.83 B', '620.1 M'."""
    if count >= 10**9:
        return f"{count / 10**9:.2f} B"
    return f"{count / 10**6:.1f} M"


def format_share(part: int, whole: int) -> str:
    """'12.3%', '<0.1%' for what would round to nothing, '0%' for nothing."""
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%" if share > 0 else "0%"
