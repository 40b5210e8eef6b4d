"""ExLlamaV3: the architectures it lists."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, Value, table

_FOLDER = r"exllamav3/(?:architecture|models)/[^/]*\.py"
_PINS = ("torch", "flash-attn", "triton", "transformers")
WANTED = rf"{_FOLDER}|.*/METADATA|PKG-INFO"


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "architectures": _architectures(files),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _architectures(files: Mapping[str, str]) -> Table:
    """`arch_string` of the config class of every model class that ARCHITECTURES names."""
    path = syntax.first_of(
        files, "exllamav3/architecture/architectures.py", "exllamav3/models/architectures.py"
    )
    classes = syntax.Classes(files)
    listed = {node.id for node in ast.walk(syntax.parsed(files, path)) if isinstance(node, ast.Name)}
    found: dict[str, tuple[Value, str]] = {}
    for name in sorted(listed):
        one = classes.find(name, path)
        for other in classes.of(one.path).values() if one else ():
            if other.settings.get("arch_string"):
                found[other.settings["arch_string"]] = (True, other.path)
    if not found:
        raise syntax.BadSource("no model class of it has an arch_string", where=path)
    return table(found)


PROJECT = Project(
    name="exllamav3", runtime="exllama",
    upstream="https://github.com/turboderp-org/exllamav3/blob/v{version}",
    title="ExLlamaV3 {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
