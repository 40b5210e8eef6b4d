"""llama-server's own settings, and what it makes of a requested context."""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import GGUF
from plimsoll.formulas.kv_cache import padded
from plimsoll.runtimes.llama_cpp.eras import Rules, rules_of

# Source: common/common.h and common/arg.cpp of ggml-org/llama.cpp@0c1e57098. Where the server decides by
# itself: flash_attn 'auto' ends up on unless a layer's device cannot run it
# (llama_context::resolve_fused_ops); kv_unified is false as soon as the number of slots is given (`-np N`),
# which a Workload always does.
DEFAULTS: dict[str, Setting] = {
    "batch": 2048,
    "ubatch": 512,
    "flash_attn": "auto",
    "kv_unified": False,
    "swa_full": False,
    "offload_kqv": True,
    "mmap": True,
    "mlock": False,
    "op_offload": True,
    "pipeline_parallel": True,
    "fork": "",  # 'ik' for ik_llama.cpp
    "mla": 3,  # ik_llama.cpp only: 0 full K and V; 1 latent K, and V without flash attention; 2, 3 latent K
}

# ik_llama.cpp split off in 2024 and kept one cache for all sequences and whole contexts for windows
# (gpt-oss-120b: 16,896 cells in all 36 layers, https://github.com/ikawrakow/ik_llama.cpp logs of 2025-11).
# Its logs show one output more than slots (0.98 MiB for one slot of 128,256 tokens).
IK_RULES = Rules(
    flash_padding_tokens=256, context_padding_tokens=256, latent_cache="keys", spare_outputs_count=1,
    has_pipeline=True, borrows_weights=True
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What llama_context makes of the settings (llama_context's constructor, src/llama-context.cpp)."""

    context_cells: int
    sequence_cells: int
    sequences_count: int
    batch_tokens: int
    ubatch_tokens: int
    has_flash_attention: bool
    is_unified: bool
    is_window_full: bool
    padding_tokens: int
    format_k: str
    format_v: str
    rules: Rules

    @property
    def is_quantised_k(self) -> bool:
        """Whether K is stored in blocks."""
        return GGUF[self.format_k][0] > 1

    @property
    def is_quantised_v(self) -> bool:
        """Whether V is stored in blocks."""
        return GGUF[self.format_v][0] > 1

    @property
    def streams_count(self) -> int:
        """Separate caches: one per sequence unless they share one."""
        return 1 if self.is_unified else self.sequences_count


def setting(deployment: Deployment, name: str) -> Setting:
    """The deployment's value of a setting, or llama.cpp's default."""
    return deployment.settings.get(name, DEFAULTS[name])


def number(deployment: Deployment, name: str) -> int:
    """A setting that must be a positive whole number; raises BadSetting."""
    value = setting(deployment, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1 or value != int(value):
        raise BadSetting(f"{name} must be a positive whole number, not {value!r}")
    return int(value)


def flag(deployment: Deployment, name: str) -> bool:
    """A setting that is on or off; raises BadSetting."""
    value = setting(deployment, name)
    if isinstance(value, str) and value.lower() in ("on", "off", "true", "false"):
        return value.lower() in ("on", "true")
    if not isinstance(value, (bool, int)):
        raise BadSetting(f"{name} must be on or off, not {value!r}")
    return bool(value)


def sequence_cells(context_tokens: int, sequences_count: int, padding_tokens: int, is_unified: bool) -> int:
    """Cells one sequence may fill (n_ctx_seq): the whole padded context where sequences share one cache,
    else context x sequences, padded, / sequences, padded again."""
    cells = padded(context_tokens * sequences_count, padding_tokens)
    return cells if is_unified else padded(cells // sequences_count, padding_tokens)


def context_cells(context_tokens: int, sequences_count: int, padding_tokens: int, is_unified: bool) -> int:
    """Cells of all sequences (n_ctx): sequence_cells, times the sequences where each has its own."""
    cells = sequence_cells(context_tokens, sequences_count, padding_tokens, is_unified)
    return cells if is_unified else cells * sequences_count


def context_of(deployment: Deployment) -> Context:
    """The context that llama.cpp builds for a deployment.

    n_ctx = context per sequence x sequences, padded to 256; separate streams pad each sequence to 256.
    Batch sizes are cut to the context. Raises BadSetting for impossible values.
    """
    work = deployment.workload
    rules = rules_for(deployment)
    unified = flag(deployment, "kv_unified") or not rules.has_streams
    flash = _flash_attention(deployment, rules)
    padding = rules.flash_padding_tokens if flash else rules.context_padding_tokens
    asked = (work.context_tokens, work.parallel_sequences_count, padding, unified)
    cells, per_sequence = context_cells(*asked), sequence_cells(*asked)
    requested = work.context_tokens * work.parallel_sequences_count
    batch = min(number(deployment, "batch"), requested)
    return Context(
        context_cells=cells,
        sequence_cells=per_sequence,
        sequences_count=work.parallel_sequences_count,
        batch_tokens=batch,
        ubatch_tokens=min(batch, number(deployment, "ubatch")),
        has_flash_attention=flash,
        is_unified=unified,
        is_window_full=flag(deployment, "swa_full") or not rules.has_window_cache,
        padding_tokens=padding,
        format_k=deployment.kv_format_k,
        format_v=deployment.kv_format_v,
        rules=rules,
    )


def _flash_attention(deployment: Deployment, rules: Rules) -> bool:
    value = setting(deployment, "flash_attn")
    if value == "auto":
        return rules.has_automatic_flash_attention
    return flag(deployment, "flash_attn")


def _fork(deployment: Deployment) -> str:
    value = str(setting(deployment, "fork"))
    if value not in ("", "ik"):
        raise BadSetting(f"fork must be 'ik' or empty, not {value!r}", hint="'ik' means ik_llama.cpp")
    return value


def rules_for(deployment: Deployment) -> Rules:
    """The rules of the deployment's version, or ik_llama.cpp's."""
    return IK_RULES if is_ik(deployment) else rules_of(deployment.runtime.version)


def is_ik(deployment: Deployment) -> bool:
    """Whether the deployment runs ik_llama.cpp."""
    return _fork(deployment) == "ik"
