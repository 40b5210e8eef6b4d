"""Reads values out of Python source without running it: literals, registries, classes and their bases."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from plimsoll.errors import ReadError


class BadSource(ReadError):
    """A source file is not Python, or does not hold what it held in every release so far."""


def parsed(files: Mapping[str, str], path: str) -> ast.Module:
    """The syntax tree of a file; raises BadSource where it is missing or is not Python."""
    if path not in files:
        raise BadSource("the package has no such file", where=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their escapes are theirs
            return ast.parse(files[path])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadSource(f"it is not Python that can be read: {error}", where=path) from error


def first_of(files: Mapping[str, str], *paths: str) -> str:
    """The first of `paths` that the package has; raises BadSource for none."""
    for path in paths:
        if path in files:
            return path
    raise BadSource("the package has none of these files", where=", ".join(paths))


def assigned(tree: ast.AST, name: str) -> ast.expr | None:
    """What NAME is set to, wherever that stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(_is_named(t, name) for t in node.targets):
            return node.value
        if isinstance(node, ast.AnnAssign) and _is_named(node.target, name) and node.value is not None:
            return node.value
    return None


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def strings(node: ast.expr | None) -> list[str]:
    """The strings of a list, tuple, set or Literal[...], in their order."""
    if isinstance(node, ast.Subscript):
        node = node.slice
    items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def entries(node: ast.expr | None) -> list[tuple[str, ast.expr]]:
    """Key and value of a dict with string keys; also of OrderedDict([(key, value), ...])."""
    if isinstance(node, ast.Call) and node.args:
        pairs = node.args[0].elts if isinstance(node.args[0], ast.List | ast.Tuple) else []
        found = [pair.elts for pair in pairs if isinstance(pair, ast.Tuple) and len(pair.elts) == 2]
        return [(k.value, v) for k, v in found if isinstance(k, ast.Constant) and isinstance(k.value, str)]
    if not isinstance(node, ast.Dict):
        return []
    return [
        (key.value, value) for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]  # fmt: skip


def text(node: ast.expr | None) -> str:
    """A string constant, or ''."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _constant_result(function: ast.FunctionDef) -> int | None:
    """The whole number that a function returns when returning it is all that it does."""
    body = [n for n in function.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    if len(body) == 1 and isinstance(body[0], ast.Return) and isinstance(body[0].value, ast.Constant):
        value = body[0].value.value
        return value if type(value) is int else None
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """What is kept of a class: its bases, whole numbers its functions return, strings it sets.

    `results` has every function; None where it does more than to return a constant.
    """

    name: str
    path: str
    bases: tuple[str, ...]
    results: Mapping[str, int | None]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    classes: Mapping[str, Class]
    imports: Mapping[str, tuple[str, str]]  # name -> path without .py, name there


class Classes:
    """The classes of a package, each file parsed when a class of it is asked for; trees are not kept."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._modules: dict[str, _Module] = {}

    def of(self, path: str) -> Mapping[str, Class]:
        """All classes that a file defines at its top."""
        return self._module(path).classes

    def find(self, name: str, path: str) -> Class | None:
        """The class that NAME means in a file: its own, or the one it imports; None beyond the package."""
        seen: set[tuple[str, str]] = set()
        while (path, name) not in seen:
            seen.add((path, name))
            module = self._module(path)
            if name in module.classes:
                return module.classes[name]
            stem, name = module.imports.get(name, ("", name))
            found = [p for p in (f"{stem}.py", f"{stem}/__init__.py") if p in self._files]
            if not found:
                return None
            path = found[0]
        return None

    def line(self, start: Class) -> Iterator[Class]:
        """A class and all its ancestors inside the package, nearest first."""
        waiting, seen = [start], set()
        while waiting:
            one = waiting.pop(0)
            if (one.path, one.name) not in seen:
                seen.add((one.path, one.name))
                yield one
                waiting += filter(None, (self.find(base, one.path) for base in one.bases))

    def inherits(self, start: Class, name: str) -> bool:
        """Does the class or an ancestor name NAME among its bases?"""
        return any(name in one.bases for one in self.line(start))

    def is_whole(self, start: Class, own: str) -> bool:
        """Was every ancestor found that a file of the package (its path begins with `own`) should define?"""
        for one in self.line(start):
            module = self._module(one.path)
            for base in one.bases:
                stem = module.imports.get(base, ("", ""))[0]
                if stem.startswith(own) and self.find(base, one.path) is None:
                    return False
        return True

    def _module(self, path: str) -> _Module:
        if path not in self._modules:
            self._modules[path] = _module_of(parsed(self._files, path), path)
        return self._modules[path]


