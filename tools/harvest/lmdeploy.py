"""LMDeploy: which architectures its two engines have, and which parsers."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tools.harvest import registries, syntax
from tools.harvest.facts import Project, Table, Value, table

_TURBOMIND = "lmdeploy/turbomind/supported_models.py"
_PYTORCH = "lmdeploy/pytorch/models/module_map.py"
_PINS = ("torch", "transformers", "triton", "xgrammar", "peft")
_TOOLS = r"lmdeploy/serve/(?:openai|parsers)/tool_parser/[^/]*\.py"
_REASONING = r"lmdeploy/serve/(?:openai|parsers)/reasoning_parser/[^/]*\.py"
WANTED = rf"{_TURBOMIND}|{_PYTORCH}|{_TOOLS}|{_REASONING}|.*/METADATA|PKG-INFO"


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "architectures": _pytorch(files),
        "TurboMind architectures": _turbomind(files),
        "refused architectures": _removed(files),
        "tool parsers": table(registries.decorated_parsers(files, _TOOLS)),
        "reasoning parsers": table(registries.decorated_parsers(files, _REASONING)),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _turbomind(files: Mapping[str, str]) -> Table:
    """Keywords of SUPPORTED_ARCHS = dict(LlamaForCausalLM='llama', ...)."""
    listed = syntax.assigned(syntax.parsed(files, _TURBOMIND), "SUPPORTED_ARCHS")
    names = [k.arg for k in listed.keywords if k.arg] if isinstance(listed, ast.Call) else []
    names += [name for name, _ in syntax.entries(listed)]
    if not names:
        raise syntax.BadSource("there is no SUPPORTED_ARCHS in it", where=_TURBOMIND)
    return table({name: (True, _TURBOMIND) for name in names})


def _pytorch(files: Mapping[str, str]) -> Table:
    """Keys of every MODULE_MAP.update({...})."""
    found: dict[str, tuple[Value, str]] = {}
    for node in ast.walk(syntax.parsed(files, _PYTORCH)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "MODULE_MAP.update":
            found |= {n: (True, _PYTORCH) for a in node.args for n, _ in syntax.entries(a)}
    if not found:
        raise syntax.BadSource("there is no MODULE_MAP in it", where=_PYTORCH)
    return table(found)


def _removed(files: Mapping[str, str]) -> Table:
    listed = syntax.entries(syntax.assigned(syntax.parsed(files, _PYTORCH), "REMOVED_MODEL_MAP"))
    return table({name: ("", _PYTORCH) for name, _ in listed})


PROJECT = Project(
    name="lmdeploy", runtime="lmdeploy", upstream="https://github.com/InternLM/lmdeploy/blob/v{version}",
    title="LMDeploy {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
