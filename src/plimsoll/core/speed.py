"""How long a pass takes: its parts at the ceilings, each lengthened by calibrated effects.

A pass with T new tokens in each of S sequences at depth D takes

    t = exp(g) x sum over parts of (seconds at the ceiling) x exp(c)

with c and g sums of coefficients. Parts: weights read (of routed experts the distinct ones), the cache read
at depth, recurrent state, matrix products, attention, a fixed time per layer and per pass, exchange between
cards, weights read by the host processor. Coefficients are produced by `core/calibrate.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from plimsoll.domain.speed import Bottleneck, ModelWork, Phase, SpeedCase, Term, Terms
from plimsoll.formulas.decode import attention_flops, kv_bytes_read, state_bytes_moved
from plimsoll.formulas.prefill import chunks_count, prompt_attention_flops
from plimsoll.formulas.roofline import distinct_share, seconds_at

# Where a launch takes as long as these, its coefficient is 0; they set the scale of what is learnt.
_LAYER_SECONDS = 50e-6
_PASS_SECONDS = 200e-6
_HOP_SECONDS = 7e-6
# Stands in for host memory whose speed was not told; its coefficient ('ram untold') is learnt like any other.
_UNTOLD_HOST_BYTES_PER_S = 50e9
_STATE_VALUE_BYTES = 4
# One core of a processor: operations per second of two 8-value units at 4 GHz, and bytes per second it can
# ask of the memory. Both are scales; how far a processor is from them is learnt.
_CORE_FLOPS = 128e9
_CORE_BYTES_PER_S = 30e9
# Tokens of one pass over a prompt where nothing else was set: llama.cpp's -ub, mlx-lm's prefill_step_size,
# max_num_batched_tokens of vLLM on cards below 70 GiB.
CHUNK_TOKENS = {"llama_cpp": 512, "mlx": 2048, "": 2048}
_EIGHT_BIT_UNITS = ("int8", "int8_dp4a", "fp16", "fp32")
_GGML_UNITS = ("fp16_acc16", "fp16", "fp32_dual_issue", "fp32")
_SIXTEEN_BIT_UNITS = ("bf16", "fp16", "fp32_dual_issue", "fp32")


class NoCeiling(Exception):
    """A ceiling that a part needs is not known; the message names it."""


def terms(
    case: SpeedCase, *, sequences_count: int, new_tokens: int, depth_tokens: int, passes_count: int = 1
) -> Terms:
    """The parts of reading `new_tokens` in each of the sequences, in one pass or in equal ones.

    Raises NoCeiling where bandwidth, or FLOPS for a prompt, are not known.
    """
    phase: Phase = "decode" if new_tokens == 1 else "prefill"
    tokens = sequences_count * new_tokens
    each = max(tokens // passes_count, 1)
    middle = depth_tokens + new_tokens // 2
    every_pass = [
        *_weights(case, phase, each), *_cache(case, phase, max(sequences_count // passes_count, 1), middle),
        *_arithmetic(case, phase, each), *_launches(case, phase), *_exchange(case, phase, each),
        *_host(case, phase, each),
    ]  # fmt: skip
    once = _products(case, phase, tokens, sequences_count, new_tokens, depth_tokens)
    parts = [*(replace(p, seconds=p.seconds * passes_count) for p in every_pass), *once]
    return Terms(phase=phase, parts=tuple(p for p in parts if p.seconds > 0), effects=_whole(case, phase))


def prompt_terms(case: SpeedCase, *, sequences_count: int, prompt_tokens: int, depth_tokens: int) -> Terms:
    """The parts of whole prompts, run in passes of at most the runtime's chunk."""
    chunk = case.ubatch_tokens or CHUNK_TOKENS.get(case.runtime, CHUNK_TOKENS[""])
    return terms(
        case, sequences_count=sequences_count, new_tokens=max(prompt_tokens, 2), depth_tokens=depth_tokens,
        passes_count=chunks_count(sequences_count * prompt_tokens, chunk),
    )  # fmt: skip


def seconds(found: Terms, coefficients: Mapping[str, float]) -> float:
    """The time of a pass: see the module's formula."""
    return math.exp(_sum((*found.effects, here(found)), coefficients)) * sum(
        part.seconds * math.exp(_sum(part.effects, coefficients)) for part in found.parts
    )


def shares(found: Terms, coefficients: Mapping[str, float]) -> dict[str, float]:
    """The share of the time that each part takes."""
    each = {p.name: p.seconds * math.exp(_sum(p.effects, coefficients)) for p in found.parts}
    total = sum(each.values())
    return {name: value / total for name, value in each.items()}


