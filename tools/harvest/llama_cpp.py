"""llama.cpp as llama-cpp-python carries it: GGUF architectures, types of weights and cache, CUDA targets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, table

_ROOT = "vendor/llama.cpp/"  # paths of facts are those of llama.cpp itself
_ARCHITECTURES = "src/llama-arch.cpp"
_TYPES = "ggml/src/ggml.c"
_ARGUMENTS = "common/arg.cpp"
_CUDA = "ggml/src/ggml-cuda/CMakeLists.txt"
_CHANGES = "CHANGELOG.md"
WANTED = "|".join(
    re.escape(path) for path in (*(_ROOT + p for p in (_ARCHITECTURES, _TYPES, _ARGUMENTS, _CUDA)), _CHANGES)
)


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "architectures": _architectures(files),
        "quantisation": _types(files),
        "KV cache types": _cache_types(files),
        "CUDA architectures": _cuda(files),
        "commit": _commit(files),
    }


def _text(files: Mapping[str, str], path: str) -> str:
    return files[syntax.first_of(files, _ROOT + path)]


def _architectures(files: Mapping[str, str]) -> Table:
    """{ LLM_ARCH_LLAMA, "llama" }; a model whose name is not among them is refused."""
    listed = re.search(r"LLM_ARCH_NAMES = \{(.*?)\n\};", _text(files, _ARCHITECTURES), re.S)
    names = re.findall(r'\{\s*LLM_ARCH_\w+,\s*"([^"()]+)"', listed[1] if listed else "")
    if not names:
        raise syntax.BadSource("there is no LLM_ARCH_NAMES in it", where=_ARCHITECTURES)
    return table({name: (True, _ARCHITECTURES) for name in names if name != "clip"})


def _types(files: Mapping[str, str]) -> Table:
    """Names of types that pack weights; f32, f16 and bf16 are among the others."""
    blocks = re.findall(r'\.type_name\s*=\s*"(\w+)".*?\.is_quantized\s*=\s*(\w+)', _text(files, _TYPES), re.S)
    return table({name: (packed == "true", _TYPES) for name, packed in blocks})


def _cache_types(files: Mapping[str, str]) -> Table:
    listed = re.search(r"kv_cache_types = \{(.*?)\};", _text(files, _ARGUMENTS), re.S)
    names = re.findall(r"GGML_TYPE_(\w+)", listed[1] if listed else "")
    return table({name.lower(): (True, _ARGUMENTS) for name in names})


def _cuda(files: Mapping[str, str]) -> Table:
    """Targets of a default build: '50-virtual' is PTX that every later card compiles at start."""
    listed = re.findall(r"list\(APPEND CMAKE_CUDA_ARCHITECTURES ([^)]+)\)", _text(files, _CUDA))
    return table({name: (True, _CUDA) for names in listed for name in names.split()})


def _commit(files: Mapping[str, str]) -> Table:
    """The commit of llama.cpp that the newest entry of the change log names."""
    told = re.search(r"^## \[[0-9][^\n]*\n(.*?)(?=^## |\Z)", files.get(_CHANGES, ""), re.M | re.S)
    commits = re.findall(r"llama\.cpp@([0-9a-f]{7,40})", told[1] if told else "")
    return table({"llama.cpp": (commits[0], _CHANGES)} if commits else {})


PROJECT = Project(
    name="llama-cpp-python", runtime="llama_cpp",
    upstream="https://github.com/ggml-org/llama.cpp/blob/{version}",
    title="llama.cpp {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
