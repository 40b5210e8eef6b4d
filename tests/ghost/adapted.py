"""What PEFT and llama.cpp really do with an adapter: refuse, apply, ignore, change nothing.

    python -m tests.ghost.adapted [FAMILY ...]     (the `oracle` extra and `peft`)

rewrites tests/fixtures/adapter_outcomes.json.gz, which the default test run compares our verdicts with. A row
holds the adapter's config, its tensors (name, shape, whether all zero) and the engine's outcome:
    load_error   the engine refuses the adapter
    changed      it loads, and the logits differ from those of the bare model
    unchanged    it loads, and the logits are equal
with the number of tensors it ignored and of prepared modules that stayed empty.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ghost.adapter_cases import FAMILIES, OLD_EXPERTS, Case, cases_of

RECORDED = Path(__file__).parent.parent / "fixtures" / "adapter_outcomes.json.gz"
TOKENS = tuple((7 * i * i + 3 * i + 11) % 90 for i in range(24))
# Two runs of the same float32 weights differ by rounding only; these logits are of the order of 1.
NOISE = 1e-4
PREFIX = "base_model.model."
Tensors = dict[str, Any]


def with_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config with some keys changed, in its text part where it has one; only keys it has."""
    out = copy.deepcopy(dict(config))
    target = out.get("text_config", out)
    target.update({k: v for k, v in changes.items() if k in target})
    if "num_hidden_layers" in changes and "layer_types" in target:
        target["layer_types"] = (target["layer_types"] * 2)[: changes["num_hidden_layers"]]
    return out


def build(config: Mapping[str, Any]) -> Any:
    """A tiny model with random weights, always the same."""
    import torch
    import transformers

    torch.manual_seed(5)
    read = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(copy.deepcopy(dict(config)))
    kind = getattr(transformers, config["architectures"][0])
    model = kind._from_config(read, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif parameter.dim() == 3 or "embed" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def logits(model: Any) -> Any:
    """Logits after the last token."""
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([TOKENS])).logits[0, -1].float().clone()


def make(config: Mapping[str, Any], case: Case, folder: Path) -> None:
    """Write the adapter of a case: PEFT's own files, then what the case does to them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file, save_file

    made_for = with_changes(config, case.get("on", {}))
    model = get_peft_model(build(made_for), LoraConfig(task_type="CAUSAL_LM", **copy.deepcopy(case["lora"])))
    torch.manual_seed(9)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder, save_embedding_layers=False)
    tensors = load_file(folder / "adapter_model.safetensors")
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "tiny/base"
    if "experts" in case:
        tensors |= old_experts(made_for, case["experts"], settings["r"])
    for step in case.get("then", ()):
        tensors = _changed(tensors, step, model)
    for key, value in case.get("config", {}).items():
        settings[key] = value
        if value is None and key != "target_modules":
            del settings[key]
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def old_experts(config: Mapping[str, Any], targets: Sequence[str], rank: int) -> Tensors:
    """Pairs of the experts' matrices under their old names, one expert at a time, and of a shared expert."""
    import torch

    box, gate, up, down = OLD_EXPERTS[config["model_type"]]
    hidden = config["hidden_size"]
    width = config.get("moe_intermediate_size", config["intermediate_size"])
    count = config.get("num_experts") or config.get("num_local_experts") or config["n_routed_experts"]
    first = config.get("first_k_dense_replace", 0)
    dense = set(config.get("mlp_only_layers", ())) | set(range(first))
    found: Tensors = {}

    def pair(module: str, wide: int, out: int) -> None:
        found[f"{PREFIX}{module}.lora_A.weight"] = torch.randn(rank, wide) * 0.3
        found[f"{PREFIX}{module}.lora_B.weight"] = torch.randn(out, rank) * 0.3

    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}.{box}"
        for leaf in (gate, up, down):
            if leaf not in targets:
                continue
            into, out = (width, hidden) if leaf == down else (hidden, width)
            if layer in dense:
                wide = config["intermediate_size"]
                pair(f"{at}.{leaf}", *((wide, hidden) if leaf == down else (hidden, wide)))
                continue
            for number in range(count):
                pair(f"{at}.experts.{number}.{leaf}", into, out)
            shared = config.get("shared_expert_intermediate_size")
            if shared:
                pair(f"{at}.shared_expert.{leaf}", *((shared, hidden) if leaf == down else (hidden, shared)))
            elif config.get("n_shared_experts"):
                pair(f"{at}.shared_experts.{leaf}", into, out)
    return found


