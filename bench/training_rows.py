"""Rows of a memory-measurement file become training runs, or a reason why not (schema: memory_rows.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from memory_rows import NotExpressed, Row, model_or_reason

from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.domain.model import Model
from plimsoll.domain.training import Attachment, Framework, Optimizer, TrainingSetup
from plimsoll.errors import PlimsollError
from plimsoll.units import GIB

# Methods of PEFT that hold what LoRA of the same rank holds, but for what they train; others are not
# expressed.
_LIKE_LORA = ("lora", "adalora", "dora", "lora_llm", "pissa", "olora")
# ModelScope's owners of models whose Hugging Face owners the catalog knows.
_OWNERS = {"LLM-Research": "meta-llama", "ZhipuAI": "zai-org"}
# Later training of the same base, whose shapes the catalog has: mistral.ai's model cards name it.
_SAME_SHAPE = {
    "Magistral-Small-2507": "mistralai/Magistral-Small-2506",
    "Devstral-Small-2507": "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    "Magistral-Small-2509": "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    "Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "gpt-oss-120b-dequantized": "openai/gpt-oss-120b",
}
_OPTIMIZERS: dict[str, Optimizer] = {
    "adamw_torch_8bit": "adamw-8bit",
    "adamw_bnb_8bit": "adamw-8bit",
    "adamw_8bit": "adamw-8bit",
    "paged_adamw_8bit": "paged-adamw-8bit",
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A row as a training run. `is_seen_by_allocator`: the figure is PyTorch's own, without the context.

    `is_packed`: some batch is as long as it may be. PEFT's comparison pads each batch to its longest
    sequence.
    """

    case: str
    framework: str
    method: str
    model: Model
    setup: TrainingSetup
    attachment: Attachment
    is_seen_by_allocator: bool
    is_packed: bool


def framework_of(row: Row) -> str:
    """The name under which a row is counted."""
    name = (row.get("runtime") or "").lower()
    if "megatron" in name:
        return "ms-swift Megatron"
    for part in ("ms-swift", "axolotl", "unsloth", "peft", "trl"):
        if part in name:
            return part
    raise NotExpressed("not a training program")


def express(row: Row) -> Run:
    """The row's run. Raises NotExpressed with the reason."""
    framework = framework_of(row)
    flags = _flags(row)
    model = _model(row)
    build = {"peft": _peft, "ms-swift": _swift, "axolotl": _axolotl, "ms-swift Megatron": _megatron}.get(
        framework, _other
    )
    if row["component"] == "fits":
        build = _other  # out of memory is told in words, mostly without the settings
    setup = build(row, flags)
    try:
        found = attachment(model, setup.method, setup.targets, setup.rank)
    except PlimsollError as error:
        raise NotExpressed(error.message) from error
    if found.refusal:
        raise NotExpressed(found.refusal)
    if (setup.longest_tokens or setup.sequence_tokens) <= 0:
        raise NotExpressed("the length of the sequences is not told")
    return Run(
        case=row["case"],
        framework=framework,
        method=_method_name(row, flags, setup),
        model=model,
        setup=setup,
        attachment=found,
        is_seen_by_allocator=framework in ("peft", "unsloth"),
        is_packed=framework == "peft" or flags.get("packing", "").lower() == "true",
    )


def measured_bytes(row: Row) -> int:
    """The measured figure; 'GB' of an untold base is read as GiB, as nvidia-smi and PyTorch's logs mean
    it."""
    if row.get("value_bytes"):
        return int(row["value_bytes"])
    if row.get("unit") in ("GB", "GiB"):
        return round(float(row["value"]) * GIB)
    raise NotExpressed(f"unit {row.get('unit')!r}")


def _model(row: Row) -> Model:
    name = row.get("model")
    if not name:
        raise NotExpressed("the row names no model")
    owner, _, short = name.split(" / ")[0].rpartition("/")
    found = model_or_reason(
        _SAME_SHAPE.get(short, f"{_OWNERS.get(owner, owner)}/{short}" if owner else short)
    )
    if isinstance(found, str):
        raise NotExpressed(found)
    return found


