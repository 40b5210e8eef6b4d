"""PyTorch: what the metadata of a released wheel asks for. Its 800 MB stay where they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, Value, table


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """Requirements, with the CUDA version that the names and pins of NVIDIA's packages tell."""
    found: dict[str, tuple[Value, str]] = dict(syntax.requirements(files, ("triton",)))
    for line in files["METADATA"].split("\n\n", 1)[0].splitlines():
        told = re.match(r"Requires-Dist:\s*(?:nvidia-cuda-runtime(?:-cu[0-9]+)?|cuda-toolkit)(?:\[[^\]]*\])?"
                        r"\s*\(?==([0-9.]+)", line)  # fmt: skip
        if told:
            found["cuda"] = (".".join(told[1].split(".")[:2]), "METADATA")
    return {"requirements": table(found)}


PROJECT = Project(
    name="torch", runtime="torch", upstream="https://github.com/pytorch/pytorch/blob/v{version}",
    title="PyTorch {version}", wanted="", read=read,
)  # fmt: skip
