"""What `transformers` builds from a config: names, shapes and dtypes, on the meta device.

The golden facts in the fixtures come from here:

    python -m tests.parse.transformers_oracle tests/fixtures/models/qwen3.json ...

rewrites the "oracle" section of each fixture named (all of them without arguments). A fixture is
{"id", "source", "config", "published": {"parameters_count", "source", "includes"}, "class"?, "oracle"};
`class` names the Transformers class when `architectures` does not, and null says there is none; `needs`
lists packages that the class wants beside torch (timm).
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"

Row = tuple[str, tuple[int, ...], str, bool]
"""name, shape, dtype in our words, whether it is a persistent buffer."""

_DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "f16", "torch.float32": "f32", "torch.int64": "i64"}


def fixture_paths() -> list[Path]:
    """Every model fixture, by name."""
    return sorted(path for path in FIXTURES.glob("*.json") if "config" in json.loads(path.read_text()))


def transformers_config(config: dict[str, Any]) -> Any:
    """The config as its Transformers class reads it; quantisation left out."""
    from transformers import CONFIG_MAPPING

    plain = {key: value for key, value in copy.deepcopy(config).items() if key != "quantization_config"}
    return CONFIG_MAPPING[plain["model_type"]].from_dict(plain)


def build(config: dict[str, Any], class_name: str = "") -> Any:
    """The model on the meta device, in the config's dtype."""
    import torch
    import transformers

    read = transformers_config(config)
    text = read.get_text_config()
    dtype = getattr(torch, str(read.dtype or text.dtype or "bfloat16").removeprefix("torch."))
    name = class_name or (config.get("architectures") or [""])[0]
    with torch.device("meta"):
        if hasattr(transformers, name):
            return getattr(transformers, name)._from_config(read, dtype=dtype)
        return transformers.AutoModelForCausalLM.from_config(read, dtype=dtype)


def rows_of(model: Any) -> list[Row]:
    """Unique parameters and persistent buffers, in the dtypes `from_pretrained` would load them in."""
    from transformers.core_model_loading import build_glob_alternation

    plan = model._get_dtype_plan(model.dtype)
    kept = build_glob_alternation(list(plan))[0] if plan else None
    rows: list[Row] = []
    for name, parameter in model.named_parameters():
        dtype = "torch.float32" if kept and kept.search(name) else str(parameter.dtype)
        rows.append((name, tuple(parameter.shape), _DTYPES[dtype], False))
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix=prefix, recurse=False):
            if name.rpartition(".")[2] in module._non_persistent_buffers_set:
                continue
            dtype = "torch.float32" if kept and kept.search(name) else str(buffer.dtype)
            rows.append((name, tuple(buffer.shape), _DTYPES[dtype], True))
    return sorted(rows)


def facts(rows: list[Row]) -> dict[str, Any]:
    """What a fixture keeps of a table: counts and a hash over its lines."""
    lines = [
        f"{name} {'x'.join(map(str, shape))} {dtype}{' buffer' * buffer}"
        for name, shape, dtype, buffer in rows
    ]
    return {
        "parameters_count": sum(_product(shape) for _, shape, _, buffer in rows if not buffer),
        "tensors_count": len(rows),
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


def main(arguments: list[str]) -> None:
    """Rewrite the "oracle" section of the fixtures named."""
    import transformers

    for path in [Path(argument) for argument in arguments] or fixture_paths():
        fixture = json.loads(path.read_text())
        if fixture.get("class", "") is None:
            continue
        model = build(fixture["config"], fixture.get("class", ""))
        fixture["oracle"] = {
            "transformers": transformers.__version__, "class": type(model).__name__, **facts(rows_of(model)),
        }  # fmt: skip
        path.write_text(json.dumps(fixture, indent=1) + "\n")
        print(path.name, fixture["oracle"]["class"], fixture["oracle"]["parameters_count"])


if __name__ == "__main__":
    main(sys.argv[1:])