def ceiling_seconds(found: Terms) -> float:
    """The time no pass can beat: the slowest of bandwidth, products and host at their peaks."""
    by_kind: dict[Bottleneck, float] = {}
    for part in found.parts:
        if part.bottleneck in ("bandwidth", "compute", "cpu") and "ram untold" not in part.effects:
            least = part.seconds * part.floor_share
            by_kind[part.bottleneck] = by_kind.get(part.bottleneck, 0.0) + least
    return max(by_kind.values(), default=0.0)


def here(found: Terms) -> str:
    """The effect that own measurements on this machine learn: 'decode here dense', 'prefill here experts'."""
    is_mixture = any(part.name in ("experts", "routing") for part in found.parts)
    return f"{found.phase} here {'experts' if is_mixture else 'dense'}"


def _sum(effects: tuple[str, ...], coefficients: Mapping[str, float]) -> float:
    return sum(coefficients.get(effect, 0.0) for effect in effects)


def measure_only(case: SpeedCase) -> str:
    """Why no model holds for this case, or ''."""
    is_latent = any(x.attention == "latent" for x in case.work.layers)
    if case.backend == "sycl" or case.architecture.startswith("Xe"):
        return "Intel GPUs differ by 2 to 5 times between drivers and kernels"
    if case.backend == "metal" and is_latent:
        return "latent attention on Metal reads its cache at a tenth of the usual rate"
    if case.backend == "vulkan" and re.fullmatch(r"M\d", case.architecture):
        return "Vulkan on a Mac goes through a translation layer"
    if case.runtime == "transformers":
        return "Transformers is bound by Python, not by the device"
    return ""


def runtime_key(case: SpeedCase) -> str:
    """'llama_cpp/cuda'."""
    return f"{case.runtime}/{case.backend}"


def _whole(case: SpeedCase, phase: Phase) -> tuple[str, ...]:
    on, device = runtime_key(case), case.device or case.host
    effects = [
        f"{phase} model: {case.work.architecture}",
        f"{phase} model on runtime: {case.work.architecture} {on}", f"{phase} size: {case.work.model}",
        f"{phase} device: {device}", f"{phase} device on runtime: {device} {on}",
        f"{phase} pair: {case.work.model} {_cards(case)} {on}",
    ]  # fmt: skip
    if case.flavour:
        effects.append(f"{phase} flavour: {on} {case.flavour}")
    if case.devices_count > 1:
        effects.append(f"{phase} split: {on} {case.split}")
    if case.power_share < 1:
        effects.append(f"{phase} power: {round(case.power_share, 1)}")
    return tuple(effects)


def _cards(case: SpeedCase) -> str:
    """What a pair of model and device calls the device: '2x rtx-3090 layer', 'rtx-4070 + i9-10900x'."""
    name = f"{case.devices_count}x {case.device} {case.split}" if case.devices_count > 1 else case.device
    is_shared = case.host_layers_count or case.host_expert_layers_count
    return f"{name} + {case.host or 'a host'}" if is_shared else name or case.host


def pair(found: Terms) -> str:
    """The effect of this very model on this very device, which only its own measurements learn; '' where a
    pass is of several kinds of cards or of several requests."""
    return next((e for e in found.effects if e.startswith(f"{found.phase} pair: ")), "")


def generation(architecture: str) -> str:
    """The family an architecture belongs to: 'sm 8' of 'sm 8.6', 'RDNA' of 'RDNA3.5', 'M' of 'M4'."""
    return re.sub(r"(?<=sm )(\d+)\..*|\d[\d.]*$", r"\1", architecture)


def _ranks(case: SpeedCase, *, is_pipelined: bool = False) -> int:
    """Cards that work at the same time: on one token by tensor parallelism, on the chunks of a prompt also
    by layers."""
    return case.devices_count if case.split == "tensor" or (is_pipelined and case.split == "layer") else 1


def _on_device(case: SpeedCase) -> tuple[float, float]:
    """Shares of (blocks, routed experts) that are not in host memory."""
    count = max(len(case.work.layers), 1)
    blocks = 1 - case.host_layers_count / count
    experts = 1 - min(case.host_layers_count + case.host_expert_layers_count, count) / count
    return blocks, experts


def _expert_bytes(work: ModelWork, tokens: int) -> float:
    return sum(
        g.size_bytes * distinct_share(g.experts_count, g.active_experts_count, tokens) for g in work.experts
    )


