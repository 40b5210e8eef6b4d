"""What llama.cpp really does with converted adapters: refuse, apply, or change nothing.

    python -m tests.ghost.adapted_gguf [FAMILY ...]  (the `oracle` extra, `peft`, PLIMSOLL_LLAMA_CPP_SOURCE)

rewrites tests/fixtures/adapter_outcomes_gguf.json.gz. Upstream's convert_lora_to_gguf.py makes the adapters,
the engine of PyPI `xllamacpp` loads them (llama_adapter_lora_init), and its logits are compared with its own
without the adapter and with PEFT's: `peft_difference` says how far apart they are, `converter` why there is
no GGUF.
"""

from __future__ import annotations

import ctypes as c
import gzip
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ghost.adapted import NOISE, PREFIX, TOKENS, build, logits, make, row_of, with_changes
from tests.ghost.adapter_cases import FAMILIES, OLD_EXPERTS, Case

RECORDED = Path(__file__).parent.parent / "fixtures" / "adapter_outcomes_gguf.json.gz"
JUDGED = ("llama", "mixtral", "qwen3_moe", "deepseek_v3", "gpt_oss")
_ROOT = Path(__file__).parents[2]


def config_of(family: str) -> dict[str, Any]:
    """The family's config with a vocabulary that llama.cpp's smallest tokenizer fills."""
    # llama.cpp's Qwen3-MoE has experts in every layer.
    return with_changes(FAMILIES[family], {"vocab_size": 320, "mlp_only_layers": []})


def cases_of(family: str) -> dict[str, Case]:
    """Adapters to convert."""
    is_latent = family == "deepseek_v3"
    q, o = ("q_b_proj" if is_latent else "q_proj"), "o_proj"
    plain = {"r": 4, "lora_alpha": 8, "target_modules": [q, o]}
    found: dict[str, Case] = {
        "right": {"lora": plain},
        "all-linear": {"lora": {**plain, "target_modules": "all-linear"}},
        "rsLoRA": {"lora": {**plain, "use_rslora": True}},
        "rank pattern": {"lora": {**plain, "rank_pattern": {o: 2}}},
        "rank and alpha pattern": {"lora": {**plain, "rank_pattern": {o: 2}, "alpha_pattern": {o: 4}}},
        "alpha pattern": {"lora": {**plain, "alpha_pattern": {o: 32}}},
        "DoRA": {"lora": {**plain, "use_dora": True}},
        "embedding": {"lora": {**plain, "target_modules": [q, "embed_tokens"]}},
        "head": {"lora": {**plain, "target_modules": [q, "lm_head"]}},
        "head saved whole": {"lora": {**plain, "modules_to_save": ["lm_head"]}},
        "zero B": {"lora": plain, "then": ["zero B"]},
        "other hidden size": {"on": {"hidden_size": 64}, "lora": plain},
        "more layers": {"on": {"num_hidden_layers": 4}, "lora": plain},
        "fewer layers": {"on": {"num_hidden_layers": 1}, "lora": plain},
        "one B missing": {"lora": plain, "then": ["without one B"]},
        "alpha 0": {"lora": plain, "config": {"lora_alpha": 0}},
    }
    if is_latent:
        found["latent"] = {
            "lora": {**plain, "target_modules": ["kv_b_proj", "kv_a_proj_with_mqa", "q_a_proj"]}
        }
    if family in OLD_EXPERTS:
        _, gate, up, down = OLD_EXPERTS[family]
        three = [q, gate, up, down]
        found["old experts"] = {"lora": plain, "experts": three, "config": {"target_modules": three}}
        found["old experts, down only"] = {
            "lora": plain, "experts": [q, down], "config": {"target_modules": [q, down]},
        }  # fmt: skip
    if family in ("mixtral", "gpt_oss", "qwen3_moe"):
        both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
        found["experts"] = {"lora": {**plain, "target_parameters": both}}
    return found


