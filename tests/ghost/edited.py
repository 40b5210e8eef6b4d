"""What Transformers and llama.cpp really do with an edited config: load, refuse, reinitialise, change.

    python -m tests.ghost.edited [FAMILY ...]     (needs PLIMSOLL_LLAMA_CPP_SOURCE)

rewrites tests/fixtures/config_edits.json, which the default test run compares our verdicts with. Each engine
works in child processes: llama.cpp aborts its process on some errors.

An outcome is one of
    load_error      the engine refuses (or aborts) while it reads config and weights
    run_error       it loads, and the first forward pass fails
    reinitialised   it loads, and parameters are not in the checkpoint (fresh random values)
    unused          it loads, and tensors of the checkpoint are left out
    changed         it loads every tensor, and the logits differ
    unchanged       it loads every tensor, and the logits are equal
"""

from __future__ import annotations

import copy
import ctypes as c
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ghost.edit_cases import FAMILIES, edits_of
from tests.ghost.upstream import write_tokenizer

RECORDED = Path(__file__).parent.parent / "fixtures" / "config_edits.json"
TOKENS = tuple((7 * i * i + 3 * i + 11) % 250 for i in range(48))
# Two runs of the same weights differ by rounding only; float32 logits here are of the order of 1.
NOISE = 1e-4
Override = tuple[str, str, Any]
"""GGUF key, kind ('int', 'float', 'bool', 'str') and value, as --override-kv takes them."""


def in_child(job: str, order: Mapping[str, Any], *, timeout_s: float = 900) -> list[dict[str, Any]]:
    """The JSON objects a child prints, one per item of `order['items']`; a crash is the item's own result."""
    items: Sequence[Any] = order["items"]
    results: list[dict[str, Any]] = []
    while len(results) < len(items):
        child = subprocess.run(
            [sys.executable, "-m", "tests.ghost.edited", "--child", job],
            input=json.dumps({**order, "items": items[len(results) :]}), capture_output=True, text=True,
            timeout=timeout_s, check=False, env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        results += [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
        if len(results) < len(items):
            results.append({"outcome": "load_error", "detail": f"aborts: {_tail(child.stderr)}"})
    return results


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "ASSERT" in line or "Error" in line or "error" in line]
    return (told or lines or [""])[-1][-300:]


# --- Transformers ---------------------------------------------------------------------------------------


def save_tiny(folder: Path, config: Mapping[str, Any]) -> None:
    """A tiny model with random weights, saved as a checkpoint beside `config` as it stands."""
    import torch
    import transformers

    torch.manual_seed(5)
    read = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(copy.deepcopy(dict(config)))
    model = transformers.AutoModelForCausalLM.from_config(read, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # norms of exactly 1, biases of 0 and equal sinks would hide what an edit does
            if parameter.dim() == 1 or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    write_tokenizer(folder / "tokenizer.json", dict(config))
    (folder / "generation_config.json").unlink(missing_ok=True)


def transformers_outcome(folder: Path, config: Mapping[str, Any], reference: Any) -> dict[str, Any]:
    """Load the checkpoint in `folder` under `config` and compare with the reference logits."""
    import torch
    import transformers

    with tempfile.TemporaryDirectory() as edited:
        for path in folder.glob("*.safetensors*"):
            os.symlink(path, Path(edited) / path.name)
        (Path(edited) / "config.json").write_text(json.dumps(dict(config)))
        torch.manual_seed(11)
        try:
            model, info = transformers.AutoModelForCausalLM.from_pretrained(edited, output_loading_info=True)
        except Exception as error:
            return {"outcome": "load_error", "detail": _first_line(error)}
    counts = {f"{key}_count": len(info[f"{key}_keys"]) for key in ("missing", "unexpected")}
    named = {key: sorted(map(str, info[f"{key}_keys"]))[:3] for key in ("missing", "unexpected")}
    try:
        logits = transformers_logits(model)
    except Exception as error:
        return {"outcome": "run_error", "detail": _first_line(error), **counts}
    difference = None
    if reference is not None:
        same = logits.shape == reference.shape
        difference = float((logits - reference).abs().max()) if same else float("inf")
    if counts["missing_count"]:
        outcome = "reinitialised"
    elif counts["unexpected_count"]:
        outcome = "unused"
    else:
        outcome = "changed" if difference is not None and not difference <= NOISE else "unchanged"
    return {"outcome": outcome, "difference": _rounded(difference), **counts, **named, "logits": logits}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:240]}"


