"""What each known key of tokenizer_config.json does: `tokenizer_keys.toml`."""

from __future__ import annotations

import os.path

from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "tokenizer_keys.toml")


def load_all() -> dict[str, str]:
    """Key -> what it does; raises CatalogError for a bad file."""
    import tomllib

    try:
        with open(PATH, "rb") as file:
            found = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise CatalogError(f"tokenizer_keys.toml: {error}") from error
    if not all(isinstance(text, str) and text for text in found.values()):
        raise CatalogError("tokenizer_keys.toml: each key holds one sentence")
    return found
