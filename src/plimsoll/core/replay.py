"""Compute a line of the bill again from its own record."""

from __future__ import annotations

import importlib

from plimsoll.domain.bill import Interval, Line
from plimsoll.errors import BadSetting

_ROOMS = ("formulas.", "runtimes.")


def replay(line: Line) -> Interval:
    """The bytes that the line's formula gives for the line's inputs.

    Raises BadSetting when the formula is not one of Plimsoll's (a line may come from a stranger's JSON).
    """
    module, _, name = line.formula.partition(":")
    if not module.startswith(_ROOMS) or not name.isidentifier() or name.startswith("_"):
        raise BadSetting(f"{line.formula!r} is not a formula of Plimsoll")
    try:
        function = getattr(importlib.import_module(f"plimsoll.{module}"), name)
    except (ImportError, AttributeError):
        raise BadSetting(f"there is no formula {line.formula!r} in this version") from None
    result = function(**line.inputs)
    return Interval(*result) if isinstance(result, tuple) else Interval(result, result, result)
