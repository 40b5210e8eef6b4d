"""Shapes that several engines share: quantisation tables with gates, parsers registered by a decorator."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Table, Value, table


def gates(files: Mapping[str, str], classes: syntax.Classes, path: str) -> Table:
    """Method -> the compute capability its config demands (75 for 7.5), or '' where that is computed.

    The tables are every dict in the file that maps strings to classes; `get_min_capability` is looked for
    in the class and its ancestors.
    """
    found: dict[str, tuple[Value, str]] = {}
    for node in ast.walk(syntax.parsed(files, path)):
        if isinstance(node, ast.Dict):
            for method, value in syntax.entries(node):
                if isinstance(value, ast.Name) and (one := classes.find(value.id, path)):
                    found[method] = _gate(one, classes)
    if not found:
        raise syntax.BadSource("there is no table of quantisation methods in it", where=path)
    return table(found)


def _gate(one: syntax.Class, classes: syntax.Classes) -> tuple[Value, str]:
    for ancestor in classes.line(one):
        if "get_min_capability" in ancestor.results:
            least = ancestor.results["get_min_capability"]
            return ("" if least is None else least), ancestor.path
    return "", one.path


def decorated_parsers(files: Mapping[str, str], pattern: str) -> dict[str, tuple[Value, str]]:
    """Names given to @...register_module("name"), (["name", ...]) or (name=...) at each class."""
    found: dict[str, tuple[Value, str]] = {}
    for path in sorted(path for path in files if re.fullmatch(pattern, path)):
        for node in ast.walk(syntax.parsed(files, path)):
            if isinstance(node, ast.ClassDef):
                found |= {name: (True, path) for name in _names_given(node)}
    return found


def _names_given(node: ast.ClassDef) -> list[str]:
    calls = [
        call
        for call in node.decorator_list
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "register_module"
    ]
    told = [a for c in calls for a in (*c.args, *(k.value for k in c.keywords if k.arg == "name"))]
    return [name for argument in told for name in syntax.strings(argument)]
