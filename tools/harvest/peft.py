"""PEFT: kinds of adapters, and the modules it targets by default per model type."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, Value, table

_CONSTANTS = "src/peft/utils/constants.py"
_KINDS = "src/peft/utils/peft_types.py"
_PINS = ("torch", "transformers", "accelerate")
WANTED = rf"{_CONSTANTS}|{_KINDS}|PKG-INFO"


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "adapter kinds": _kinds(files),
        "LoRA targets": _targets(files),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _kinds(files: Mapping[str, str]) -> Table:
    """Members of the enumeration PeftType."""
    found: dict[str, tuple[Value, str]] = {}
    for node in ast.walk(syntax.parsed(files, _KINDS)):
        if isinstance(node, ast.ClassDef) and node.name == "PeftType":
            members = [n for n in node.body if isinstance(n, ast.Assign) and syntax.text(n.value)]
            found |= {syntax.text(member.value): (True, _KINDS) for member in members}
    if not found:
        raise syntax.BadSource("there is no PeftType in it", where=_KINDS)
    return table(found)


def _targets(files: Mapping[str, str]) -> Table:
    """model_type -> the modules that LoRA is put on when none are named, joined by commas."""
    tree = syntax.parsed(files, _CONSTANTS)
    listed = syntax.entries(syntax.assigned(tree, "TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING"))
    return table({name: (",".join(syntax.strings(value)), _CONSTANTS) for name, value in listed})


PROJECT = Project(
    name="peft", runtime="peft", upstream="https://github.com/huggingface/peft/blob/v{version}",
    title="PEFT {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