def _changed(tensors: Tensors, step: str, model: Any) -> Tensors:
    import torch

    if step == "bf16":
        return {k: v.to(torch.bfloat16) for k, v in tensors.items()}
    if step.startswith("zero B"):
        layer = re.search(r"layer (\d+)", step)
        mark = f".layers.{layer[1]}." if layer else ""
        return {k: torch.zeros_like(v) if "lora_B" in k and mark in k else v for k, v in tensors.items()}
    if step == "without B":
        return {k: v for k, v in tensors.items() if "lora_B" not in k}
    if step.startswith("without one "):
        half = sorted(k for k in tensors if f"lora_{step[-1]}" in k)
        return {k: v for k, v in tensors.items() if k != half[0]}
    if step == "without prefix":
        return {k.removeprefix(PREFIX): v for k, v in tensors.items()}
    if step == "prefix twice":
        return {PREFIX + k: v for k, v in tensors.items()}
    if step == "without model":
        return {k.replace(f"{PREFIX}model.", PREFIX): v for k, v in tensors.items()}
    if step == "layers+2":
        return {
            re.sub(r"\.layers\.(\d+)\.", lambda m: f".layers.{int(m[1]) + 2}.", k): v
            for k, v in tensors.items()
        }
    if step == "language_model first":
        return {
            k.replace(f"{PREFIX}model.language_model.", f"{PREFIX}language_model.model."): v
            for k, v in tensors.items()
        }
    assert step == "embeddings", step
    base = model.get_base_model()
    name = next(n for n, m in base.named_modules() if m is base.get_input_embeddings())
    return {**tensors, f"{PREFIX}{name}.weight": base.get_input_embeddings().weight.detach() * 1.5}


def peft_outcome(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Load with PEFT on the family's own model, as `PeftModel.from_pretrained` does, and compare logits."""
    from peft import PeftConfig, PeftModel

    base = build(config)
    before = logits(base)
    try:
        settings = PeftConfig.from_pretrained(str(folder))
        settings.inference_mode = True
        model = PeftModel(base, settings, "default")
        result = model.load_adapter(str(folder), "default", is_trainable=False)
        after = logits(model.eval())
    except Exception as error:
        return {"outcome": "load_error", "detail": f"{type(error).__name__}: {str(error).strip()[:160]}"}
    difference = float((after - before).abs().max())
    return {
        "outcome": "changed" if difference > NOISE else "unchanged", "difference": float(f"{difference:.3g}"),
        "ignored": len(result.unexpected_keys),
        "missing": len([k for k in result.missing_keys if "lora_" in k]),
        "bytes": sum(
            p.numel() * p.element_size() for n, p in model.named_parameters() if "lora_" in n
        ),
    }  # fmt: skip


def row_of(folder: Path) -> dict[str, Any]:
    """The adapter as a fixture keeps it."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    settings = json.loads((folder / "adapter_config.json").read_text())
    quiet = {
        k: v for k, v in settings.items()
        if k == "target_modules" or not (v is None or v is False or v in ({}, []))
    }  # fmt: skip
    return {
        "config": quiet,
        "tensors": [
            [k, list(v.shape), str(v.dtype).removeprefix("torch."), bool((v == 0).all())]
            for k, v in sorted(tensors.items())
        ],
    }  # fmt: skip


def judged(family: str) -> dict[str, Any]:
    """Every case of a family with what PEFT does."""
    config, rows = FAMILIES[family], {}
    for name, case in cases_of(family).items():
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                make(config, case, Path(place))
            except (ValueError, AttributeError) as error:
                print(family, name, "cannot be made:", str(error)[:100], file=sys.stderr)
                continue
            rows[name] = {**row_of(Path(place)), "peft": peft_outcome(config, Path(place))}
    return {"config": config, "cases": rows}


def read_recorded() -> dict[str, Any]:
    """The recorded outcomes."""
    found: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def record(families: Sequence[str]) -> None:
    """Ask PEFT about the adapters of these families; others stay as they are."""
    kept = read_recorded() if RECORDED.exists() else {}
    for family in families:
        kept[family] = judged(family)
        text = json.dumps(kept, separators=(",", ":"), sort_keys=True)
        RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
        print(family, len(kept[family]["cases"]), flush=True)


if __name__ == "__main__":
    record(sys.argv[1:] or tuple(FAMILIES))
