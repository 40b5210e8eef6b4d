"""Write tests/fixtures/launch_flags/*.json: the options released servers take, read without running them.

Run: `python tools/read_launch_flags.py vllm vllm-0.33.0-*.whl ...` (also sglang, mlx, transformers wheels, or
`exllama TABBYAPI_CHECKOUT`). Each file names the release, the files read and, per option, what it takes: a
type, the words it accepts, or 'switch'. `plimsoll launch` is held against these lists in
tests/runtimes/test_launch_flags.py.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "tests" / "fixtures" / "launch_flags"
Takes = str | list[object]
Options = dict[str, Takes]
_NUMBERS = ("int", "float")


def parsed(files: Mapping[str, str], *patterns: str) -> dict[str, ast.Module]:
    """The files whose names match one of `patterns`, as syntax trees."""
    return {
        name: ast.parse(text) for name, text in sorted(files.items())
        if any(re.fullmatch(p, name) for p in patterns)
    }  # fmt: skip


def constants(trees: Mapping[str, ast.Module]) -> dict[str, Takes]:
    """NAME = Literal[...] and NAME = [...] of whole modules: the words behind a name."""
    found: dict[str, Takes] = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                words = _words(node.value, found)
                if words is not None:
                    found[node.targets[0].id] = words
    return found


def _words(node: ast.expr | None, known: Mapping[str, Takes]) -> list[object] | None:
    """The values of a list or a Literal, also through names and joins; None where they are computed."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
        inner = node.slice
        elements = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        return [e.value for e in elements if isinstance(e, ast.Constant)]
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        values = [e.value for e in node.elts if isinstance(e, ast.Constant)]
        return values if len(values) == len(node.elts) else None
    if isinstance(node, ast.Name):
        words = known.get(node.id)
        return words if isinstance(words, list) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _words(node.left, known), _words(node.right, known)
        return left + right if left is not None and right is not None else None
    return None


def takes(annotation: ast.expr, known: Mapping[str, Takes]) -> Takes:
    """What a field of this annotation takes on the command line."""
    for node in ast.walk(annotation):
        words = _words(node, known) if isinstance(node, ast.Subscript | ast.Name) else None
        if words is not None:
            return words
    names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
    if "bool" in names and not names & {"str", "int", "dict"}:
        return "switch"
    if names & {"list", "List", "tuple", "dict", "Dict"}:
        return "list" if names & {"list", "List", "tuple"} else "json"
    return next((n for n in _NUMBERS if n in names), "str")


def fields(trees: Mapping[str, ast.Module], *class_names: str) -> Iterator[tuple[str, ast.AnnAssign]]:
    """(class, field) of every annotated field; of the named classes only where some are named."""
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (not class_names or node.name in class_names):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        yield node.name, item


