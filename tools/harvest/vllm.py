"""vLLM: registry, quantisation gates, adapters, caches, parsers, backends, architectures it is built for."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tools.harvest import registries, syntax
from tools.harvest.facts import Project, Table, Value, table

_MODELS = "vllm/model_executor/models"
_QUANTISATION = "vllm/model_executor/layers/quantization"
_REGISTRY = f"{_MODELS}/registry.py"
_PINS = ("torch", "transformers", "flashinfer-python", "triton", "xformers", "compressed-tensors", "xgrammar")
_GROUPS = (
    "_TEXT_GENERATION_MODELS", "_EMBEDDING_MODELS", "_LATE_INTERACTION_MODELS", "_REWARD_MODELS",
    "_TOKEN_CLASSIFICATION_MODELS", "_SEQUENCE_CLASSIFICATION_MODELS", "_CROSS_ENCODER_MODELS",
    "_MULTIMODAL_MODELS", "_SPECULATIVE_DECODING_MODELS",
    "_TRANSFORMERS_SUPPORTED_MODELS",
)  # fmt: skip
WANTED = (
    rf"{_MODELS}/(?:transformers/)?[^/]*\.py|vllm/models/.*\.py|{_QUANTISATION}/.*\.py|vllm/config/[^/]*\.py|vllm/config\.py"
    r"|vllm/(?:entrypoints/openai/)?tool_parsers/[^/]*\.py|vllm/reasoning/[^/]*\.py"
    r"|vllm/v1/attention/backends/registry\.py|vllm/attention/backends/registry\.py|vllm/platforms/interface\.py"
    r"|CMakeLists\.txt|requirements/(?:cuda|common)\.txt|PKG-INFO"
)


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    registry = syntax.parsed(files, _REGISTRY)
    classes = syntax.Classes(files)
    return {
        "architectures": _architectures(registry),
        "refused architectures": _refused(registry),
        "LoRA": _adapters(registry, classes, files),
        "quantisation": registries.gates(files, classes, f"{_QUANTISATION}/__init__.py"),
        "KV cache types": _cache_types(files),
        "tool parsers": _parsers(files, "tool_parsers", "_TOOL_PARSERS_TO_REGISTER"),
        "reasoning parsers": _parsers(files, "reasoning", "_REASONING_PARSERS_TO_REGISTER"),
        "attention backends": _backends(files),
        "CUDA architectures": _build(files, "CUDA_SUPPORTED_ARCHS"),
        "ROCm architectures": _build(files, "HIP_SUPPORTED_ARCHS"),
        "requirements": table(syntax.requirements(files, _PINS)),
    }


def _registered(registry: ast.Module) -> dict[str, tuple[str, str]]:
    """Architecture -> module and class, of all groups of the registry."""
    found: dict[str, tuple[str, str]] = {}
    for group in _GROUPS:
        for name, value in syntax.entries(syntax.assigned(registry, group)):
            where = syntax.strings(value)
            if len(where) >= 2:
                found.setdefault(name, (where[0], where[1]))
    if not found:
        raise syntax.BadSource("there is no model registry in it", where=_REGISTRY)
    return found


def _module_path(module: str, files: Mapping[str, str]) -> str:
    """The file of a module as the registry writes it: 'llama', or 'vllm.models.deepseek_v4' in full."""
    stem = module.replace(".", "/") if module.startswith("vllm.") else f"{_MODELS}/{module.lstrip('.')}"
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in files), _REGISTRY)


def _architectures(registry: ast.Module) -> Table:
    """Architecture -> the module that the registry names for it."""
    return table({name: (module, _REGISTRY) for name, (module, _) in _registered(registry).items()})


def _refused(registry: ast.Module) -> Table:
    gone = syntax.entries(syntax.assigned(registry, "_PREVIOUSLY_SUPPORTED_MODELS"))
    return table({name: (syntax.text(value), _REGISTRY) for name, value in gone if syntax.text(value)})


def _adapters(registry: ast.Module, classes: syntax.Classes, files: Mapping[str, str]) -> Table:
    """Architecture -> does its class take adapters?

    It does when it or an ancestor is a SupportsLoRA or sets supports_lora. A no needs every ancestor that
    vLLM itself defines; where one was not found, the table is silent.
    """
    found: dict[str, tuple[Value, str]] = {}
    for name, (module, class_name) in _registered(registry).items():
        one = classes.find(class_name, _module_path(module, files))
        if one is None:
            continue
        takes = classes.inherits(one, "SupportsLoRA") or any(
            ancestor.settings.get("supports_lora") == "True" for ancestor in classes.line(one)
        )
        if takes or classes.is_whole(one, "vllm/"):
            found[name] = (takes, one.path)
    return table(found)


def _cache_types(files: Mapping[str, str]) -> Table:
    path = syntax.first_of(files, "vllm/config/cache.py", "vllm/config/__init__.py", "vllm/config.py")
    return table({name: (True, path) for name in syntax.strings(syntax.assigned(syntax.parsed(files, path),
                                                                                 "CacheDType"))})  # fmt: skip


def _parsers(files: Mapping[str, str], folder: str, registry: str) -> Table:
    """Names from the lazy registry, or in older releases from a decorator at each class."""
    pattern = rf".*/{folder}/[^/]*\.py"
    found = registries.decorated_parsers(files, pattern)
    for path in sorted(path for path in files if re.fullmatch(pattern, path)):
        base = path.rpartition("/")[0]
        for name, value in syntax.entries(syntax.assigned(syntax.parsed(files, path), registry)):
            found[name] = (True, f"{base}/{(syntax.strings(value) or ['__init__'])[0]}.py")
    return table(found)


def _backends(files: Mapping[str, str]) -> Table:
    """Members of the enumeration of attention backends."""
    places = (
        ("vllm/v1/attention/backends/registry.py", "AttentionBackendEnum"),
        ("vllm/attention/backends/registry.py", "AttentionBackendEnum"),
        ("vllm/attention/backends/registry.py", "_Backend"),
        ("vllm/platforms/interface.py", "_Backend"),
    )
    for path, name in places:
        if path not in files:
            continue
        for node in ast.walk(syntax.parsed(files, path)):
            if isinstance(node, ast.ClassDef) and node.name == name:
                members = [n for n in node.body if isinstance(n, ast.Assign)]
                names = [t.id for n in members for t in n.targets if isinstance(t, ast.Name)]
                return table({n: (True, path) for n in names if n.isupper()})
    return {}


def _build(files: Mapping[str, str], variable: str) -> Table:
    """Architectures in CMakeLists.txt: True when built with every toolkit, False when only with some."""
    listed = re.findall(rf'set\(\s*{variable}\s+"([^"$]+)"', files.get("CMakeLists.txt", ""))
    branches = [set(filter(None, names.split(";"))) for names in listed]
    every = set.intersection(*branches) if branches else set()
    return table({name: (name in every, "CMakeLists.txt") for name in set().union(*branches)})


PROJECT = Project(
    name="vllm", runtime="vllm", upstream="https://github.com/vllm-project/vllm/blob/v{version}",
    title="vLLM {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