def transformers_logits(model: Any) -> Any:
    """Logits of all 48 positions in float32."""
    import torch

    with torch.inference_mode():
        return model.eval()(torch.tensor([TOKENS])).logits[0].float()


def _transformers_child(order: Mapping[str, Any]) -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = Path(order["folder"])
    base = transformers_outcome(folder, order["config"], None)
    assert base["outcome"] == "unchanged", base
    for edit in order["items"]:
        result = transformers_outcome(folder, {**order["config"], **edit}, base["logits"])
        result.pop("logits", None)
        print(json.dumps(result), flush=True)


# --- llama.cpp ------------------------------------------------------------------------------------------


def convert(folder: Path, out: Path, *, timeout_s: float = 300) -> None:
    """The upstream converter on a real checkpoint, in a child; raises RuntimeError with its last words."""
    from tests.ghost.upstream import source_tree

    done = subprocess.run(
        [sys.executable, "-m", "tests.ghost.edited", "--convert", str(source_tree()), str(folder), str(out)],
        capture_output=True, text=True, timeout=timeout_s, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if done.returncode or not out.exists():
        raise RuntimeError(done.stderr[-1500:])


def _convert_child(source: str, folder: str, out: str) -> None:
    sys.path.insert(0, str(Path(source) / "gguf-py"))
    sys.path.insert(0, source)
    import gguf
    import torch
    from conversion import ModelType, get_model_architecture, get_model_class
    from conversion.base import ModelBase

    from tests.ghost.writer import tokenizer

    hparams = ModelBase.load_hparams(Path(folder), False)
    hparams.update(json.loads((Path(folder) / "config.json").read_text()))
    model_class = _without_drafts(get_model_class(get_model_architecture(hparams, ModelType.TEXT)))
    with torch.inference_mode():
        model = model_class(Path(folder), gguf.LlamaFileType.ALL_F32, Path(out), hparams=hparams)
        words = tokenizer(hparams["vocab_size"])
        writer = model.gguf_writer

        def set_vocab() -> None:
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre("default")
            writer.add_token_list(words["tokenizer.ggml.tokens"][1])
            writer.add_token_types(words["tokenizer.ggml.token_type"][1])
            writer.add_token_merges(["a b"])
            writer.add_eos_token_id(2)

        model.set_vocab = set_vocab
        model.write()


def _without_drafts(model_class: Any) -> Any:
    """The converter's --no-mtp: Transformers saves no draft layers."""
    if hasattr(model_class, "no_mtp"):
        model_class.no_mtp = True
    return model_class


def _metadata_child(source: str, order: Mapping[str, Any]) -> None:
    """What the converter's own code would write for each edited config, against the unedited one."""
    sys.path.insert(0, str(Path(source) / "gguf-py"))
    sys.path.insert(0, source)
    folder = Path(order["folder"])
    base = _metadata(folder, order["config"])
    for edit in order["items"]:
        try:
            made = _metadata(folder, {**order["config"], **edit})
        except Exception as error:
            print(json.dumps({"error": _first_line(error)}), flush=True)
            continue
        changed = {k: v for k, v in made.items() if base.get(k) != v}
        gone = sorted(k for k in base if k not in made)
        print(json.dumps({"changed": changed, "gone": gone}), flush=True)


def _metadata(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    import gguf
    from conversion import ModelType, get_model_architecture, get_model_class
    from conversion.base import ModelBase

    with tempfile.TemporaryDirectory() as place:
        for path in folder.glob("*.safetensors*"):
            os.symlink(path, Path(place) / path.name)
        (Path(place) / "config.json").write_text(json.dumps(dict(config)))
        write_tokenizer(Path(place) / "tokenizer.json", dict(config))
        hparams = ModelBase.load_hparams(Path(place), False)
        # converters write into nested objects, which must not reach the next edit
        hparams.update(copy.deepcopy(dict(config)))
        model_class = _without_drafts(get_model_class(get_model_architecture(hparams, ModelType.TEXT)))
        model = model_class(Path(place), gguf.LlamaFileType.ALL_F32, Path(place) / "x.gguf", hparams=hparams)
        model.set_gguf_parameters()
        found = {}
        for key, value in model.gguf_writer.kv_data[0].items():
            plain = value.value.tolist() if hasattr(value.value, "tolist") else value.value
            found[key] = list(plain) if isinstance(plain, list | tuple) else plain
        return found


class KvOverride(c.Structure):
    """struct llama_model_kv_override of include/llama.h: a tag, a key, and a union of 128 bytes."""

    _fields_ = [("tag", c.c_int), ("key", c.c_char * 128), ("pad", c.c_int), ("value", c.c_char * 128)]


_TAGS = {"int": 0, "float": 1, "bool": 2, "str": 3}


def kv_overrides(pairs: Sequence[Override]) -> Any:
    """The array that llama_model_params.kv_overrides points to; an empty key ends it."""
    import struct

    assert c.sizeof(KvOverride) == 264, c.sizeof(KvOverride)
    array = (KvOverride * (len(pairs) + 1))()
    codes = {"int": "<q", "float": "<d", "bool": "<?"}
    for slot, (key, kind, value) in zip(array, pairs, strict=False):
        slot.tag, slot.key = _TAGS[kind], key.encode()
        data = value.encode() if kind == "str" else struct.pack(codes[kind], value)
        c.memmove(c.addressof(slot) + 136, data, len(data))
    return array


class Batch(c.Structure):
    _fields_ = [
        ("n_tokens", c.c_int32), ("token", c.c_void_p), ("embd", c.c_void_p), ("pos", c.c_void_p),
        ("n_seq_id", c.c_void_p), ("seq_id", c.c_void_p), ("logits", c.c_void_p),
    ]  # fmt: skip


def llama_cpp_logits(path: str, pairs: Sequence[Override], flags: Mapping[str, Any]) -> Any:
    """Logits after the last of the 48 tokens, or a text that says why the engine refused."""
    from tests.ghost.engine import open_library

    lib = open_library()
    log: list[str] = []
    callback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(
        lambda _l, text, _d: log.append(text.decode())
    )
    lib.llama_log_set(callback, None)
    params = lib.llama_model_default_params()
    array = kv_overrides(pairs)
    params.kv_overrides = c.cast(array, c.c_void_p)
    params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(path.encode(), params)
    if not model:
        told = [line.strip() for line in log if "error" in line.lower()]
        return told[0] if told else "the engine gave no reason"
    settings = lib.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 512, 64, 64
    settings.n_threads = settings.n_threads_batch = 1
    for name, value in flags.items():
        setattr(settings, name, value)
    context = lib.llama_init_from_model(model, settings)
    if not context:
        return "no context: " + "".join(log[-3:]).strip()
    tokens = (c.c_int32 * len(TOKENS))(*TOKENS)
    lib.llama_batch_get_one.restype, lib.llama_batch_get_one.argtypes = Batch, [c.c_void_p, c.c_int32]
    lib.llama_decode.argtypes = [c.c_void_p, Batch]
    failed = lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(TOKENS)))
    if failed:
        return f"run: llama_decode returned {failed}"
    lib.llama_get_logits_ith.restype = c.POINTER(c.c_float)
    lib.llama_get_logits_ith.argtypes = [c.c_void_p, c.c_int32]
    lib.llama_model_get_vocab.restype, lib.llama_model_get_vocab.argtypes = c.c_void_p, [c.c_void_p]
    lib.llama_vocab_n_tokens.argtypes = [c.c_void_p]
    count = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    values = lib.llama_get_logits_ith(context, -1)[:count]
    lib.llama_free(context)
    lib.llama_model_free(model)
    return values


