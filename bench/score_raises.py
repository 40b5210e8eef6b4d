"""How much of what released engines can raise `plimsoll diagnose` knows, kind by kind.

python bench/score_raises.py [--unknown COUNT] ARCHIVE...

An ARCHIVE is a released package (.whl, .tar.gz) as `pip download --no-deps` brings it. Its Python files are
parsed, never executed: each `raise X("...")`, `assert c, "..."` and `log.error("...")` outside tests is one
message, in which what is filled in at run time stands as 7. C++ and CUDA sources give the texts of their
checks, exceptions and error logs. Each message is read as a line of a log, after its exception's name. That
a class fits a message does not say that its cause is right for every thread: that is what score_diagnose.py
is for.
"""

from __future__ import annotations

import ast
import re
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from plimsoll.catalog import failures
from plimsoll.core import diagnose

_SOURCE = re.compile(r"\.(py|cpp|cc|cu|cuh|h|hpp|mm?)$")
_ASIDE = re.compile(r"(^|/)(tests?|testing|benchmarks?|examples?|docs?|tools|scripts)/|test_|conftest")
_LARGEST_BYTES = 3_000_000
_LEAST_LETTERS = 12
_FILLED = re.compile(r"%[-+ #0-9.*lhzu]*[a-zA-Z]|\{[^}]*\}")
_CHECK = re.compile(
    r"(TORCH_CHECK\w*|GGML_ABORT|LLAMA_LOG_ERROR|GGML_LOG_ERROR|LOG_ERR|SRV_ERR|LOG_ERROR|runtime_error"
    r"|invalid_argument|TLLM_THROW|TM_CHECK|FLASHINFER_CHECK|TVM_FFI_ICHECK)\s*\(([^;]{0,600}?)\);", re.DOTALL
)  # fmt: skip
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LOGGED = ("error", "critical", "exception")


def sources(archive: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of the source files of a package, tests and examples aside."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            for item in package.infolist():
                if (
                    item.file_size < _LARGEST_BYTES
                    and _SOURCE.search(item.filename)
                    and not _ASIDE.search(item.filename)
                ):
                    yield item.filename, package.read(item).decode("utf-8", "replace")
        return
    with tarfile.open(archive) as package:
        for member in package:
            wanted = _SOURCE.search(member.name) and not _ASIDE.search(member.name)
            if wanted and member.size < _LARGEST_BYTES and (file := package.extractfile(member)):
                yield member.name, file.read().decode("utf-8", "replace")


def text_of(node: ast.expr) -> str:
    """The literal text of an expression, 7 for what is filled in; '' where there is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(v) if isinstance(v, ast.Constant) else "7" for v in node.values)
    if isinstance(node, ast.BinOp):
        return _FILLED.sub("7", text_of(node.left)) + (
            text_of(node.right) if isinstance(node.op, ast.Add) else ""
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _FILLED.sub("7", text_of(node.func.value))
    return ""


def of_python(source: str) -> Iterator[tuple[str, str]]:
    """(exception or level, message) of each place that raises or logs an error."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            raised = node.exc.func
            name = raised.id if isinstance(raised, ast.Name) else getattr(raised, "attr", "")
            yield name, text_of(node.exc.args[0])
        elif isinstance(node, ast.Assert) and node.msg is not None:
            yield "AssertionError", text_of(node.msg)
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LOGGED and node.args
        ):  # fmt: skip
            yield "ERROR", _FILLED.sub("7", text_of(node.args[0]))


def of_native(source: str) -> Iterator[tuple[str, str]]:
    """(macro, message) of each check, exception or error log of C++ and CUDA sources."""
    for found in _CHECK.finditer(source):
        yield found[1], _FILLED.sub("7", "7".join(_TEXT.findall(found[2])).replace("\\n", " "))


def messages(archive: Path) -> Iterator[str]:
    """Each message once, as a line of a log."""
    seen = set()
    for name, source in sources(archive):
        for kind, text in of_python(source) if name.endswith(".py") else of_native(source):
            line = f"{kind}: {' '.join(text.split())[:300]}"
            if len(text.strip()) >= _LEAST_LETTERS and line not in seen:
                seen.add(line)
                yield line


def main(arguments: list[str]) -> None:
    """Print the shares of each archive, and with --unknown some messages that nothing fits."""
    shown = int(arguments.pop(1)) if arguments[0] == "--unknown" else 0
    known = failures.load()
    wanted = diagnose.scan_for(known).wanted
    for archive in map(Path, arguments[1:] if shown else arguments):
        counts: Counter[str] = Counter()
        for line in messages(archive):
            scan = diagnose.Scan(wanted=wanted)
            diagnose.scanned(scan, line.encode() + b"\n")
            found = diagnose.recognised(scan, known)
            first = found[0].failure if found else None
            tier = first.tier if first else "nothing"
            counts["bare class" if first and tier == "class" and not first.tells_why else tier] += 1
            if not first and counts["nothing"] <= shown:
                print(f"    {line[:150]}")
        total = sum(counts.values())
        shares = ", ".join(f"{name} {n / total:.0%}" for name, n in counts.most_common())
        print(f"{archive.name}: {total:,} messages: {shares}")


if __name__ == "__main__":
    main(sys.argv[1:])