def _weights(case: SpeedCase, phase: Phase, tokens: int) -> list[Term]:
    work, on = case.work, runtime_key(case)
    if not case.bandwidth_bytes_per_s:
        raise NoCeiling(f"the memory bandwidth of {case.device or case.host or 'the processor'} is not known")
    blocks, experts = _on_device(case)
    rate = _reading_rate(case)
    common = (
        *_base(phase, "weights", case), f"{phase} weights by format: {on} {work.format_family}",
        f"{phase} weights by kernel: {case.architecture} {work.format_family}",
        *_by_architecture(phase, "weights", case), *_by_era(phase, "weights", case),
        *([f"{phase} weights by memory: unified"] if case.is_unified else []),
    )  # fmt: skip
    plain = blocks * work.block_bytes + work.output_bytes
    routed = experts * _expert_bytes(work, tokens)
    least = rate / (case.bandwidth_bytes_per_s * _ranks(case))
    return [
        Term(
            name="weights", bottleneck="bandwidth", seconds=seconds_at(plain, rate), floor_share=least,
            effects=common,
        ),
        Term(
            name="experts", bottleneck="bandwidth", seconds=seconds_at(routed, rate), floor_share=least,
            effects=(
                *common, *_base(phase, "experts", case), *_by_architecture(phase, "experts", case),
                *_by_era(phase, "experts", case),
            ),
        ),
    ]  # fmt: skip


def _reading_rate(case: SpeedCase) -> float:
    """Bytes per second of the memory; a processor's few threads cannot ask for all of it."""
    rate = case.bandwidth_bytes_per_s * _ranks(case)
    is_limited = case.backend == "cpu" and case.threads_count
    return min(rate, case.threads_count * _CORE_BYTES_PER_S) if is_limited else rate


def _cache(case: SpeedCase, phase: Phase, sequences: int, depth: int) -> list[Term]:
    """The cache read once per pass, and recurrent state read and written."""
    work, on = case.work, runtime_key(case)
    rate = case.bandwidth_bytes_per_s * _ranks(case)
    kind = "latent" if any(x.attention == "latent" for x in work.layers) else "heads"
    by_flavour = [f"{phase} kv by flavour: {on} {case.flavour}"] if case.flavour else []
    kv = sequences * kv_bytes_read(work.layers, depth, case.kv_format, case.kv_format)
    state = sequences * state_bytes_moved(work.layers, _STATE_VALUE_BYTES)
    effects = [
        *_base(phase, "kv", case),
        f"{phase} kv by kind: {on} {kind}",
        *_by_architecture(phase, "kv", case),
        *by_flavour,
    ]
    effects += [f"{phase} kv by flash: {on} off"] if case.flash_attention == "off" else []
    effects += (
        [f"{phase} kv by format: {on} {case.kv_format}"] if case.kv_format not in ("f16", "bf16") else []
    )
    effects += [f"{phase} kv by device: {on} {kind} {case.device}"]
    return [
        Term(name="cache", bottleneck="bandwidth", seconds=seconds_at(kv, rate), effects=tuple(effects)),
        Term(
            name="state", bottleneck="bandwidth", seconds=seconds_at(state, rate),
            effects=_base(phase, "state", case),
        ),
    ]  # fmt: skip


def unit_of(case: SpeedCase, *, is_attention: bool = False) -> tuple[str, float] | None:
    """The arithmetic unit that does the matrix products, with its dense operations per second."""
    family, known = case.work.format_family, case.flops_per_s
    if case.backend == "cpu":
        return ("threads", vector_flops(case)) if case.threads_count else None
    if case.backend == "metal":
        wanted: tuple[str, ...] = ("fp32",)
    elif is_attention or family in ("16bit", "awq", "gptq", "w4a16", "exl2", "exl3", "bnb"):
        wanted = _SIXTEEN_BIT_UNITS if case.runtime != "llama_cpp" else _GGML_UNITS
    elif case.runtime == "llama_cpp" and case.backend == "cuda":
        wanted = _EIGHT_BIT_UNITS
    elif family == "fp8":
        wanted = ("fp8", *_SIXTEEN_BIT_UNITS)
    elif family in ("nvfp4", "mxfp4"):
        wanted = ("fp4", "fp8", *_SIXTEEN_BIT_UNITS)
    else:
        wanted = ("fp16", "fp32_dual_issue", "fp32", "fp16_vector")
    return next(((name, known[name]) for name in wanted if known.get(name)), None)


