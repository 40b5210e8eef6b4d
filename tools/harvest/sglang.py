"""SGLang: EntryClass of every model file, quantisation gates, caches, parsers, backends."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tools.harvest import registries, syntax
from tools.harvest.facts import Project, Table, Value, table

_MODELS = r"sglang/srt/models/(?:.*/)?[^/]*\.py"
_QUANTISATION = "sglang/srt/layers/quantization"
_ARGUMENTS = r"sglang/srt/(?:server_args|arg_groups/.*)\.py"
_PINS = ("torch", "transformers", "flashinfer-python", "sgl-kernel", "sglang-kernel", "triton", "xgrammar",
         "compressed-tensors")  # fmt: skip
WANTED = (
    rf"{_MODELS}|{_QUANTISATION}/.*\.py|{_ARGUMENTS}"
    r"|sglang/srt/function_call/[^/]*\.py|sglang/srt/(?:parser/)?reasoning_parser\.py|PKG-INFO|.*/METADATA"
)


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    classes = syntax.Classes(files)
    calls = syntax.first_of(files, "sglang/srt/function_call/function_call_parser.py")
    thoughts = syntax.first_of(
        files, "sglang/srt/parser/reasoning_parser.py", "sglang/srt/reasoning_parser.py"
    )
    return {
        "architectures": _architectures(files),
        "quantisation": registries.gates(files, classes, f"{_QUANTISATION}/__init__.py"),
        "KV cache types": _choices(files, "--kv-cache-dtype", ""),
        "attention backends": _choices(files, "--attention-backend", "ATTENTION_BACKEND_CHOICES"),
        "tool parsers": _names_of(files, calls, "ToolCallParserEnum"),
        "reasoning parsers": _names_of(files, thoughts, "DetectorMap"),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _architectures(files: Mapping[str, str]) -> Table:
    """The classes that EntryClass names; an architecture is the name of its class."""
    found: dict[str, tuple[Value, str]] = {}
    for path in sorted(path for path in files if re.fullmatch(_MODELS, path) and "EntryClass" in files[path]):
        entry = syntax.assigned(syntax.parsed(files, path), "EntryClass")
        items = entry.elts if isinstance(entry, ast.List | ast.Tuple) else [entry]
        found |= {item.id: (True, path) for item in items if isinstance(item, ast.Name)}
    if not found:
        raise syntax.BadSource("no file of it names an EntryClass", where="sglang/srt/models")
    return table(found)


def _names_of(files: Mapping[str, str], path: str, name: str) -> Table:
    named = syntax.entries(syntax.assigned(syntax.parsed(files, path), name))
    return table({key: (True, path) for key, _ in named})


def _choices(files: Mapping[str, str], option: str, constant: str) -> Table:
    """The words an option takes: choices=[...] of its add_argument, or of the constant beside it."""
    for path in sorted(path for path in files if re.fullmatch(_ARGUMENTS, path)):
        tree = syntax.parsed(files, path)
        listed = syntax.strings(syntax.assigned(tree, constant)) if constant else []
        listed = listed or _argument_choices(tree, option)
        if listed:
            return table({name: (True, path) for name in listed})
    return {}


def _argument_choices(tree: ast.Module, option: str) -> list[str]:
    """choices=[...] of parser.add_argument(option, ...), or of the field's annotation in newer releases."""
    field = option[2:].replace("-", "_")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(syntax.text(a) == option for a in node.args):
            return [w for k in node.keywords if k.arg == "choices" for w in syntax.strings(k.value)]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == field:
            for inner in ast.walk(node.annotation):
                if isinstance(inner, ast.keyword) and inner.arg == "choices":
                    return syntax.strings(inner.value)
    return []


PROJECT = Project(
    name="sglang", runtime="sglang", upstream="https://github.com/sgl-project/sglang/blob/v{version}",
    title="SGLang {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
