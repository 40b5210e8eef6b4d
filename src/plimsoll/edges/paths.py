"""Is it a path? The one question every command asks, apart from the file readers so that a name
from the catalog is answered without importing them (they cost 15 ms of a 150 ms start)."""

from __future__ import annotations

import os
import re

_ONLY_A_PATH = re.compile(r"(\.{1,2}|~)?[/\\]|[A-Za-z]:[/\\]")


def is_path(reference: str) -> bool:
    """Whether `reference` is the path of something that exists, or can only be meant as a path."""
    if os.path.lexists(os.path.expanduser(reference)):
        return True
    return bool(_ONLY_A_PATH.match(reference)) and "://" not in reference
