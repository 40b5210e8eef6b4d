"""Every error Plimsoll raises on purpose. Errors carry data; a door words them.

PlimsollError
├── UsageError          the question is wrong                 exit code 2
│   ├── UnknownModel    no such model (with nearest names)
│   ├── UnknownDevice   no such device (with nearest names)
│   ├── UnknownRuntime  no such runtime (with nearest names)
│   ├── AmbiguousName   the name fits several things
│   └── BadSetting      a setting has an impossible value
├── ReadError           a file is not what it claims to be    exit code 2
│   ├── MalformedGguf
│   ├── MalformedSafetensors
│   ├── MalformedConfig
│   ├── MalformedTrace
│   ├── MissingConfigKey
│   └── UnsupportedArchitecture                               exit code 3
├── ReachError          something could not be reached        exit code 4
│   ├── NotFound
│   ├── AccessDenied
│   ├── RateLimited
│   └── Unreachable
├── CatalogError        a shipped or user fact file is wrong
├── LaunchError         a program could not be started        exit code 4
├── DetectError         the machine could not be read
└── MeasureError        a measurement or calibration could not be made
"""

from __future__ import annotations

from collections.abc import Iterable


def choices_hint(typed: str, known: Iterable[str], option: str = "") -> str:
    """The hint of a misspelt word: the known ones like it, then all of them, behind the option's name."""
    from difflib import get_close_matches  # 5 ms to import, needed only for an error

    words = tuple(known)
    near = get_close_matches(typed.lower(), words, n=3, cutoff=0.6)
    every = f"{option} {'|'.join(words)}" if option else f"one of {', '.join(words)}"
    return f"did you mean {' or '.join(near)}? {every}" if near else every


class PlimsollError(Exception):
    """Base of all errors raised on purpose; `hint` says what to do next, or is empty."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PlimsollError):
    """The question itself is wrong."""


class UnknownName(UsageError):
    """A name that is not known; `nearest` lists close ones, best first."""

    def __init__(self, message: str, *, name: str, nearest: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.nearest = nearest


class UnknownModel(UnknownName):
    """No such model."""


class UnknownDevice(UnknownName):
    """No such device."""


class UnknownRuntime(UnknownName):
    """No such runtime."""


class AmbiguousName(UnknownName):
    """The name fits several things, listed in `nearest`."""


class BadSetting(UsageError):
    """A setting has a value that cannot be."""


class ReadError(PlimsollError):
    """A file is not what it claims to be; `where` names file, field and offset."""

    def __init__(self, message: str, *, where: str, hint: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class MalformedGguf(ReadError):
    """A GGUF header that contradicts itself or its file."""


class MalformedSafetensors(ReadError):
    """A safetensors header that contradicts itself or its file."""


class MalformedConfig(ReadError):
    """A config.json (or other JSON) that cannot be read."""


class MalformedTrace(ReadError):
    """A trace of requests with a row that cannot be; `where` names file and line."""


class MissingConfigKey(ReadError):
    """config.json lacks a key that the architecture needs; `key` names it."""

    def __init__(self, key: str, *, where: str) -> None:
        super().__init__(f"the key {key!r} is missing", where=where)
        self.key = key


class UnsupportedArchitecture(ReadError):
    """A model_type that Plimsoll cannot build a tensor table for."""

    exit_code = 3


class ReachError(PlimsollError):
    """Something could not be reached."""

    exit_code = 4


class NotFound(ReachError):
    """There is nothing at that address."""


class AccessDenied(ReachError):
    """The repository is gated or private."""


class RateLimited(ReachError):
    """The server asked us to slow down."""


class Unreachable(ReachError):
    """The network or the server is down."""


class CatalogError(PlimsollError):
    """A fact file is wrong; the message names file and key."""


class LaunchError(PlimsollError):
    """A program could not be started, or ended before it served."""

    exit_code = 4


class DetectError(PlimsollError):
    """The machine could not be read."""


class MeasureError(PlimsollError):
    """A measurement or calibration could not be made."""