def convert(adapter: Path, base: Path, out: Path) -> str:
    """Upstream's converter in a child; '' or its last words."""
    source = os.environ["PLIMSOLL_LLAMA_CPP_SOURCE"]
    done = subprocess.run(
        [
            sys.executable, f"{source}/convert_lora_to_gguf.py", str(adapter), "--base", str(base),
            "--outfile", str(out),
        ],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    if done.returncode == 0 and out.exists():
        return ""
    told = [x for x in done.stderr.splitlines() if "rror" in x or "Unexpected" in x]
    return (told or done.stderr.splitlines() or ["no reason given"])[-1].strip()[:200]


def read_gguf(path: Path) -> dict[str, Any]:
    """The GGUF adapter as a fixture keeps it."""
    from plimsoll.ask.adapter_files import load

    found = load(str(path))
    return {
        "architecture": found.architecture, "alpha": found.alpha,
        "tensors": [[t.name, list(t.shape), t.format, bool(t.is_zero)] for t in found.tensors],
    }  # fmt: skip


def _child(order: Mapping[str, Any]) -> None:
    """Print one outcome per adapter."""
    from tests.ghost.edited import Batch
    from tests.ghost.engine import open_library

    lib = open_library()
    log: list[str] = []
    callback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(
        lambda _l, text, _d: log.append(text.decode())
    )
    lib.llama_log_set(callback, None)
    params = lib.llama_model_default_params()
    params.n_gpu_layers, params.use_extra_bufts = 0, False
    model = lib.llama_model_load_from_file(order["base"].encode(), params)
    assert model, "".join(log[-5:])
    lib.llama_adapter_lora_init.argtypes = [c.c_void_p, c.c_char_p]
    lib.llama_adapter_lora_init.restype = c.c_void_p
    lib.llama_set_adapters_lora.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p]
    lib.llama_batch_get_one.restype, lib.llama_batch_get_one.argtypes = Batch, [c.c_void_p, c.c_int32]
    lib.llama_decode.argtypes = [c.c_void_p, Batch]
    lib.llama_get_logits_ith.restype = c.POINTER(c.c_float)
    lib.llama_get_logits_ith.argtypes = [c.c_void_p, c.c_int32]

    def run(adapter: int | None) -> list[float]:
        settings = lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = 256, 64, 64
        settings.n_threads = settings.n_threads_batch = 1
        settings.flash_attn_type = 0
        settings.type_k = settings.type_v = 0
        context = lib.llama_init_from_model(model, settings)
        assert context, "".join(log[-5:])
        if adapter:
            pointers, scales = (c.c_void_p * 1)(adapter), (c.c_float * 1)(1.0)
            assert lib.llama_set_adapters_lora(context, pointers, 1, scales) == 0
        tokens = (c.c_int32 * len(TOKENS))(*TOKENS)
        assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(TOKENS))) == 0
        values = lib.llama_get_logits_ith(context, -1)[: order["vocab"]]
        lib.llama_free(context)
        return list(values)

    bare = run(None)
    print(json.dumps({"bare": bare}), flush=True)
    for path in order["adapters"]:
        del log[:]
        adapter = lib.llama_adapter_lora_init(model, path.encode())
        if not adapter:
            told = [x for x in log if "failed" in x] or log[-1:]
            print(json.dumps({"outcome": "load_error", "detail": told[-1].strip()[:200]}), flush=True)
            continue
        buffers = [x.rsplit("size =", 1)[1].strip() for x in log if "LoRA buffer size" in x]
        print(json.dumps({"logits": run(adapter), "buffers": buffers}), flush=True)


def engine(base: Path, adapters: Sequence[Path], vocab: int) -> list[dict[str, Any]]:
    """The bare logits first, then one row per adapter; an abort is the adapter's own outcome."""
    rows: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    while len(done) < len(adapters) or not rows:
        order = {"base": str(base), "vocab": vocab, "adapters": [str(p) for p in adapters[len(done) :]]}
        child = subprocess.run(
            [sys.executable, "-m", "tests.ghost.adapted_gguf", "--child"], input=json.dumps(order),
            capture_output=True, text=True, timeout=600, check=False, cwd=_ROOT,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )  # fmt: skip
        found = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
        if not found:
            raise RuntimeError(child.stderr[-800:])
        rows, done = found[:1], done + found[1:]
        if len(done) < len(adapters):
            told = [x for x in child.stderr.splitlines() if x.strip()]
            done.append({"outcome": "aborted", "detail": (told or [""])[-1][-200:]})
    return [*rows, *done]


