"""How each training program keeps its types, read in its released source."""

from __future__ import annotations

from plimsoll.domain.training import Framework, FrameworkRule

FRAMEWORKS: dict[Framework, FrameworkRule] = {
    # A loop of one's own around PEFT, such as method_comparison/MetaMathQA/run.py of its repository.
    "peft": FrameworkRule(
        name="peft",
        version="0.21.2",
        autocasts=False,
        is_fused_optimizer=False,
        raised="all",
        sources=("peft-0.21.2",),
    ),
    # trl/trainer/sft_trainer.py: add_fused_lm_head; adapters of a quantised base go to bfloat16; bf16=True.
    "trl": FrameworkRule(
        name="trl",
        version="1.16.0",
        quantised_adapter_bytes=2,
        loss="chunked",
        sources=("trl-1.16.0", "peft-0.21.2"),
    ),
    # loaders/model.py (_prepare_model_for_quantization), monkeypatch/peft/utils.py: norms and whatever is not
    # packed go to f32, embeddings and head stay; quantize_moe_experts packs the stacks of experts.
    "axolotl": FrameworkRule(
        name="axolotl",
        version="0.19.0",
        raised="norms",
        quantises_experts=True,
        loss="chunked",
        sources=("axolotl-0.19.0",),
    ),
    # models/_utils.py (prepare_model_for_training, float32_mixed_precision), fused cross entropy;
    # unsloth_zoo/peft_utils.py (SKIP_QUANTIZATION_MODULES).
    "unsloth": FrameworkRule(
        name="unsloth",
        version="2026.10.9",
        loss="chunked",
        quantises_experts=True,
        packs_towers=False,
        trains_in_f32=True,
        sources=("unsloth-2026.10.9",),
    ),
    # model/adapter.py (trainable parameters go to f32), model_utils/checkpointing.py (upcast_layernorm off).
    "llama-factory": FrameworkRule(
        name="llama-factory", version="0.9.5", trains_in_f32=True, sources=("llamafactory-0.9.5",)
    ),
    # arguments/tuner_args.py (lora_dropout 0.05), trainers/mixin.py; PEFT's own autocast of adapters.
    "ms-swift": FrameworkRule(name="ms-swift", version="4.6.0", dropout=0.05, sources=("ms-swift-4.6.0",)),
    "megatron": FrameworkRule(
        name="megatron",
        version="0.16.1",
        adapter_bytes=2,
        quantised_adapter_bytes=2,
        autocasts=False,
        sources=("megatron-core-0.16.1",),
    ),
}