def _flags(row: Row) -> dict[str, str]:
    """'tuner_type=lora lora_rank=8; script ...' as a dict; the script's path is told as 'script'."""
    text = row.get("other_flags") or ""
    found = dict(re.findall(r"(\w+)=([^\s;]+)", text.split("; ")[0] if "; script" in text else text))
    if script := re.search(r"(?:script|config) (\S+)", text):
        found["script"] = script[1]
    return found


def _method_name(row: Row, flags: dict[str, str], setup: TrainingSetup) -> str:
    return f"{setup.method}{'' if setup.base_bits == 16 else f' {setup.base_bits} bits'}"


def _peft(row: Row, flags: dict[str, str]) -> TrainingSetup:
    """PEFT's method comparison (MetaMathQA): q_proj and v_proj, no checkpointing, a padded batch, SDPA."""
    case, first = row["case"], (row.get("other_flags") or "").split(";")[0].strip()
    if not case.startswith("peft-") or not row.get("ctx"):
        raise NotExpressed("the length of the sequences is not told")
    rank = int(found[1]) if (found := re.search(r"rank(\d+)", case)) else 0
    if first not in ("lora", "adalora", "full-finetuning"):
        raise NotExpressed(f"{first} is not among the methods planned for")
    if re.search(r"bdlora|lorafa|mica|kasa|riemannian|velora", case):
        raise NotExpressed("a variant of LoRA that trains other values")
    targets = ("gate_proj", "up_proj", "down_proj") if "target-mlp" in case else ("q_proj", "v_proj")
    method = "full" if first == "full-finetuning" else "dora" if case.endswith("dora") else "lora"
    return TrainingSetup(
        method=method,
        framework=FRAMEWORKS["peft"],
        rank=rank,
        targets=targets,
        batch=row["batch"] or 1,
        sequence_tokens=row["ctx"],
        is_checkpointed=False,
        attention="sdpa",
        is_padded=True,
        keeps_logits=True,
    )


def _swift(row: Row, flags: dict[str, str]) -> TrainingSetup:
    script = flags.get("script", "")
    tuner = flags.get("tuner_type", "")
    if "infer" in script or "predict" in script or not tuner:
        raise NotExpressed("inference, or the method is not told")
    if re.search(r"galore|lisa|llamapro|bone|adapter|vera|reft|boft|fourier|longlora|unsloth", script):
        raise NotExpressed(f"{script.rsplit('/', 2)[-2]} is not among the methods planned for")
    if re.search(r"rlhf|dpo|ppo|gkd|kto|grpo|simpo|orpo|cpo", script):
        raise NotExpressed("preference training holds other batches and models besides")
    if re.search(r"seq_cls|embedding|reranker", script):
        raise NotExpressed("no loss over a vocabulary")
    if tuner not in (*_LIKE_LORA, "full"):
        raise NotExpressed(f"{tuner} is not among the methods planned for")
    bits = int(flags.get("quant_bits", 16))
    n = row.get("n_gpu") or 1
    sharding = flags.get("deepspeed", "ddp" if n > 1 and "ddp" in script else "none")
    if n > 1 and sharding == "none":
        raise NotExpressed("how several cards share the model is not told")
    if "device_map" in script:
        raise NotExpressed("layers spread over cards by device_map")
    method = "full" if tuner == "full" else "dora" if "/dora/" in script else "qlora" if bits == 4 else "lora"
    return TrainingSetup(
        method=method,
        framework=FRAMEWORKS["ms-swift"],
        rank=int(flags.get("lora_rank", 8)),
        targets=("all-linear",),
        batch=row.get("batch") or 1,
        accumulate=16,
        sequence_tokens=row.get("ctx") or 2048,
        base_bits=bits,
        dropout=0.05,
        sharding=sharding,
        devices_count=n,  # type: ignore[arg-type]
        loss="chunked" if flags.get("use_liger_kernel") == "true" else "plain",
    )


