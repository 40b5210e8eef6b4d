"""Tokens as people read them: the bytes behind a stored piece, and bytes as text.

byte_level     'ÐŁÑĢÐ¸' -> 'При'   (bytes_to_unicode of GPT-2: one letter for each byte)
sentencepiece  '▁При' -> ' При', '<0xD0>' -> that byte
wordpiece      '##ing' -> 'ing'
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from plimsoll.domain.tokenizer import Style

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "▁"


def _letters() -> dict[str, int]:
    """Letter -> byte: printable bytes stand for themselves, the others for U+0100 and on, in order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(hidden)}


BYTE_OF_LETTER = _letters()
LETTER_OF_BYTE = {byte: letter for letter, byte in BYTE_OF_LETTER.items()}


def bytes_of(stored: str, style: Style) -> bytes:
    """The bytes that a stored piece stands for; a lone surrogate stands for itself (3 bytes)."""
    if style == "byte_level":
        if all(letter in BYTE_OF_LETTER for letter in stored):
            return bytes(BYTE_OF_LETTER[letter] for letter in stored)
        return stored.encode("utf-8", "surrogatepass")
    if style == "sentencepiece":
        byte = _BYTE_TOKEN.fullmatch(stored)
        if byte:
            return bytes([int(byte[1], 16)])
        return stored.replace(SPACE_MARK, " ").encode("utf-8", "surrogatepass")
    if style == "wordpiece" and stored.startswith("##") and len(stored) > 2:
        stored = stored[2:]
    return stored.encode("utf-8", "surrogatepass")


def stored_of(text: str, style: Style) -> str:
    """How a vocabulary of that style would store a piece of text."""
    if style == "byte_level":
        return "".join(LETTER_OF_BYTE[byte] for byte in text.encode("utf-8", "surrogatepass"))
    return text.replace(" ", SPACE_MARK) if style == "sentencepiece" else text


def text_of(data: bytes) -> str:
    """Bytes as text; each byte that is no part of a whole character as <0xD0>."""
    out: list[str] = []
    while data:
        try:
            out.append(data.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            out.append(data[: error.start].decode("utf-8"))
            out += (f"<0x{byte:02X}>" for byte in data[error.start : error.end])
            data = data[error.end :]
    return "".join(out)


def readable(stored: str, style: Style, *, is_added: bool = False) -> str:
    """A stored piece as text; added tokens are stored as they are."""
    return stored if is_added else text_of(bytes_of(stored, style))


def joined(stored: Iterable[str], style: Style) -> bytes:
    """The bytes of several pieces; for byte_level exactly those of the text they encode."""
    return b"".join(bytes_of(piece, style) for piece in stored)


def shown(text: str) -> str:
    """Text for one cell of a table: what does not print is escaped, also half characters and bidi marks."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return short or (f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}")
