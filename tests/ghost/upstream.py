"""The upstream converter (llama.cpp's conversion/*.py) as a judge, on weights that do not exist.

Run as a child process: `python upstream.py SOURCE CONFIG.json OUT.json [f16]`. SOURCE is a llama.cpp
source tree (the PyPI sdist of `llama-cpp-python` carries one); Transformers builds the model on the
meta device, its names are turned back into those of a checkpoint, and the converter's own code maps
them. OUT.json gets `metadata` (key -> [type, value]) and `tensors` ([name, shape, type]).
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SOURCE_VARIABLE = "PLIMSOLL_LLAMA_CPP_SOURCE"


# keys whose presence means something to a converter, and which AutoConfig fills in
_NOT_DEFAULTED = {"nemotron_h": ("num_experts_per_tok", "n_routed_experts", "n_group", "topk_group")}
# model types that hub configs name and Transformers knows under another
_SAME_CLASS = {"kimi_k2": "deepseek_v3"}


def source_tree() -> Path | None:
    """The llama.cpp source tree named by PLIMSOLL_LLAMA_CPP_SOURCE, or None."""
    value = os.environ.get(SOURCE_VARIABLE)
    return Path(value) if value and (Path(value) / "conversion").is_dir() else None


def convert(
    config: dict[str, Any], outtype: str = "f16", *, extra: Iterable[tuple[str, tuple[int, ...]]] = (),
    timeout_s: float = 900,
) -> dict[str, Any]:  # fmt: skip
    """What the converter would write for `config`: {'metadata': ..., 'tensors': ...}.

    `extra` are tensors of the checkpoint that Transformers does not build (draft layers).
    Raises RuntimeError with the tail of the child's stderr when the converter refuses.
    """
    source = source_tree()
    if source is None:
        raise RuntimeError(f"{SOURCE_VARIABLE} does not name a llama.cpp source tree")
    with tempfile.TemporaryDirectory() as folder:
        config_path, out = Path(folder) / "in.json", Path(folder) / "out.json"
        config_path.write_text(json.dumps({"config": config, "extra": list(extra)}))
        done = subprocess.run(
            [sys.executable, "-P", __file__, str(source), str(config_path), str(out), outtype],
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        if done.returncode or not out.exists():
            raise RuntimeError(done.stderr[-1500:])
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def checkpoint(config: dict[str, Any], *, timeout_s: float = 300) -> list[tuple[str, tuple[int, ...]]]:
    """The names and shapes a checkpoint of `config` has, as Transformers would save it."""
    done = subprocess.run(
        [sys.executable, "-P", __file__], input=json.dumps(config), capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return [(name, tuple(shape)) for name, shape in json.loads(done.stdout.splitlines()[-1])]


def _checkpoint(config: dict[str, Any]) -> dict[str, Any]:
    """Checkpoint names -> meta tensors, as `save_pretrained` would name them."""
    import torch
    import transformers
    from transformers.core_model_loading import revert_weight_conversion

    torch.set_default_dtype(torch.bfloat16)
    fields = {k: v for k, v in config.items() if k != "quantization_config"}
    fields["model_type"] = _SAME_CLASS.get(fields["model_type"], fields["model_type"])
    try:
        model_config = transformers.AutoConfig.for_model(**fields)
    except ValueError:  # remote code: `extra` has to bring every tensor
        return {}
    name = (config.get("architectures") or [""])[0]
    if name.endswith("ForConditionalGeneration") and not hasattr(model_config, "text_config"):
        name = ""
    model_class = getattr(transformers, name, None)
    with torch.device("meta"):
        if model_class is not None and model_class.config_class in (None, type(model_config)):
            model = model_class(model_config)
        else:
            model = transformers.AutoModelForCausalLM.from_config(model_config)
    state = model.state_dict()
    for tied in getattr(model, "all_tied_weights_keys", None) or {}:
        state.pop(tied, None)
    torch.set_default_dtype(torch.float32)
    return dict(revert_weight_conversion(model, state))


def _default_architecture(model_type: str) -> str:
    """The class Transformers takes for a model type whose config names none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    name: str = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    return name


