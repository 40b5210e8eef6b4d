"""The `transformers serve` command of a deployment, a reason with every flag.

Options as declared in transformers/cli/serve.py of Transformers 5.23.0 and 5.24.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import PLAIN
from plimsoll.runtimes.layer_split import devices_of
from plimsoll.runtimes.serving_flags import address
from plimsoll.runtimes.stored import is_published
from plimsoll.runtimes.transformers.memory import lines
from plimsoll.runtimes.visible import visible
from plimsoll.units import format_bytes, format_count

# Settings that no option carries, and why.
WITHOUT_FLAG = {
    "prefill_chunk_size": "generate() takes it, `transformers serve` (5.24.0) has no option for it",
}
_DTYPES = {"bf16": "bfloat16", "f16": "float16", "fp16": "float16", "f32": "float32", "fp32": "float32"}
_BITSANDBYTES = {"bnb_nf4": "bnb-4bit", "nf4": "bnb-4bit", "bnb_int8": "bnb-8bit"}


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts `transformers serve` with this deployment; raises BadSetting where no option says it."""
    for name, reason in WITHOUT_FLAG.items():
        if deployment.settings.get(name):
            raise BadSetting(f"no option says {name}: {reason}", hint=f"leave out {name}")
    if deployment.adapters:
        raise BadSetting("`transformers serve` (5.24.0) has no option for adapters", hint="leave out --lora")
    if deployment.kv_format_k not in ("auto", *_natural(deployment)):
        raise BadSetting(
            f"no option keeps the cache in {deployment.kv_format_k}; it follows the model's own type",
            hint="leave out --kv",
        )
    path = f"./{serving.model_path}" if serving.model_path.startswith("-") else serving.model_path
    return Command(
        program=("transformers", "serve", path), flags=(*_server(serving), *_weights(deployment, serving)),
        environment=visible(deployment, devices_of(deployment)), notes=tuple(_notes(deployment)),
    )  # fmt: skip


def _natural(deployment: Deployment) -> tuple[str, ...]:
    """The type that the cache has without being told: that of the weights where they are not packed."""
    name = deployment.weight_format.lower() or deployment.model.weight_format
    return (name,) if name in PLAIN else ("bf16",)


def _server(serving: Serving) -> Iterator[Flag]:
    yield from address(serving)


def makes(deployment: Deployment) -> bool:
    """Whether the asked format is made of the published checkpoint while it is loaded."""
    return is_published(deployment) or bool(_made(deployment)[0])


def _made(deployment: Deployment) -> tuple[str, str]:
    """The option and word that make the asked format of 16- or 32-bit weights; ('', '') where none does."""
    wanted = deployment.weight_format.lower()
    if deployment.model.weight_format not in ("bf16", "f16", "f32"):
        return "", ""
    if wanted in _DTYPES:
        return "--dtype", _DTYPES[wanted]
    return ("--quantization", _BITSANDBYTES[wanted]) if wanted in _BITSANDBYTES else ("", "")


def _weights(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    model, wanted = deployment.model, deployment.weight_format
    size = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "weights"))
    count = len(devices_of(deployment))
    place = f"over {count} devices" if count > 1 else "on one device" if count else "in host memory"
    yield Flag(name="--device", value="auto" if count else "cpu", reason=f"{size} of weights {place}")
    if is_published(deployment) or serving.model_path != model.id:
        yield Flag(name="--dtype", value="auto", reason=f"as stored: {wanted or model.weight_format}")
    elif _made(deployment)[0]:
        flag, word = _made(deployment)
        yield Flag(
            name=flag, value=word, reason=f"made of the {model.weight_format} checkpoint while loading"
        )
    else:
        raise BadSetting(
            f"{model.id} is published in {model.weight_format}; `transformers serve` makes no {wanted} of it",
            hint=f"--model-path PATH of a checkpoint in {wanted}, or leave out --weights",
        )
    if chosen := str(deployment.settings.get("attn_implementation", "")):
        yield Flag(name="--attn-implementation", value=chosen, reason=f"as set: attention by {chosen}")


def _notes(deployment: Deployment) -> Iterator[str]:
    tokens = format_count(deployment.workload.context_tokens)
    yield f"`transformers serve` bounds no context: the bill holds while requests stay within {tokens} tokens"
    if deployment.workload.parallel_sequences_count > 1:
        yield (
            "requests run one after another; --continuous-batching would run them together in a cache of its "
            "own that this bill does not hold"
        )
