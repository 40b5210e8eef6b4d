"""Reading a config dict with a record of what was read."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from plimsoll.errors import MalformedConfig, MissingConfigKey

_LARGEST_COUNT = 2**48
# Tables are built by looping over layers: 2,000 take some 0.2 s, the deepest published decoder has 130.
MOST_LAYERS = 2000
_LARGEST_NUMBER = 1e30


class Keys:
    """A config.json (or one of its sections) that remembers which keys were asked for.

    Typed getters take several names for one thing (`keys.count("num_experts", "num_local_experts")`),
    the first present wins. A missing key without a default raises MissingConfigKey; a value of the
    wrong type, NaN, negative or absurdly large raises MalformedConfig naming the key.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "config.json", prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix
        self.read: set[str] = set()
        self.sections: dict[str, Keys] = {}

    def has(self, name: str) -> bool:
        """Whether the key is present and not null (asking counts as reading)."""
        self.read.add(name)
        return self.values.get(name) is not None

    def raw(self, *names: str, default: Any = None) -> Any:
        """The first non-null value among `names`, unchecked; all of them count as read."""
        self.read.update(names)
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        return default

    def count(self, *names: str, default: int | None = None) -> int:
        """A non-negative integer; of layers (a key that ends so, or `depth`) at most MOST_LAYERS."""
        value = self.raw(*names)
        if value is None:
            if default is None:
                raise MissingConfigKey(names[0], where=self.where)
            return default
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
            raise self.bad(names, value, "a non-negative whole number")
        if value > MOST_LAYERS and any(name.endswith("layers") or name == "depth" for name in names):
            raise self.bad(names, value, f"a number of layers, at most {MOST_LAYERS}")
        return value

    def optional_count(self, *names: str) -> int | None:
        """A non-negative integer, or None when absent."""
        return None if self.raw(*names) is None else self.count(*names)

    def positive(self, *names: str, default: int | None = None) -> int:
        """An integer of at least 1."""
        value = self.count(*names, default=default)
        if value < 1:
            raise self.bad(names, value, "at least 1")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        """A finite number."""
        value = self.raw(*names)
        if value is None:
            if default is None:
                raise MissingConfigKey(names[0], where=self.where)
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
            raise self.bad(names, value, "a finite number")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """true or false."""
        value = self.raw(*names)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.bad(names, value, "true or false")
        return value

    def text(self, *names: str, default: str = "") -> str:
        """A string."""
        value = self.raw(*names)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.bad(names, value, "a string")
        return value

    def list(self, *names: str) -> list[Any] | None:
        """A list, or None when absent."""
        value = self.raw(*names)
        if value is not None and not isinstance(value, list):
            raise self.bad(names, value, "a list")
        return value

    def texts(self, *names: str) -> tuple[str, ...] | None:
        """A list of strings, or None when absent."""
        values = self.list(*names)
        if values is not None and not all(isinstance(value, str) for value in values):
            raise self.bad(names, values, "a list of strings")
        return None if values is None else tuple(values)

    def section(self, name: str) -> Keys | None:
        """A nested object as its own Keys, or None when absent; asking again gives the same Keys."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.bad((name,), value, "an object")
        if name not in self.sections:
            self.sections[name] = Keys(value, self.where, f"{self.prefix}{name}.")
        return self.sections[name]

    def bad(self, names: tuple[str, ...], value: Any, wanted: str) -> MalformedConfig:
        """The error for a value that cannot be."""
        name = next((n for n in names if n in self.values), names[0])
        # Python refuses to print integers of more than 4,300 digits.
        is_huge = isinstance(value, int) and value.bit_length() > 256
        shown = f"a number of {value.bit_length()} bits" if is_huge else reprlib.repr(value)
        return MalformedConfig(f"{self.prefix}{name} is {shown}, not {wanted}", where=self.where)

    def unread(self) -> tuple[str, ...]:
        """Keys nobody asked for, here and in the sections that were asked for, with their prefix, sorted."""
        own = [f"{self.prefix}{key}" for key in self.values if key not in self.read]
        return tuple(sorted(own + [key for part in self.sections.values() for key in part.unread()]))

    def contradiction(self, message: str) -> MalformedConfig:
        """The error for keys that cannot all be true."""
        return MalformedConfig(message, where=self.where)