def _run(source: str, config_path: str, out: str, outtype: str) -> None:
    sys.path.insert(0, source)
    sys.path.insert(0, str(Path(source) / "gguf-py"))
    import gguf
    import torch
    from conversion import ModelType, get_model_architecture, get_model_class
    from conversion.base import LazyTorchTensor, ModelBase

    order = json.loads(Path(config_path).read_text())
    config = order["config"]
    if not config.get("architectures"):
        config["architectures"] = [_default_architecture(config["model_type"])]
    state = _checkpoint(config)
    for name, shape in _unfused(order["extra"], state):
        state.setdefault(name, torch.empty(shape, dtype=torch.bfloat16, device="meta"))
    if (config.get("quantization_config") or {}).get("quant_method") == "mxfp4":
        state = dict(_as_mxfp4(state))
    folder = Path(config_path).parent / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder / "tokenizer.json", config)
    # a newer Transformers drops and renames what the converter reads (MiniMax-M2's rotary_dim,
    # Granite's layer_types): what stands in config.json wins over what AutoConfig makes of it
    hparams = _over(ModelBase.load_hparams(folder, False), config)
    for key in _NOT_DEFAULTED.get(config["model_type"], ()):
        if key not in config:
            del hparams[key]
    model_class = get_model_class(get_model_architecture(hparams, ModelType.TEXT))

    def index(self: Any, remote_hf_model_id: str | None = None) -> dict[str, Any]:
        found = {}
        for name, tensor in state.items():
            lazy = LazyTorchTensor(meta=tensor, args=(), func=_values(tensor.shape))
            item = self.filter_tensors((name, lambda lazy=lazy: lazy))
            if item:
                found[item[0]] = item[1]
        return found

    # these would make a lazy tensor load its values: scaling rows, counting values, moving to the CPU
    LazyTorchTensor.__setitem__ = lambda self, key, value: None
    LazyTorchTensor.numel = lambda self: self._meta.numel()
    move = LazyTorchTensor._wrap_fn(torch.Tensor.to)
    LazyTorchTensor.to = lambda self, *args, **kw: self if "device" in kw else move(self, *args, **kw)
    ModelBase.index_tensors = index
    ModelBase.load_hparams = staticmethod(lambda *_, **__: copy.deepcopy(hparams))
    kinds = {"f16": gguf.LlamaFileType.MOSTLY_F16, "bf16": gguf.LlamaFileType.MOSTLY_BF16,
             "f32": gguf.LlamaFileType.ALL_F32, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}  # fmt: skip
    # newer converters insist on draft layers unless told that there are none
    model_class.no_mtp = not any(name.startswith(("mtp.", "model.mtp.")) for name in state)
    with torch.inference_mode():
        model = model_class(folder, kinds[outtype], Path(out).with_suffix(".gguf"), hparams=hparams)
        model = getattr(model, "impl", model)  # Mistral 3 and 4 are one class with two inside
        model.set_vocab = lambda: None
        model.prepare_tensors()
        model.prepare_metadata(vocab_only=False)
    writer = model.gguf_writer
    metadata = {}
    for key, value in writer.kv_data[0].items():
        shown = value.value if not hasattr(value.value, "tolist") else value.value.tolist()
        metadata[key] = [value.type.name, list(shown)
                         if isinstance(shown, list | tuple) else shown]  # fmt: skip
    tensors = [
        [name, [int(d) for d in info.shape], info.dtype.name.lower()]
        for name, info in writer.tensors[0].items()
    ]
    Path(out).write_text(
        json.dumps(
            {"arch": gguf.MODEL_ARCH_NAMES[model.model_arch], "metadata": metadata, "tensors": tensors}
        )
    )


def _over(made: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    nested = {
        key: _over(made[key], value)
        for key, value in written.items()
        if isinstance(value, dict) and isinstance(made.get(key), dict) and key.endswith("_config")
    }
    return {**made, **written, **nested}


def _unfused(extra: list[Any], state: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """Extra tensors, with stacks of experts taken apart where the rest of the checkpoint has them apart."""
    is_apart = any(".experts.0." in name for name in state)
    for name, shape in extra:
        base, _, kind = name.rpartition(".")
        if not is_apart or not base.endswith("experts") or not kind.endswith("_proj"):
            yield name, shape
            continue
        for expert in range(shape[0]):
            if kind != "gate_up_proj":
                yield f"{base}.{expert}.{kind}.weight", shape[1:]
            else:
                yield f"{base}.{expert}.gate_proj.weight", [shape[1] // 2, shape[2]]
                yield f"{base}.{expert}.up_proj.weight", [shape[1] // 2, shape[2]]


def _as_mxfp4(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Stacks of experts (experts, in, out) as MXFP4 checkpoints hold them: 16 bytes and a scale per 32."""
    import torch

    for name, tensor in state.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            yield name, tensor
            continue
        experts, inside, outside = tensor.shape
        for suffix, shape in (("blocks", (inside // 32, 16)), ("scales", (inside // 32,))):
            yield (
                f"{name}_{suffix}",
                torch.empty((experts, outside, *shape), dtype=torch.uint8, device="meta"),
            )


def write_tokenizer(path: Path, config: dict[str, Any]) -> None:
    """Gemma's converter cuts the embedding to the tokenizer's size: give it one of the full size."""
    size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size") or 0
    path.write_text(json.dumps({"model": {"vocab": {str(i): i for i in range(size)}}, "added_tokens": []}))


def _values(shape: Any) -> Any:
    """Ones where a converter wants to look at a small tensor (multipliers, gates), an error for a weight."""
    import torch

    def load(*_: Any) -> Any:
        if shape.numel() > 2**20:
            raise RuntimeError("the converter asked for the values of a weight")
        return torch.ones(shape, dtype=torch.bfloat16)

    return load


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(*sys.argv[1:5])
    else:
        print(json.dumps([(n, list(t.shape)) for n, t in _checkpoint(json.load(sys.stdin)).items()]))