def _llama_cpp_child(order: Mapping[str, Any]) -> None:
    reference = llama_cpp_logits(order["path"], (), {})
    assert not isinstance(reference, str), reference
    for item in order["items"]:
        found = llama_cpp_logits(order["path"], item["pairs"], item.get("flags", {}))
        if isinstance(found, str):
            kind = "run_error" if found.startswith("run:") else "load_error"
            result: dict[str, Any] = {"outcome": kind, "detail": found[-300:]}
        else:
            difference = max(abs(a - b) for a, b in zip(found, reference, strict=True))
            changed = not difference <= NOISE
            result = {"outcome": "changed" if changed else "unchanged", "difference": _rounded(difference)}
        print(json.dumps(result), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Entry of the children and of the recording."""
    if arguments[:1] == ["--child"]:
        order = json.loads(sys.stdin.read())
        if arguments[1] == "metadata":
            _metadata_child(os.environ["PLIMSOLL_LLAMA_CPP_SOURCE"], order)
        else:
            {"transformers": _transformers_child, "llama_cpp": _llama_cpp_child}[arguments[1]](order)
    elif arguments[:1] == ["--convert"]:
        _convert_child(*arguments[1:4])
    else:
        record(arguments or tuple(FAMILIES))


def record(families: Sequence[str]) -> None:
    """Ask both engines about the edits of these families and keep the answers; others stay as they are."""
    kept = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for family in families:
        kept[family] = judged(family)
        RECORDED.write_text(json.dumps(kept, indent=1) + "\n")
        print(family, len(kept[family]["edits"]), flush=True)


def judged(family: str) -> dict[str, Any]:
    """The config and, per edit, what each engine did.

    llama.cpp is told what `whatif` prints for the edit; `metadata` is what the converter would have written.
    """
    config, edits = FAMILIES[family], edits_of(family)
    with tempfile.TemporaryDirectory() as place:
        folder, gguf = Path(place) / "model", Path(place) / "model.gguf"
        save_tiny(folder, config)
        order = {"folder": str(folder), "config": config, "items": edits}
        hf = in_child("transformers", order)
        written = in_child("metadata", order)
        convert(folder, gguf)
        pairs = [printed_pairs(family, edit) for edit in edits]
        told = [i for i, each in enumerate(pairs) if each]
        runs = in_child("llama_cpp", {"path": str(gguf), "items": [{"pairs": pairs[i]} for i in told]})
    loaded = dict(zip(told, runs, strict=True))
    rows = []
    for i, edit in enumerate(edits):
        row = {"set": edit, "transformers": hf[i], "metadata": written[i]}
        if i in loaded:
            row |= {"pairs": pairs[i], "llama_cpp": loaded[i]}
        rows.append(row)
    return {"config": config, "edits": rows}


def printed_pairs(family: str, edit: Mapping[str, Any]) -> list[Override]:
    """The metadata that `whatif` would have overridden for these edits."""
    from plimsoll.catalog import config_keys, read_keys
    from plimsoll.core.edit_overrides import in_gguf
    from plimsoll.domain.whatif import Edit
    from plimsoll.parse.config import model_from_config
    from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

    model = model_from_config(FAMILIES[family], id=family)
    architecture = gguf_architecture(model)
    keys = read_keys.load("transformers", model.architecture).keys
    found: list[Override] = []
    for key, value in edit.items():
        config = FAMILIES[family]
        change = Edit(key=key, before=config.get(key), after=value, text=key, was_present=key in config)
        made = in_gguf(change, config_keys.find(key), architecture, model, keys)
        found += [(pair.key, pair.type, pair.value) for pair in made.pairs]
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