def _base(phase: Phase, what: str, case: SpeedCase) -> tuple[str, ...]:
    """How far a part is from its ceiling in the runtime on that backend; of prompts also anywhere, since
    no kernel comes near the peak of the matrix units."""
    own = f"{phase} {what}: {runtime_key(case)}"
    return (own,) if phase == "decode" else (f"{phase} {what} anywhere:", own)


def _by_architecture(phase: Phase, what: str, case: SpeedCase) -> tuple[str, str]:
    """How a generation of devices differs from others, and an architecture from its generation."""
    on = runtime_key(case)
    return (
        f"{phase} {what} by generation: {on} {generation(case.architecture)}",
        f"{phase} {what} by architecture: {on} {case.architecture}",
    )


def _by_era(phase: Phase, what: str, case: SpeedCase) -> tuple[str, ...]:
    """How older builds, and others' builds, differ from today's."""
    on = runtime_key(case)
    told = [f"{phase} {what} by era: {on} {case.era}"] if case.era else []
    return (*told, *([f"{phase} {what} by flavour: {on} {case.flavour}"] if case.flavour else []))


def _fastest(case: SpeedCase) -> float:
    """Operations per second that no kernel can exceed: the fastest unit; Pascal's byte products run at four
    times the rate of its FP32, whether or not that was written down; AMX at 64 times that of plain AVX2."""
    if case.backend == "cpu":
        return 64 * vector_flops(case)
    best = max(case.flops_per_s.values(), default=1.0)
    return max(best, 4 * case.flops_per_s.get("fp32", 0.0)) if case.architecture.startswith("sm 6") else best


def _products(
    case: SpeedCase, phase: Phase, tokens: int, sequences: int, new_tokens: int, depth: int
) -> list[Term]:
    work, on = case.work, runtime_key(case)
    unit, wide = unit_of(case), unit_of(case, is_attention=True)
    if tokens == 1:
        return []  # a single token keeps no unit busy; reading its weights takes all the time
    if unit is None or wide is None:
        if phase == "prefill":
            raise NoCeiling(f"the FLOPS of {case.device or case.host or 'the processor'} are not known")
        return []
    ranks = _ranks(case, is_pipelined=phase == "prefill")
    floor = unit[1] / _fastest(case)
    packed = "16bit" if work.format_family == "16bit" else "packed"
    common = (
        *_base(phase, "products", case), f"{phase} products by unit: {on} {unit[0]}",
        f"{phase} products by format: {on} {work.format_family}", *_by_architecture(phase, "products", case),
        f"{phase} products by kernel: {on} {case.architecture} {packed}", *_by_era(phase, "products", case),
        *([f"{phase} products by memory: unified"] if case.is_unified else []),
    )  # fmt: skip
    routed = sum(g.values_count * g.active_experts_count / g.experts_count for g in work.experts)
    plain = 2 * (tokens * work.block_values_count + sequences * work.output_values_count)
    seen = prompt_attention_flops(work.layers, depth, new_tokens) if new_tokens > 1 else (
        attention_flops(work.layers, depth)
    )  # fmt: skip
    kind = "latent" if any(x.attention == "latent" for x in work.layers) else "heads"
    attention = [*_base(phase, "attention", case), f"{phase} attention by kind: {on} {kind}"]
    attention += _by_architecture(phase, "attention", case)
    attention += [f"{phase} attention by flash: {on} {case.flash_attention}"] if case.flash_attention else []
    return [
        Term(name="products", bottleneck="compute", seconds=plain / unit[1] / ranks,
            effects=common, floor_share=floor),
        Term(
            name="expert products", bottleneck="compute", seconds=2 * tokens * routed / unit[1] / ranks,
            effects=(
                *common, *_base(phase, "expert products", case),
                *_by_architecture(phase, "expert products", case),
            ),
            floor_share=floor,
        ),
        Term(
            name="attention", bottleneck="compute", seconds=sequences * seen / wide[1] / ranks,
            effects=tuple(attention), floor_share=wide[1] / _fastest(case),
        ),
    ]  # fmt: skip


def vector_flops(case: SpeedCase) -> float:
    """Operations per second outside the matrix units, on which a single token's products run.

    AMD's FP32 counts two operations issued together, which such kernels rarely do: half of it.
    """
    known = case.flops_per_s
    if case.backend == "cpu":
        return case.threads_count * _CORE_FLOPS
    return known.get("fp32", 0.0) or known.get("fp32_dual_issue", 0.0) / 2


