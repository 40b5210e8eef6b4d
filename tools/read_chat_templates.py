"""Write src/plimsoll/catalog/chat_templates.json from the chat templates that llama.cpp ships.

Run: `python tools/read_chat_templates.py LLAMA_CPP_FOLDER`. A template belongs to a model of the catalog
when its file is called `org-name.jinja` or `name.jinja` (models/templates/README.md there); others do not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from plimsoll.catalog import chat_templates
from plimsoll.catalog.models import find_all
from plimsoll.domain.answer import plain
from plimsoll.parse.chat_template import read

SOURCE = "llama.cpp-0c1e57098"


def main(folder: Path) -> None:
    """Read every template whose file names a model of the catalog."""
    known = {model_id.replace("/", "-").lower(): model_id for model_id in find_all()}
    known |= {model_id.partition("/")[2].lower(): model_id for model_id in find_all()}
    found = {}
    for path in sorted((folder / "models" / "templates").glob("*.jinja")):
        if model_id := known.get(path.stem.lower()):
            chat = read(path.read_text("utf-8"), f"{SOURCE}#models/templates/{path.name}")
            found[model_id] = plain(chat)
    rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(found[k], ensure_ascii=False)}" for k in sorted(found))
    Path(chat_templates.PATH).write_text("{\n" + rows + "\n}\n", "utf-8")
    print(f"{len(found)} models")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
