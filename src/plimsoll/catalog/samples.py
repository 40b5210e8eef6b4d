"""Texts of our own by which tokenizers are compared when no text is given: `sample_texts/<name>.txt`."""

from __future__ import annotations

import os.path

from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "sample_texts")
NAMES = ("english", "russian", "chinese", "code", "emoji")


def load_all() -> dict[str, str]:
    """Name -> text, in the order of NAMES; raises CatalogError when one is missing."""
    found = {}
    for name in NAMES:
        try:
            with open(os.path.join(FOLDER, f"{name}.txt"), encoding="utf-8", newline="") as file:
                found[name] = file.read()
        except (OSError, ValueError) as error:
            raise CatalogError(f"sample_texts/{name}.txt: {error}") from error
    return found