def judged(family: str) -> dict[str, Any]:
    """Every case of a family: what the converter, llama.cpp and PEFT make of it."""
    from peft import PeftModel

    from tests.ghost.edited import convert as convert_model

    config, rows = config_of(family), {}
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder, base = Path(place) / "model", Path(place) / "base.gguf"
        build(config).save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(config))
        convert_model(folder, base)
        made: dict[str, Path] = {}
        for name, case in cases_of(family).items():
            at, out = Path(place) / name.replace(" ", "_"), Path(place) / f"{len(rows)}.gguf"
            try:
                make(config, case, at)
            except (ValueError, AttributeError) as error:
                print(family, name, "cannot be made:", str(error)[:100], file=sys.stderr)
                continue
            rows[name] = row_of(at)
            own = folder
            if "on" in case:
                own = Path(place) / f"base{len(rows)}"
                own.mkdir()
                (own / "config.json").write_text(json.dumps(with_changes(config, case["on"])))
            rows[name]["converter"] = convert(at, own, out)
            if not rows[name]["converter"]:
                made[name] = out
                rows[name]["gguf"] = read_gguf(out)
                try:
                    adapted = PeftModel.from_pretrained(build(config), str(at))
                    rows[name]["peft_logits"] = logits(adapted.eval()).tolist()
                except (RuntimeError, ValueError):
                    rows[name]["peft_logits"] = None
                if "experts" in case:
                    rows[name]["merged_logits"] = merged(config, at)
        found = engine(base, list(made.values()), config["vocab_size"])
    bare = found[0]["bare"]
    for name, row in zip(made, found[1:], strict=True):
        by_hand = rows[name].pop("merged_logits", None)
        rows[name]["llama_cpp"] = _outcome(row, bare, rows[name].pop("peft_logits"))
        if by_hand is not None and "logits" in row:
            told = max(abs(a - b) for a, b in zip(row["logits"], by_hand, strict=True))
            rows[name]["llama_cpp"]["merged_difference"] = float(f"{told:.3g}")
    return {"config": config, "cases": rows}


def merged(config: Mapping[str, Any], folder: Path) -> list[float]:
    """Logits after adding alpha / rank x B x A to every matrix by hand, expert by expert."""
    import re

    import torch
    from safetensors.torch import load_file

    model, tensors = build(config), load_file(folder / "adapter_model.safetensors")
    settings = json.loads((folder / "adapter_config.json").read_text())
    own, scale = dict(model.named_parameters()), settings["lora_alpha"] / settings["r"]
    with torch.no_grad():
        for name, a in tensors.items():
            if "lora_A" not in name:
                continue
            module = (
                name.removeprefix(PREFIX)
                .removesuffix(".lora_A.weight")
                .replace(".block_sparse_moe.", ".mlp.")
            )
            delta = scale * tensors[name.replace("lora_A", "lora_B")] @ a
            expert = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)", module)
            if expert is None:
                own[f"{module}.weight"].add_(delta)
            elif expert[3] in ("down_proj", "w2"):
                own[f"{expert[1]}.down_proj"][int(expert[2])] += delta
            else:
                both = own[f"{expert[1]}.gate_up_proj"][int(expert[2])]
                half = both.shape[0] // 2
                both[slice(0, half) if expert[3] in ("gate_proj", "w1") else slice(half, None)] += delta
    return [float(x) for x in logits(model)]


def _outcome(row: Mapping[str, Any], bare: Sequence[float], peft: Sequence[float] | None) -> dict[str, Any]:
    if "logits" not in row:
        return dict(row)
    difference = max(abs(a - b) for a, b in zip(row["logits"], bare, strict=True))
    told = None if peft is None else max(abs(a - b) for a, b in zip(row["logits"], peft, strict=True))
    return {
        "outcome": "changed" if difference > 10 * NOISE else "unchanged",
        "difference": float(f"{difference:.3g}"),
        "peft_difference": None if told is None else float(f"{told:.3g}"), "buffers": row["buffers"],
    }  # fmt: skip


def read_recorded() -> dict[str, Any]:
    """The recorded outcomes."""
    found: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def record(families: Sequence[str]) -> None:
    """Ask again about these families; others stay as they are."""
    kept = read_recorded() if RECORDED.exists() else {}
    for family in families:
        kept[family] = judged(family)
        text = json.dumps(kept, separators=(",", ":"), sort_keys=True)
        RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
        print(family, len(kept[family]["cases"]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        _child(json.loads(sys.stdin.read()))
    else:
        record(sys.argv[1:] or JUDGED)