def _module_of(tree: ast.Module, path: str) -> _Module:
    classes: dict[str, Class] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            classes.setdefault(node.name, _class_of(node, path))
        elif isinstance(node, ast.ImportFrom):
            stem = _stem(node, path)
            imports |= {alias.asname or alias.name: (stem, alias.name) for alias in node.names}
    return _Module(classes=classes, imports=imports)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, also those behind an if or try, and imports inside of functions."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "handlers", "finalbody"):
            below = getattr(node, inner, [])
            if isinstance(node, ast.FunctionDef):
                yield from (n for n in _statements(node.body) if isinstance(n, ast.ImportFrom))
                break
            if not isinstance(node, ast.ClassDef) and isinstance(below, list):
                yield from _statements(below)


def _stem(node: ast.ImportFrom, path: str) -> str:
    """The path without .py of the module that an import names."""
    module = (node.module or "").replace(".", "/")
    if not node.level:
        return module
    folder = path.split("/")[: -node.level]
    return "/".join([*folder, module] if module else folder)


def _class_of(node: ast.ClassDef, path: str) -> Class:
    settings: dict[str, str] = {}
    results: dict[str, int | None] = {}
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef):
            results[inner.name] = _constant_result(inner)
        elif isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Constant):
            settings |= {t.id: str(inner.value.value) for t in inner.targets if isinstance(t, ast.Name)}
        elif _is_set(inner):
            settings[inner.target.id] = str(inner.value.value)
    bases = tuple(_base_name(base) for base in node.bases)
    return Class(name=node.name, path=path, bases=bases, results=results, settings=settings)


def _is_set(node: ast.stmt) -> TypeGuard[Any]:
    """NAME: type = constant."""
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    )


def _base_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def requirements(files: Mapping[str, str], names: tuple[str, ...]) -> dict[str, tuple[Any, str]]:
    """The Python and the libraries that a package asks for, without extras: name -> (range, path).

    What its metadata does not name is taken from requirements/*.txt, because the metadata of a source
    package leaves out what the build chooses by platform.
    """
    found: dict[str, tuple[Any, str]] = {}
    for path in sorted(p for p in files if p.endswith(("PKG-INFO", "METADATA"))):
        for line in files[path].split("\n\n", 1)[0].splitlines():
            if line.startswith("Requires-Python:"):
                found.setdefault("python", (_tidy(line.partition(":")[2]), path))
            elif line.startswith("Requires-Dist:") and "extra ==" not in line:
                _take_requirement(line.partition(":")[2], names, path, found)
    for path in ("requirements/common.txt", "requirements/cuda.txt", "requirements-cuda.txt"):
        for line in files.get(path, "").splitlines():
            _take_requirement(line.partition("#")[0], names, path, found)
    return found


def _take_requirement(
    line: str, names: tuple[str, ...], path: str, found: dict[str, tuple[Any, str]]
) -> None:
    told = re.match(r"\s*([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*\(?([<>=!~][^;)]*)?", line)
    name = told[1].lower().replace("_", "-") if told else ""
    if told and name in names and told[2]:
        found.setdefault(name, (_tidy(told[2]), path))


def _tidy(wanted: str) -> str:
    return ",".join(sorted(part.replace(" ", "") for part in wanted.strip().split(",") if part.strip()))
