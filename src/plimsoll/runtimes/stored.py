"""How the weights that a deployment asks for are stored."""

from __future__ import annotations

from plimsoll.domain.deployment import Deployment

PLAIN = ("bf16", "f16", "fp16", "f32", "fp32")


def method_of(deployment: Deployment) -> str:
    """The family of the weight format asked for, else published: 'bf16', 'exl3', 'mlx', 'bnb', 'fp8', ..."""
    name = deployment.weight_format.lower()
    if name in ("", "auto"):
        quantisation = deployment.model.quantisation
        name = quantisation.method if quantisation is not None else deployment.model.weight_format.lower()
    return "".join(name.replace("-", "_").split("_")[:1])


def is_published(deployment: Deployment) -> bool:
    """Whether the checkpoint already holds the weights in the format that is asked for."""
    name = deployment.weight_format.lower()
    return name in ("", "auto", deployment.model.weight_format.lower())
