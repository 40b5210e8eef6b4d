"""MLX-LM: one file per model type, the types it renames, modes of quantisation, parsers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, Value, table

_UTILS = "mlx_lm/utils.py"
_PINS = ("mlx", "transformers")
WANTED = (
    r"mlx_lm/models/[^/]*\.py|mlx_lm/tool_parsers/[^/]*\.py|mlx_lm/(?:utils|convert)\.py|PKG-INFO|.*/METADATA"
)


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "architectures": _architectures(files),
        "quantisation modes": _modes(files),
        "tool parsers": _stems(files, "mlx_lm/tool_parsers"),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _architectures(files: Mapping[str, str]) -> Table:
    """model_type: the file models/<type>.py that has a class Model, or the type it is renamed to."""
    found: dict[str, tuple[Value, str]] = {}
    for path in sorted(files):
        told = re.fullmatch(r"mlx_lm/models/([^/]+)\.py", path)
        if told and re.search(r"^class Model\b|^from \.\S+ import .*\bModel\b", files[path], re.M):
            found[told[1]] = (told[1], path)
    for name, value in syntax.entries(syntax.assigned(syntax.parsed(files, _UTILS), "MODEL_REMAPPING")):
        if syntax.text(value) in found:
            found[name] = (syntax.text(value), found[syntax.text(value)][1])
    if not found:
        raise syntax.BadSource("no file of it has a class Model", where="mlx_lm/models")
    return table(found)


def _stems(files: Mapping[str, str], folder: str) -> Table:
    """Files of a folder: each is a parser of that name."""
    names = [re.fullmatch(rf"{folder}/([^/_][^/]*)\.py", path) for path in sorted(files)]
    return table({told[1]: (True, told[0]) for told in names if told})


def _modes(files: Mapping[str, str]) -> Table:
    """The words of choices=[...] after --q-mode."""
    told = re.search(r'"--q-mode".*?choices=\[([^\]]*)\]', files.get("mlx_lm/convert.py", ""), re.S)
    return table(
        {name: (True, "mlx_lm/convert.py") for name in re.findall(r'"([^"]+)"', told[1] if told else "")}
    )


PROJECT = Project(
    name="mlx-lm", runtime="mlx", upstream="https://github.com/ml-explore/mlx-lm/blob/v{version}",
    title="mlx-lm {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