def added(tree: ast.Module, known: Mapping[str, Takes]) -> Iterator[tuple[list[str], ast.Call]]:
    """(option names, call) of every `.add_argument("--name", ...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if any(n.startswith("-") for n in names):
                yield names, node


def argument(call: ast.Call, known: Mapping[str, Takes]) -> Takes:
    """What a plain add_argument takes."""
    keywords = {k.arg: k.value for k in call.keywords if k.arg}
    if "store" in ast.unparse(keywords.get("action", ast.Constant(""))).lower():
        return "switch"
    if "BooleanOptional" in ast.unparse(keywords.get("action", ast.Constant(""))):
        return "switch"
    words = _words(keywords.get("choices"), known)
    if words is not None:
        return words
    if "nargs" in keywords:
        return "list"
    kind = ast.unparse(keywords.get("type", ast.Constant("str")))
    return "json" if "json" in kind else kind if kind in _NUMBERS else "str"


def vllm(files: Mapping[str, str]) -> tuple[Options, list[str]]:
    """`vllm serve`: add_argument calls that unfold a config class's fields, and FrontendArgs' fields."""
    configs = parsed(files, r"vllm/config/\w+\.py", r"vllm/model_executor/layers/quantization/__init__\.py")
    front = parsed(files, r"vllm/entrypoints/.*cli_args\.py")
    front = {name: tree for name, tree in front.items() if "FrontendArgs" in files[name]}
    engine = parsed(files, r"vllm/engine/arg_utils\.py")
    known = constants(configs)
    by_field = {(owner, f.target.id): f.annotation for owner, f in fields(configs)}  # type: ignore[union-attr]
    found: Options = {}
    for tree in (*engine.values(), *front.values()):
        owners = {
            n.targets[0].id: n.value.args[0].id  # type: ignore[union-attr]
            for n in ast.walk(tree)
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)
            and getattr(n.value.func, "id", "") == "get_kwargs" and isinstance(n.value.args[0], ast.Name)
        }  # fmt: skip
        for names, call in added(tree, known):
            what = argument(call, known)
            match = re.search(r"(\w+_kwargs)\[['\"](\w+)['\"]\]", ast.unparse(call))
            if match and (annotation := by_field.get((owners.get(match[1], ""), match[2]))):
                what = takes(annotation, known)
            found |= {n: what for n in names}
    for _, field in fields(front, "BaseFrontendArgs", "FrontendArgs"):
        found[_dashed(field)] = takes(field.annotation, known)
    return found, [*engine, *front]


def vllm_parsers(files: Mapping[str, str], folder: str, register: str) -> list[object]:
    """Names under which vLLM registers its tool or reasoning parsers."""
    trees = parsed(files, rf"vllm/(entrypoints/openai/)?{folder}/(\w+)\.py")
    found: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id == register and isinstance(node.value, ast.Dict):  # type: ignore[union-attr]
                found |= {k.value for k in node.value.keys if isinstance(k, ast.Constant)}  # type: ignore[union-attr,misc]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "register_module":
                words = [_words(a, {}) or [getattr(a, "value", None)] for a in node.args]
                found |= {str(w) for group in words for w in group if isinstance(w, str)}
    return sorted(found)


def sglang(files: Mapping[str, str]) -> tuple[Options, list[str]]:
    """`sglang.launch_server`: add_argument calls, and since 0.5.1x annotated fields (A[type, Arg(...)])."""
    shared = parsed(files, r"sglang/srt/arg_groups/choices\.py", r"sglang/srt/server_args\.py")
    groups = parsed(files, r"sglang/srt/arg_groups/fields/\w+\.py", r"sglang/srt/server_args\.py")
    known = constants(shared)
    found: Options = {}
    for _, field in fields(groups):
        annotation = field.annotation
        if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) not in (
            "A",
            "Annotated",
        ):
            continue
        kind, *rest = annotation.slice.elts  # type: ignore[attr-defined]
        args = {k.arg: k.value for r in rest if isinstance(r, ast.Call) for k in r.keywords}
        if "no_cli" in args:
            continue
        what = _words(args.get("choices"), known) or takes(kind, known)
        if "type_parser" in args and "json" in ast.unparse(args["type_parser"]):
            what = "json"
        own = args.get("cli_name")
        names = [str(own.value) if isinstance(own, ast.Constant) else _dashed(field)]
        names += [str(n) for n in _words(args.get("aliases"), known) or []]
        found |= {n if n.startswith("-") else f"--{n}": what for n in names}
    server = groups["sglang/srt/server_args.py"]
    for names, call in added(server, known):
        found |= {n: argument(call, known) for n in names}
    return found, list(groups)


def mlx(files: Mapping[str, str]) -> tuple[Options, list[str]]:
    """`mlx_lm.server`: plain add_argument calls."""
    trees = parsed(files, r"mlx_lm/server\.py")
    return {n: argument(call, {}) for t in trees.values() for names, call in added(t, {}) for n in names}, [
        *trees
    ]


def transformers(files: Mapping[str, str]) -> tuple[Options, list[str]]:
    """`transformers serve`: the parameters of Serve.__init__, which typer turns into options."""
    trees = parsed(files, r"transformers/cli/serve\.py")
    found: Options = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                for arg in node.args.args:
                    text = ast.unparse(arg.annotation) if arg.annotation else ""
                    if "Annotated" in text and "Argument" not in text:
                        found["--" + arg.arg.replace("_", "-")] = takes(arg.annotation.slice.elts[0], {})  # type: ignore[union-attr]
    return found, [*trees]


def exllama(files: Mapping[str, str]) -> tuple[Options, list[str]]:
    """TabbyAPI's config.yml: `section.key`, from the pydantic models behind it."""
    trees = parsed(files, r"common/config_models\.py")
    known = constants(trees)
    sections = {}
    for owner, field in fields(trees):
        if owner == "TabbyConfigModel":
            name = re.search(r"(\w+Config)", ast.unparse(field.annotation))
            sections[name[1] if name else ""] = field.target.id  # type: ignore[union-attr]
    found: Options = {}
    for owner, field in fields(trees):
        if owner in sections:
            found[f"{sections[owner]}.{field.target.id}"] = takes(field.annotation, known)  # type: ignore[union-attr]
    return found, [*trees]


