"""The YAML file that `trtllm-serve` reads beside its options, the reason above each key."""

from __future__ import annotations

from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.launch import LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.runtimes.tensorrt_llm.launch import EXTRA_FILE, extra_options, typed

RUNTIMES = ("tensorrt_llm",)


def files(parts: LaunchParts) -> LaunchFiles:
    """trtllm.yaml; raises BadSetting where the options of the command say everything."""
    told = extra_options(parts.deployment)
    if not told:
        raise BadSetting("the options say everything; no file beside them is needed", hint="leave out --as")
    config: dict[str, Value] = {flag.name: Noted(typed(flag.value), flag.reason) for flag in told}
    text = document({"kv_cache_config": config})
    return LaunchFiles(
        files=(LaunchFile(name=EXTRA_FILE, text=text, reason="what no option of trtllm-serve says"),),
        start=parts.command.arguments,
        notes=tuple(note for note in parts.command.notes if not note.startswith(EXTRA_FILE)),
    )  # fmt: skip
