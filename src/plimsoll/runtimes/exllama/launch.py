"""TabbyAPI's settings for a deployment on ExLlamaV3, a reason with every one.

Keys as declared in common/config_models.py of theroyallab/tabbyAPI@e632af41eba6; every one is also an option
of `python main.py` (common/args.py), with dashes. backends/exllamav3/model.py says what they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.formulas.kv_cache import padded
from plimsoll.runtimes.exllama.memory import DEFAULTS, lines
from plimsoll.runtimes.layer_split import devices_of
from plimsoll.runtimes.serving_flags import address
from plimsoll.runtimes.stored import is_published
from plimsoll.runtimes.visible import visible
from plimsoll.units import GIB, MIB, format_bytes, format_count

WITHOUT_FLAG: dict[str, str] = {}
_PAGE_TOKENS = 256
_OLDEST_CAPABILITY = (8, 0)


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts TabbyAPI with this deployment, in its own folder; raises BadSetting where it cannot."""
    flags = (replace(flag, name=_option(flag.name)) for flag in settings(deployment, serving))
    return Command(
        program=("python", "main.py"), flags=tuple(flags),
        environment=visible(deployment, devices_of(deployment)), notes=tuple(_notes()),
    )  # fmt: skip


def _option(name: str) -> str:
    """'--max-seq-len' of 'model.max_seq_len'; '' stays, for it continues a list."""
    return "--" + name.partition(".")[2].replace("_", "-") if name else ""


def makes(deployment: Deployment) -> bool:
    """Whether the published checkpoint is read as asked: ExLlamaV3 converts nothing while loading."""
    return is_published(deployment)


def settings(deployment: Deployment, serving: Serving) -> tuple[Flag, ...]:
    """`section.key` and value of all that differs from TabbyAPI's defaults or that the bill counts on."""
    _check(deployment, serving)
    return (*_server(serving), *_model(deployment, serving), *_memory(deployment))


def _check(deployment: Deployment, serving: Serving) -> None:
    old = [d for d in devices_of(deployment) if d.compute_capability and _capability(d.compute_capability)]
    if old:
        raise BadSetting(
            f"TabbyAPI refuses cards of compute capability below 8.0: {', '.join(d.name for d in old)}",
            hint="--runtime llama.cpp",
        )
    if not is_published(deployment) and serving.model_path == deployment.model.id:
        raise BadSetting(
            f"{deployment.model.id} is published in {deployment.model.weight_format}; "
            f"{deployment.weight_format} is made by exllamav3's convert.py",
            hint=f"--model-path FOLDER of what it made, in {deployment.weight_format}",
        )
    if deployment.adapters:
        raise BadSetting("LoRA adapters on ExLlamaV3 are not modelled", hint="leave out --lora")


def _capability(text: str) -> bool:
    parts = tuple(int(part) for part in text.split(".") if part.isdecimal())
    return parts < _OLDEST_CAPABILITY


def _server(serving: Serving) -> Iterator[Flag]:
    yield from address(serving, prefix="network.")


def _model(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    folder, name = _folder(serving.model_path)
    yield Flag(name="model.model_dir", value=folder, reason="the folder that holds the model's folder")
    yield Flag(name="model.model_name", value=name, reason="the model's folder, and the name clients see")
    tokens, count = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    trained = deployment.model.trained_context_tokens
    if trained and tokens > trained:
        raise BadSetting(
            f"TabbyAPI extends no context by YaRN that the model's config does not ask for: "
            f"{format_count(trained)} tokens it is",
            hint=f"--context {trained}",
        )
    yield Flag(name="model.max_seq_len", value=str(tokens), reason="the longest sequence, as asked")
    cells = padded(tokens * count, _PAGE_TOKENS)
    kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "kv"))
    yield Flag(
        name="model.cache_size", value=str(cells),
        reason=f"{count} x {format_count(tokens)} tokens in pages of {_PAGE_TOKENS}: {kv} of cache",
    )  # fmt: skip
    k, v = (_bits(name) for name in (deployment.kv_format_k, deployment.kv_format_v))
    mode = "FP16" if (k, v) == (16, 16) else f"{k},{v}"
    if 16 in (k, v) and (k, v) != (16, 16):
        raise BadSetting("TabbyAPI quantises keys and values both or neither", hint="--kv q8 or --kv q8/q4")
    yield Flag(name="model.cache_mode", value=mode, reason=f"keys in {k} bits, values in {v}")
    yield Flag(name="model.max_batch_size", value=str(count), reason="as many sequences at once as asked")


def _folder(path: str) -> tuple[str, str]:
    """('models', 'x') of 'models/x'. A hub id is a folder downloaded into TabbyAPI's own models folder."""
    stem, _, name = path.rstrip("/").rpartition("/")
    is_here = path.startswith(("/", "./", "../", "~"))
    return (stem or "/", name) if is_here else ("models", name)


def _bits(name: str) -> int:
    """'q6' is 6 bits; 'f16' and 'auto' are kept in 16."""
    return int(name[1]) if name[:1] == "q" and name[1:2].isdecimal() else 16


def _memory(deployment: Deployment) -> Iterator[Flag]:
    chunk = int(deployment.settings.get("max_chunk_size", DEFAULTS["max_chunk_size"]))
    peak = format_bytes(max((x.size_bytes for x in lines(deployment) if x.component == "compute"), default=0))
    yield Flag(
        name="model.chunk_size", value=str(chunk),
        reason=f"reading {format_count(chunk)} tokens at a time peaks at {peak}",
    )  # fmt: skip
    devices = devices_of(deployment)
    if deployment.split.kind == "tensor" and len(devices) > 1:
        reason = f"each matrix is cut over {len(devices)} cards"
        yield Flag(name="model.tensor_parallel", value="true", reason=reason)
        return
    reserve = float(deployment.settings.get("reserve_gib", DEFAULTS["reserve_gib"])) * GIB / MIB
    # One option with a list: a number for each card, for TabbyAPI's own default is 96 MiB on the first only.
    name = "model.autosplit_reserve"
    for device in devices:
        yield Flag(name=name, value=f"{reserve:g}", reason=f"MiB left free on {device.id}, as on the bill")
        name = ""


def _notes() -> Iterator[str]:
    yield "run it in TabbyAPI's folder; keys for clients are made at the first start (api_tokens.yml)"
    yield "which of TabbyAPI's tool and reasoning settings fit a model is not known here; they are left out"