def _dashed(field: ast.AnnAssign) -> str:
    assert isinstance(field.target, ast.Name)
    return "--" + field.target.id.replace("_", "-")


READERS: dict[str, Callable[[Mapping[str, str]], tuple[Options, list[str]]]] = {
    "vllm": vllm, "sglang": sglang, "mlx": mlx, "transformers": transformers, "exllama": exllama,
}  # fmt: skip


def files_of(path: Path) -> tuple[str, dict[str, str]]:
    """('name version', {file: text}) of the Python files of a wheel, or of a git checkout's newest commit."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            names = [n for n in wheel.namelist() if n.endswith(".py")]
            texts = {n: wheel.read(n).decode("utf-8", "replace") for n in names}
        return " ".join(path.name.split("-")[:2]).replace("_", "-"), texts
    git = ["git", "-C", str(path)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", "HEAD"], check=True, capture_output=True)
    names = [n for n in listed.stdout.decode().splitlines() if n.endswith(".py")]
    texts = {
        n: subprocess.run([*git, "show", f"HEAD:{n}"], check=True, capture_output=True).stdout.decode()
        for n in names if "config" in n
    }  # fmt: skip
    return f"tabbyAPI {commit.strip()[:12]}", texts


def record(runtime: str, path: Path) -> dict[str, object]:
    """One release's options, ready to be written."""
    release, files = files_of(path)
    options, read = READERS[runtime](files)
    found: dict[str, object] = {"runtime": runtime, "release": release, "files": sorted(read)}
    if runtime == "vllm":
        found["tool_parsers"] = vllm_parsers(files, "tool_parsers", "_TOOL_PARSERS_TO_REGISTER")
        found["reasoning_parsers"] = vllm_parsers(files, "reasoning", "_REASONING_PARSERS_TO_REGISTER")
    return {**found, "options": dict(sorted(options.items()))}


def text_of(found: Mapping[str, object]) -> str:
    """JSON with one option a line."""
    head = {k: v for k, v in found.items() if k != "options"}
    options = found["options"]
    assert isinstance(options, dict)
    rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in options.items())
    lines = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items())
    return "{\n" + lines + ' "options": {\n' + rows + "\n }\n}\n"


def main(runtime: str, *paths: str) -> None:
    """Record every given release."""
    FOLDER.mkdir(exist_ok=True)
    for path in paths:
        found = record(runtime, Path(path))
        name = str(found["release"]).replace(" ", "-")
        (FOLDER / f"{name}.json").write_text(text_of(found), "utf-8")
        print(name, len(found["options"]), "options")  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