def _arithmetic(case: SpeedCase, phase: Phase, tokens: int) -> list[Term]:
    """Unpacking and multiplying every weight once: cards with much bandwidth for few cores (A100, H20) and
    processors spend longer on it than on reading."""
    rate = vector_flops(case) * _ranks(case)
    if phase == "prefill" or not rate:
        return []
    work, on = case.work, runtime_key(case)
    blocks, experts = _on_device(case)
    values = blocks * work.block_values_count + work.output_values_count
    values += experts * sum(
        g.values_count * distinct_share(g.experts_count, g.active_experts_count, tokens) for g in work.experts
    )
    return [
        Term(
            name="arithmetic", bottleneck="compute", seconds=2 * values / rate, floor_share=0.0,
            effects=(
                *_base(phase, "arithmetic", case), f"{phase} arithmetic by format: {on} {work.format_family}",
                *_by_architecture(phase, "arithmetic", case), *_by_era(phase, "arithmetic", case),
            ),
        )
    ]  # fmt: skip


def _launches(case: SpeedCase, phase: Phase) -> list[Term]:
    work, on = case.work, runtime_key(case)
    routed = sum(g.layers_count for g in work.experts)
    effects = [*_base(phase, "layers", case), *_by_architecture(phase, "layers", case)]
    effects += _by_era(phase, "layers", case)
    # Every hand-over to the host ends a graph and starts another.
    is_cut = case.host_layers_count or case.host_expert_layers_count
    effects += [f"{phase} layers by cut: {on}"] if is_cut else []
    states = sum(1 for x in work.layers if x.state)
    return [
        Term(
            name="layers", bottleneck="launch overhead", seconds=_LAYER_SECONDS * len(work.layers),
            effects=tuple(effects),
        ),
        Term(
            name="routing", bottleneck="launch overhead", seconds=_LAYER_SECONDS * routed,
            effects=(*effects, *_base(phase, "routing", case), *_by_era(phase, "routing", case)),
        ),
        Term(
            name="state layers", bottleneck="launch overhead", seconds=_LAYER_SECONDS * states,
            effects=(*effects, *_base(phase, "state layers", case)),
        ),
        Term(
            name="pass", bottleneck="launch overhead", seconds=_PASS_SECONDS,
            effects=_base(phase, "pass", case),
        ),
    ]  # fmt: skip


def _exchange(case: SpeedCase, phase: Phase, tokens: int) -> list[Term]:
    """Tensor parallelism adds partial sums twice per layer; a layer split hands over once per card."""
    if case.devices_count < 2 or case.split not in ("tensor", "layer"):
        return []
    on = runtime_key(case)
    hops = 2 * (case.devices_count - 1)  # of a ring that adds up and spreads the sum
    times = 2 * len(case.work.layers) * hops if case.split == "tensor" else case.devices_count
    return [
        Term(
            name="exchange", bottleneck="link", seconds=_HOP_SECONDS * times * (1 + tokens / 256),
            effects=(
                f"{phase} exchange: {on} {case.split}",
                f"{phase} exchange by device: {on} {case.split} {case.device}",
            ),
        )
    ]  # fmt: skip


def _host(case: SpeedCase, phase: Phase, tokens: int) -> list[Term]:
    """Weights in host memory: read there for each pass, plus a hand-over per layer."""
    if not case.host_layers_count and not case.host_expert_layers_count:
        return []
    work, on = case.work, runtime_key(case)
    blocks, experts = _on_device(case)
    amount = (1 - blocks) * work.block_bytes + (1 - experts) * _expert_bytes(work, tokens)
    rate = case.host_bytes_per_s or _UNTOLD_HOST_BYTES_PER_S
    effects = [f"{phase} host: {on}", f"{phase} host by format: {work.format_family}"]
    effects += [f"{phase} host by flavour: {case.flavour}"] if case.flavour else []
    effects += [] if case.host_bytes_per_s else ["ram untold"]
    effects += [f"{phase} host at: {case.device} {case.host}"]
    layers = case.host_layers_count + case.host_expert_layers_count
    return [
        Term(name="host weights", bottleneck="cpu", seconds=seconds_at(amount, rate), effects=tuple(effects)),
        Term(
            name="host layers", bottleneck="cpu", seconds=2 * _LAYER_SECONDS * layers,
            effects=(f"{phase} host layers: {on}",),
        ),
    ]  # fmt: skip
