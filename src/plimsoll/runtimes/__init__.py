"""One folder per runtime. `memory.py` in each defines the same names:

DEFAULTS                  the runtime's own settings with their default values
LIMITS (optional)         (least, most) of those numbers that are not free from 0 on
lines(deployment)         every byte this deployment takes, as bill lines
estimates(deployment)     numbers the runtime will print that are not bytes on the bill
problems(deployment)      reasons why this runtime cannot run it at all, whatever the memory

and `formats.py` the names of the KV and weight formats it runs. `launch.py` defines

command(deployment, serving)   what starts it: a `domain.launch.Command`, a reason with every flag;
                               raises BadSetting where the deployment cannot be said in flags
"""

from __future__ import annotations

import importlib
from types import ModuleType

RUNTIMES: tuple[str, ...] = (
    "llama_cpp", "vllm", "sglang", "tensorrt_llm", "exllama", "transformers", "mlx",
)  # fmt: skip


def memory_of(runtime_id: str) -> ModuleType:
    """The memory module of a runtime, imported on first use."""
    return importlib.import_module(f"plimsoll.runtimes.{runtime_id}.memory")


def formats_of(runtime_id: str) -> ModuleType:
    """The formats module of a runtime, imported on first use."""
    return importlib.import_module(f"plimsoll.runtimes.{runtime_id}.formats")


def launch_of(runtime_id: str) -> ModuleType:
    """The launch module of a runtime, imported on first use."""
    return importlib.import_module(f"plimsoll.runtimes.{runtime_id}.launch")
