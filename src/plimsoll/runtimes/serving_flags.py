"""Flags that several servers share: where they listen, and a context beyond the trained one."""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.units import format_count


def address(serving: Serving, *, prefix: str = "--") -> tuple[Flag, Flag]:
    """Host and port, and who can reach them; `prefix` is '--' or the section of a file."""
    is_local = serving.host in ("127.0.0.1", "localhost", "::1")
    where = "this machine only" if is_local else "other machines, too"
    return (
        Flag(name=f"{prefix}host", value=serving.host, reason=f"reachable from {where}"),
        Flag(name=f"{prefix}port", value=str(serving.port), reason="where clients connect"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """YaRN from `native_tokens` to `factor` times as many; `scaling` as a config's rotary object names it."""

    factor: float
    native_tokens: int
    scaling: dict[str, object]
    reason: str


def yarn(deployment: Deployment, runtime: str) -> Extension | None:
    """How a context beyond the trained one is reached; None where it is not beyond.

    factor = context / tokens before any scaling (Peng et al. 2023, arXiv 2309.00071). Raises BadSetting where
    the rotary type is not plain or YaRN, layers have windows, or positions have several parts (vision).
    """
    model, tokens = deployment.model, deployment.workload.context_tokens
    trained, rope = model.trained_context_tokens, model.rope
    if not trained or tokens <= trained:
        return None
    has_parts = any(t.role in ("vision", "audio") for t in model.tensors)
    has_windows = any(x.window_tokens for x in model.layers)
    if rope is None or rope.kind not in ("default", "yarn") or has_parts or has_windows:
        raise BadSetting(
            f"how {runtime} is told to run {model.id} beyond its {format_count(trained)} tokens is not known "
            f"(rotary type {rope.kind if rope else 'unknown'})",
            hint=f"--context {trained}",
        )
    native = rope.original_context_tokens if rope.kind == "yarn" and rope.original_context_tokens else trained
    factor = round(tokens / native, 6)
    return Extension(
        factor=factor, native_tokens=native,
        scaling={"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": native},
        reason=f"{format_count(tokens)} tokens are more than the {format_count(trained)} it was trained for: "
        f"YaRN with factor {factor:g} over {format_count(native)}; short texts may get worse",
    )  # fmt: skip


def with_theta(deployment: Deployment, scaling: dict[str, object]) -> dict[str, object]:
    """The object with theta and the rotated share beside the factor, where it replaces the config's whole."""
    rope = deployment.model.rope
    assert rope is not None
    rotated = {} if rope.rotated_share == 1 else {"partial_rotary_factor": rope.rotated_share}
    return {**scaling, "rope_theta": rope.theta, **rotated}
