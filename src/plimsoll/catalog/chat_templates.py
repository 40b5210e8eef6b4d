"""How conversations are written for models of the catalog whose chat template was read at a public source.

`chat_templates.json` is written by tools/read_chat_templates.py: model id -> what `parse.chat_template` saw
in the file that `source` names.
"""

from __future__ import annotations

import json
import os.path
from typing import Any

from plimsoll.domain.explanation import Chat
from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "chat_templates.json")


def find(model_id: str) -> Chat | None:
    """The chat format of an exact model id, or None when no template of it was read."""
    try:
        with open(PATH, "rb") as file:
            data: dict[str, dict[str, Any]] = json.loads(file.read())
        found = data.get(model_id)
        return None if found is None else Chat(**{**found, "markers": tuple(found["markers"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CatalogError(f"chat_templates.json: {error}") from error
