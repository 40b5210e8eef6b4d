"""Write which keys each engine's code reads, from the engines' own sources, into catalog/read_keys.

    python tools/read_keys.py transformers                     (the installed package)
    python tools/read_keys.py llama_cpp SOURCE COMMIT          (a llama.cpp source tree)

Transformers: attributes of a config that modeling_<type>.py and configuration_<type>.py touch, and what the
shared code touches (positions, masks, experts). llama.cpp: metadata keys that load_hparams and the
architecture's load_arch_hparams ask for. A key that is read may still be without effect; a key that is not
read has none.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

OUT = Path(__file__).parents[1] / "src" / "plimsoll" / "catalog" / "read_keys"
SHARED = ("modeling_rope_utils.py", "masking_utils.py", "integrations/moe.py")
# read by configuration_utils.py, modeling_utils.py and generation, whatever the model
EVERYWHERE = frozenset({
    "architectures", "bos_token_id", "dtype", "eos_token_id", "model_type", "quantization_config",
    "tie_word_embeddings", "torch_dtype", "use_cache",
})  # fmt: skip


def attributes(path: Path) -> set[str]:
    """Names read off something called config, of `self` in a configuration, and taken out of kwargs."""
    found: set[str] = set()
    is_configuration = path.name.startswith("configuration_")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and _is_config(node.value, is_configuration):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("getattr", "hasattr") and len(node.args) > 1:
                found |= _text(node.args[1]) if _is_config(node.args[0], is_configuration) else set()
            elif name in ("pop", "get") and isinstance(node.func, ast.Attribute):
                found |= _text(node.args[0])
    return found


def stored_only(paths: list[Path], elsewhere: frozenset[str]) -> set[str]:
    """Keys that a module stores as an attribute (`self.a = config.key`) which nothing ever looks at."""
    stored: dict[str, set[str]] = {}
    inside: set[int] = set()
    loaded, keys = set(elsewhere), set()
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                target = node.targets[0]
                if isinstance(target, ast.Attribute) and _is_config(node.value.value, False):
                    stored.setdefault(node.value.attr, set()).add(target.attr)
                    inside.add(id(node.value))
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in inside:
                (keys if _is_config(node.value, False) else loaded).add(node.attr)
    return {key for key, names in stored.items() if not names & loaded and key not in keys}


def _loaded_elsewhere(root: Path) -> frozenset[str]:
    """Attributes that the shared code looks at on any module."""
    found: set[str] = set()
    for path in (*root.glob("integrations/*.py"), *root.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
    return frozenset(found)


def _is_config(node: ast.expr, is_configuration: bool) -> bool:
    if isinstance(node, ast.Name):
        return node.id.endswith("config") or (is_configuration and node.id == "self")
    return isinstance(node, ast.Attribute) and node.attr.endswith("config")


def _text(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def read_by_transformers() -> dict[str, object]:
    """model_type -> sorted keys, for every model type with a configuration of its own."""
    import transformers
    from transformers import CONFIG_MAPPING

    from plimsoll.parse.families import FAMILIES

    root = Path(transformers.__file__).parent
    found = EVERYWHERE.union(*(attributes(root / name) for name in SHARED))
    shared = sorted(key for key in found if key and not key.startswith("_"))
    types, head_dims, elsewhere = {}, {}, _loaded_elsewhere(root)
    for model_type in sorted(FAMILIES):
        if model_type not in CONFIG_MAPPING:
            continue
        source = Path(sys.modules[CONFIG_MAPPING[model_type].__module__].__file__ or "")
        keys: set[str] = set()
        models = sorted(source.parent.glob("modeling_*.py"))
        for path in models:
            keys |= attributes(path)
        keys = attributes(source) | (keys - stored_only(models, elsewhere))
        renamed = getattr(CONFIG_MAPPING[model_type], "attribute_map", {})
        keys |= {old for old, new in renamed.items() if new in keys} | {
            new for old, new in renamed.items() if old in keys
        }
        head_dims[model_type] = _head_dim(CONFIG_MAPPING[model_type])
        public = {key for key in keys if key and not key.startswith("_")}
        types[model_type] = sorted(public - set(shared))
    return {
        "engine": "transformers",
        "version": transformers.__version__,
        "shared": shared,
        "read": types,
        "head_dim": head_dims,
    }


def _head_dim(config_class: type) -> str:
    """Whether a config that does not say head_dim gets one ('filled'), keeps None ('empty') or has no such
    key ('absent')."""
    values = config_class().get_text_config().to_dict()
    if "head_dim" not in values:
        return "absent"
    return "empty" if values["head_dim"] is None else "filled"


def read_by_llama_cpp(source: Path, commit: str) -> dict[str, object]:
    """GGUF architecture -> metadata keys (without '{arch}.'), for every architecture with a file."""
    names = dict(
        re.findall(r"\{ (LLM_KV_\w+),\s+\"([^\"]+)\"\s*\}", (source / "src/llama-arch.cpp").read_text())
    )
    archs = dict(
        re.findall(r"\{ (LLM_ARCH_\w+),\s+\"([^\"]+)\"\s*\}", (source / "src/llama-arch.cpp").read_text())
    )
    model = (source / "src/llama-model.cpp").read_text()
    classes = dict(re.findall(r"case (LLM_ARCH_\w+):\s*return new (llama_model_\w+)\(", model))
    common = _asked(_body(model, "llama_model_base::load_hparams"), names)
    bodies = {}
    for path in sorted((source / "src/models").glob("*.cpp")):
        text = path.read_text()
        for found in re.finditer(r"void (llama_model_\w+)::load_arch_hparams", text):
            bodies[found[1]] = _asked(_body(text, f"{found[1]}::load_arch_hparams"), names)
    read = {
        archs[arch]: sorted(bodies[name] - common)
        for arch, name in classes.items()
        if arch in archs and name in bodies
    }
    return {
        "engine": "llama.cpp",
        "version": commit,
        "shared": sorted(common),
        "read": dict(sorted(read.items())),
    }


def _body(text: str, start: str) -> str:
    rest = text[text.index(f"void {start}(") :]
    return rest[: rest.index("\n}\n")]


def _asked(body: str, names: dict[str, str]) -> set[str]:
    keys = {names[name].removeprefix("%s.") for name in re.findall(r"\b(LLM_KV_\w+)", body) if name in names}
    return keys | ({"attention.sliding_window_pattern"} if "load_swa_pattern" in body else set())


def main(arguments: list[str]) -> None:
    """Write one engine's file."""
    engine = arguments[0]
    found = (
        read_by_transformers()
        if engine == "transformers"
        else read_by_llama_cpp(Path(arguments[1]), arguments[2])
    )
    (OUT / f"{engine}.json").write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