def _axolotl(row: Row, flags: dict[str, str]) -> TrainingSetup:
    if not flags.get("adapter"):
        raise NotExpressed("the run's settings are not told")
    script = flags.get("script", "")
    n = row.get("n_gpu") or 1
    bits = 4 if flags.get("4bit") == "True" else 8 if flags.get("8bit") == "True" else 16
    method = "full" if flags["adapter"] == "full" else "qlora" if bits == 4 else "lora"
    if "offload" in script:
        raise NotExpressed("parameters kept in host memory")
    rank = int(flags["lora_r"]) if flags.get("lora_r", "None") != "None" else 0
    told = f" {row.get('verbatim') or ''}"
    targets = ("attention", "experts") if re.search(r"(?<!no) target experts", told) else ("attention",)
    return TrainingSetup(
        method=method,
        framework=FRAMEWORKS["axolotl"],
        rank=rank,
        targets=targets if method != "full" else (),
        optimizer=_OPTIMIZERS.get(flags.get("optim", ""), "adamw"),
        batch=row.get("batch") or 1,
        accumulate=4,
        sequence_tokens=row.get("ctx") or 0,
        is_checkpointed=flags.get("gc") != "False",
        base_bits=bits,
        loss="chunked",
        sharding="fsdp" if "fsdp" in script else "none" if n == 1 else "ddp",
        devices_count=n,
    )


def _megatron(row: Row, flags: dict[str, str]) -> TrainingSetup:
    script = flags.get("script", "")
    if re.search(r"infer|seq_cls|embedding|reranker", script):
        raise NotExpressed("no training over a vocabulary")
    if re.search(r"rlhf|dpo|kto|/rm/", script):
        raise NotExpressed("preference training holds other batches and models besides")
    if flags.get("recompute_granularity") != "full":
        raise NotExpressed("selective recomputation")
    lora = flags.get("tuner_type") == "lora"
    return TrainingSetup(
        method="lora" if lora else "full",
        framework=FRAMEWORKS["megatron"],
        rank=int(flags.get("lora_rank", 8)),
        targets=("all-linear",),
        batch=int(flags.get("micro_batch_size", 1)),
        accumulate=2,
        sequence_tokens=row.get("ctx") or 0,
        sharding="megatron",
        devices_count=row.get("n_gpu") or 1,
        tensor_parallel=int(flags.get("tensor_model_parallel_size", 1)),
        expert_parallel=int(flags.get("expert_model_parallel_size", 1)),
        pipeline_parallel=int(flags.get("pipeline_model_parallel_size", 1)),
        offloads_optimizer=flags.get("optimizer_cpu_offload") == "true",
    )


def _other(row: Row, flags: dict[str, str]) -> TrainingSetup:
    """Rows of frameworks that tell their settings in words."""
    text, quant = (row.get("other_flags") or ""), (row.get("quant") or "")
    rank = int(found[1]) if (found := re.search(r"\br=(\d+)", text)) else 16
    bits = 4 if re.search(r"4.?bit", f"{quant} {text}", re.I) else 16
    runtime = (row.get("runtime") or "").lower()
    framework: Framework = next((f for f in ("unsloth", "axolotl", "ms-swift") if f in runtime), "trl")
    if row["component"] != "fits" and not (row.get("ctx") and row.get("batch")):
        raise NotExpressed("the length of the sequences is not told")
    method = "qlora" if bits == 4 else "lora" if re.search(r"lora", f"{quant} {text}", re.I) else "full"
    targets = ("attention", "experts") if "experts" in text else ("all-linear",)
    setup = TrainingSetup(
        method=method, framework=FRAMEWORKS[framework], rank=rank, base_bits=bits,
        batch=row.get("batch") or 1, sequence_tokens=row.get("ctx") or 2048, targets=targets,
        optimizer="adamw-8bit" if "8bit" in text else "adamw", loss="chunked", accumulate=4,
    )  # fmt: skip
    return replace(setup, targets=() if setup.method == "full" else setup.targets)
