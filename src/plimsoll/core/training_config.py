"""The run as a configuration file of the training programs, with the option names of their releases.

Names and accepted values: TRL 1.16.0 (SFTConfig, ModelConfig, ScriptArguments), Axolotl 0.19.0
(utils/schemas), Unsloth 2026.10.9 (unsloth_cli/config.py), LLaMA-Factory 0.9.5 (hparams), ms-swift 4.6.0
(arguments). The oracle tests hand each file to those parsers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plimsoll.core.training_targets import TOWER_MODULES
from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.model import Model
from plimsoll.domain.training import Attachment, Framework, TrainingFile, TrainingSetup
from plimsoll.errors import BadSetting

_DATA = "your-data.jsonl"
_OPTIMIZERS = {
    "adamw": "adamw_torch_fused", "adamw-8bit": "adamw_bnb_8bit", "paged-adamw-8bit": "paged_adamw_8bit",
    "adafactor": "adafactor", "sgd": "sgd", "muon": "muon",
}  # fmt: skip
_RATE_NOTE = "the starting point of the QLoRA paper (arXiv 2305.14314, table 9); yours to tune"
_FULL_RATE_NOTE = "the program's examples of full training start here; yours to tune"
_TARGETS = ("lora", "qlora", "dora")


def file_for(
    framework: Framework, model: Model, setup: TrainingSetup, found: Attachment, epochs: float
) -> TrainingFile:
    """The file for one program. Raises BadSetting for what the program has no option for."""
    name, command, make = _FILES[framework]
    refuse(framework, setup, found)
    values = {k: v for k, v in make(model, setup, found, epochs).items() if v is not None}
    head = (
        f'{setup.method} of {model.id}; write your data as {_DATA} (one JSON object with "messages" a line)'
    )
    return TrainingFile(
        name=name, text=document(values, head), command=command, program=framework,
        version=setup.framework.version,
    )  # fmt: skip


def refuse(framework: Framework, setup: TrainingSetup, found: Attachment) -> None:
    """Raises BadSetting for a combination that the program cannot be told."""
    if framework not in _FILES:
        raise BadSetting(
            f"no configuration is written for {framework}",
            hint="--config trl|axolotl|unsloth|llama-factory|ms-swift",
        )
    if setup.method == "router-only" and framework not in ("axolotl", "ms-swift"):
        raise BadSetting(
            f"{framework} has no option that trains a router alone", hint="--config axolotl or ms-swift"
        )
    if found.parameters and framework in ("llama-factory", "unsloth"):
        raise BadSetting(
            f"{framework}'s file has no option for parameters such as {found.parameters[0]}",
            hint="--targets attention, or --config trl, axolotl, ms-swift",
        )
    if setup.optimizer == "muon" and framework in ("trl", "unsloth"):
        raise BadSetting(
            f"{framework} has no Muon", hint="--optimizer adamw, or --config axolotl, llama-factory, ms-swift"
        )


def _rate(setup: TrainingSetup) -> Noted:
    return Noted(2e-4, _RATE_NOTE) if setup.method in _TARGETS else Noted(1e-5, _FULL_RATE_NOTE)


def _attention(setup: TrainingSetup) -> str:
    return {"flash": "flash_attention_2", "sdpa": "sdpa", "eager": "eager"}[setup.attention]


def _modules(found: Attachment) -> Value:
    return list(found.names) if found.names != ("all-linear",) else "all-linear"


def _trl(model: Model, setup: TrainingSetup, found: Attachment, epochs: float) -> dict[str, Value]:
    lora = setup.method in _TARGETS
    return {
        "model_name_or_path": model.id,
        "dtype": Noted("bfloat16", "TRL loads f32 where nothing is said here"),
        "attn_implementation": _attention(setup),
        "use_peft": lora,
        "lora_r": setup.rank if lora else None,
        "lora_alpha": round(setup.alpha) if lora else None,
        "lora_dropout": setup.dropout if lora else None,
        "lora_target_modules": _modules(found) if lora and found.names else None,
        "lora_target_parameters": list(found.parameters) if found.parameters else None,
        "use_dora": True if setup.method == "dora" else None,
        "load_in_4bit": True if setup.base_bits == 4 else None,
        "load_in_8bit": True if setup.base_bits == 8 else None,
        "use_bnb_nested_quant": True if setup.base_bits == 4 else None,
        "bnb_4bit_quant_type": "nf4" if setup.base_bits == 4 else None,
        "datasets": [{"path": "json", "data_files": _DATA, "split": "train"}],
        "max_length": setup.sequence_tokens,
        "packing": not setup.is_padded,
        "per_device_train_batch_size": setup.batch,
        "gradient_accumulation_steps": setup.accumulate,
        "gradient_checkpointing": setup.is_checkpointed,
        "num_train_epochs": epochs,
        "learning_rate": _rate(setup),
        "optim": _OPTIMIZERS[setup.optimizer],
        "bf16": True,
        "output_dir": "out",
        "save_total_limit": 2,
    }


def _axolotl(model: Model, setup: TrainingSetup, found: Attachment, epochs: float) -> dict[str, Value]:
    lora = setup.method in _TARGETS
    packs_experts = setup.base_bits < 16 and any(x.experts_count for x in model.layers)
    return {
        "base_model": model.id,
        "adapter": ("qlora" if setup.base_bits == 4 else "lora") if lora else None,
        "load_in_4bit": setup.base_bits == 4,
        "load_in_8bit": setup.base_bits == 8,
        "quantize_moe_experts": Noted(True, "bitsandbytes alone leaves stacks of experts in 16 bits")
        if packs_experts
        else None,
        "lora_r": setup.rank if lora else None,
        "lora_alpha": round(setup.alpha) if lora else None,
        "lora_dropout": setup.dropout if lora else None,
        "lora_target_modules": (list(found.names) if found.names != ("all-linear",) else None)
        if lora
        else None,
        "lora_target_linear": True if lora and found.names == ("all-linear",) else None,
        "lora_target_parameters": list(found.parameters) if found.parameters else None,
        "peft_use_dora": True if setup.method == "dora" else None,
        "unfrozen_parameters": [f".*\\.{n}\\..*" for n in found.names]
        if setup.method == "router-only"
        else None,
        "plugins": ["axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"]
        if setup.loss == "chunked"
        else None,
        "datasets": [
            {"path": _DATA, "ds_type": "json", "type": "chat_template", "field_messages": "messages"}
        ],
        "sequence_len": setup.sequence_tokens,
        "sample_packing": not setup.is_padded,
        "micro_batch_size": setup.batch,
        "gradient_accumulation_steps": setup.accumulate,
        "num_epochs": epochs,
        "optimizer": _OPTIMIZERS[setup.optimizer],
        "learning_rate": _rate(setup),
        "lr_scheduler": "cosine",
        "bf16": True,
        "gradient_checkpointing": setup.is_checkpointed,
        "attn_implementation": _attention(setup),
        "deepspeed": _deepspeed(setup, "deepspeed_configs/{}.json"),
        "output_dir": "out",
        "save_total_limit": 2,
    }


def _deepspeed(setup: TrainingSetup, pattern: str) -> str | None:
    return pattern.format(setup.sharding) if setup.sharding.startswith("zero") else None


def _unsloth(model: Model, setup: TrainingSetup, found: Attachment, epochs: float) -> dict[str, Value]:
    training: dict[str, Value] = {
        "training_type": "lora" if setup.method in _TARGETS else "full",
        "max_seq_length": setup.sequence_tokens,
        "load_in_4bit": setup.base_bits == 4,
        "num_epochs": max(1, round(epochs)),
        "learning_rate": _rate(setup),
        "batch_size": setup.batch,
        "gradient_accumulation_steps": setup.accumulate,
        "packing": not setup.is_padded,
        "gradient_checkpointing": "unsloth" if setup.is_checkpointed else "none",
        "output_dir": "out",
    }
    values: dict[str, Value] = {
        "model": model.id,
        "data": {"local_dataset": [_DATA], "format_type": "chatml"},
        "training": training,
    }
    if setup.method in _TARGETS:
        names = (
            ",".join(found.names)
            if found.names != ("all-linear",)
            else "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
        )
        values["lora"] = {
            "lora_r": setup.rank,
            "lora_alpha": round(setup.alpha),
            "lora_dropout": setup.dropout,
            "target_modules": names,
            "use_dora": setup.method == "dora",
            "finetune_vision_layers": not setup.freezes_towers,
        }
    return values


def _llama_factory(model: Model, setup: TrainingSetup, found: Attachment, epochs: float) -> dict[str, Value]:
    lora = setup.method in _TARGETS
    return {
        "model_name_or_path": model.id,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora" if lora else "full",
        "lora_rank": setup.rank if lora else None,
        "lora_alpha": round(setup.alpha) if lora else None,
        "lora_dropout": setup.dropout if lora else None,
        "lora_target": (",".join(found.names) if found.names != ("all-linear",) else "all") if lora else None,
        "use_dora": True if setup.method == "dora" else None,
        "quantization_bit": setup.base_bits if setup.base_bits < 16 else None,
        "quantization_method": "bnb" if setup.base_bits < 16 else None,
        "double_quantization": True if setup.base_bits == 4 else None,
        "dataset": Noted("your_data", "its entry in dataset_info.json names your-data.jsonl"),
        "dataset_dir": ".",
        "template": Noted("default", "the model's own name in LLaMA-Factory's list of templates"),
        "cutoff_len": setup.sequence_tokens,
        "packing": not setup.is_padded,
        "neat_packing": True if not setup.is_padded else None,
        "per_device_train_batch_size": setup.batch,
        "gradient_accumulation_steps": setup.accumulate,
        "disable_gradient_checkpointing": not setup.is_checkpointed,
        "flash_attn": {"flash": "fa2", "sdpa": "sdpa", "eager": "disabled"}[setup.attention],
        "enable_liger_kernel": setup.loss == "chunked",
        "num_train_epochs": epochs,
        "learning_rate": _rate(setup),
        "optim": _OPTIMIZERS[setup.optimizer] if setup.optimizer != "muon" else None,
        "use_muon": True if setup.optimizer == "muon" else None,
        "bf16": True,
        "deepspeed": _deepspeed(setup, "ds_{}_config.json"),
        "output_dir": "out",
        "save_total_limit": 2,
    }


def _ms_swift(model: Model, setup: TrainingSetup, found: Attachment, epochs: float) -> dict[str, Value]:
    lora = setup.method in _TARGETS
    return {
        "model": model.id,
        "use_hf": True,
        "tuner_type": "lora" if lora else "full",
        "lora_rank": setup.rank if lora else None,
        "lora_alpha": round(setup.alpha) if lora else None,
        "lora_dropout": setup.dropout if lora else None,
        "target_modules": list(found.names) if lora and found.names else None,
        "target_parameters": list(found.parameters) if found.parameters else None,
        "use_dora": True if setup.method == "dora" else None,
        "freeze_parameters_ratio": 1.0 if setup.method == "router-only" else None,
        "trainable_parameters_regex": f".*\\.({'|'.join(found.names)})\\..*"
        if setup.method == "router-only"
        else None,
        "torch_dtype": "bfloat16",
        "quant_method": "bnb" if setup.base_bits < 16 else None,
        "quant_bits": setup.base_bits if setup.base_bits < 16 else None,
        "bnb_4bit_quant_type": "nf4" if setup.base_bits == 4 else None,
        "bnb_4bit_use_double_quant": True if setup.base_bits == 4 else None,
        "dataset": [_DATA],
        "max_length": setup.sequence_tokens,
        "packing": not setup.is_padded,
        "per_device_train_batch_size": setup.batch,
        "gradient_accumulation_steps": setup.accumulate,
        "gradient_checkpointing": setup.is_checkpointed,
        "attn_impl": {"flash": "flash_attn", "sdpa": "sdpa", "eager": "eager"}[setup.attention],
        "use_liger_kernel": setup.loss == "chunked",
        "num_train_epochs": epochs,
        "learning_rate": _rate(setup),
        "optim": _OPTIMIZERS[setup.optimizer] if setup.optimizer != "muon" else None,
        "optimizer": "muon" if setup.optimizer == "muon" else None,
        "deepspeed": _deepspeed(setup, "{}"),
        "output_dir": "out",
        "save_total_limit": 2,
    }


_Make = Callable[[Model, TrainingSetup, Attachment, float], Mapping[str, Value]]
_FILES: dict[str, tuple[str, str, _Make]] = {
    "trl": ("trl.yaml", "trl sft --config trl.yaml", _trl),
    "axolotl": ("axolotl.yaml", "axolotl train axolotl.yaml", _axolotl),
    "unsloth": ("unsloth.yaml", "unsloth train --config unsloth.yaml", _unsloth),
    "llama-factory": ("llama-factory.yaml", "llamafactory-cli train llama-factory.yaml", _llama_factory),
    "ms-swift": ("ms-swift.yaml", "swift sft ms-swift.yaml", _ms_swift),
}
CONFIGS = tuple(_FILES)
EXCLUDED_TOWERS = TOWER_MODULES
