"""A Modelfile for Ollama, and the variables of its server.

Ollama starts llama-server itself (llm/llama_server.go of ollama/ollama@fb307609, August 2026): a Modelfile
says context, batch, layers and adapters of a model (api/types.go, type Runner; parser/parser.go); cache
format, flash attention and sequences are variables of its server (envconfig/config.go). What it has no word
for reaches llama-server as LLAMA_ARG_*, since it hands its variables on; those hold for every model it loads.
"""

from __future__ import annotations

import re

from plimsoll.core.launch_shell import quoted, shown
from plimsoll.domain.launch import Flag, LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.units import format_count

RUNTIMES = ("llama_cpp",)
NAME, VARIABLES = "Modelfile", "ollama.env"
_SHARD = re.compile(r"(.+-)(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_CACHE_FORMATS = ("f16", "q8_0", "q4_0")
# Said in the Modelfile or by Ollama itself.
_SAID = frozenset({"-m", "-c", "-np", "-ngl", "-b", "-ub", "-fa", "-ctk", "-ctv", "--lora", "--jinja",
                   "--alias", "--host", "--port", "-lv"})  # fmt: skip
# llama-server's own variables (set_env in common/arg.cpp).
_HANDED_ON = {
    "--fit": "LLAMA_ARG_FIT", "--n-cpu-moe": "LLAMA_ARG_N_CPU_MOE", "-ot": "LLAMA_ARG_OVERRIDE_TENSOR",
    "--kv-unified": "LLAMA_ARG_KV_UNIFIED", "--swa-full": "LLAMA_ARG_SWA_FULL", "-sm": "LLAMA_ARG_SPLIT_MODE",
    "-ts": "LLAMA_ARG_TENSOR_SPLIT", "-dev": "LLAMA_ARG_DEVICE", "--cache-ram": "LLAMA_ARG_CACHE_RAM",
    "--load-mode": "LLAMA_ARG_LOAD_MODE",
}  # fmt: skip


def files(parts: LaunchParts) -> LaunchFiles:
    """The two files. Raises BadSetting for what Ollama cannot be told."""
    name = _model_name(parts.serving.served_name)
    text = "\n".join(_modelfile(parts)) + "\n"
    variables = "\n".join(_variables(parts)) + "\n"
    return LaunchFiles(
        files=(
            LaunchFile(name=NAME, text=text, reason="the model, for `ollama create`"),
            LaunchFile(name=VARIABLES, text=variables, reason="for `ollama serve`; they hold for all models"),
        ),
        start=("ollama", "create", name, "-f", NAME),
        notes=(
            f"before that: set -a; . ./{VARIABLES}; ollama serve",
            "an Ollama before mid-2026 does not start llama-server: nothing is promised of its own engine",
        ),
    )  # fmt: skip


def _modelfile(parts: LaunchParts) -> list[str]:
    work = parts.deployment.workload
    flags = {f.name: f for f in parts.command.flags}
    lines = [f"FROM {_argument(path)}" for path in _shards(parts.serving.model_path)]
    count = work.parallel_sequences_count
    lines += [
        f"# {format_count(work.context_tokens)} tokens" + (f" for each of {count} sequences" * (count > 1)),
        f"PARAMETER num_ctx {work.context_tokens}",
        f"# {shown(flags['-ub'].reason)}",
        f"PARAMETER num_batch {flags['-ub'].value}",
        f"# {shown(flags['-ngl'].reason)}",
        f"PARAMETER num_gpu {flags['-ngl'].value}",
    ]
    if len(parts.serving.adapter_paths) > 1:
        raise BadSetting("a Modelfile holds one adapter", hint="--as command serves several")
    return lines + [f"ADAPTER {_argument(path)}" for path in parts.serving.adapter_paths]


def _variables(parts: LaunchParts) -> list[str]:
    deployment, serving = parts.deployment, parts.serving
    if deployment.kv_format_k != deployment.kv_format_v or deployment.kv_format_k not in _CACHE_FORMATS:
        raise BadSetting(
            f"Ollama keeps K and V alike, in {', '.join(_CACHE_FORMATS)}",
            hint=f"--kv {'|'.join(_CACHE_FORMATS)}",
        )
    flags = {f.name: f for f in parts.command.flags}
    is_flash = "-fa" in flags and flags["-fa"].value != "off"
    rows = [
        Flag(name="OLLAMA_HOST", value=f"{serving.host}:{serving.port}", reason=flags["--host"].reason),
        Flag(
            name="OLLAMA_NUM_PARALLEL", value=str(deployment.workload.parallel_sequences_count),
            reason=flags["-np"].reason,
        ),
        Flag(name="OLLAMA_FLASH_ATTENTION", value="1" if is_flash else "0",
             reason=flags["-fa"].reason if "-fa" in flags else "asked for"),
        Flag(name="OLLAMA_KV_CACHE_TYPE", value=deployment.kv_format_k, reason=flags["-ctk"].reason),
        *_handed_on(parts.command.flags),
    ]  # fmt: skip
    return [line for row in rows for line in (f"# {shown(row.reason)}", f"{row.name}={quoted(row.value)}")]


def _handed_on(flags: tuple[Flag, ...]) -> list[Flag]:
    """Flags that Ollama has no word for, as llama-server's own variables."""
    found: dict[str, Flag] = {}
    for flag in flags:
        if flag.name in _SAID:
            continue
        if flag.name not in _HANDED_ON:
            raise BadSetting(f"Ollama cannot be told {flag.name} ({flag.reason})", hint="--as command")
        name, value = _HANDED_ON[flag.name], flag.value or "1"
        if name in found:  # -ot stands once for each pattern
            value = f"{found[name].value},{value}"
        found[name] = Flag(name=name, value=value, reason=flag.reason)
    return list(found.values())


def _shards(path: str) -> list[str]:
    """Every shard of a model in several files, one FROM each."""
    found = _SHARD.fullmatch(path)
    if found is None:
        return [path]
    count = int(found[3])
    return [f"{found[1]}{i:05d}-of-{found[3]}{found[4]}" for i in range(1, count + 1)]


def _argument(path: str) -> str:
    """A path as a Modelfile's parser reads it back: it drops what cannot be printed."""
    if _UNPRINTABLE.search(path) or path.startswith('"""'):
        raise BadSetting(f"a Modelfile cannot hold the path {path!r}", hint="give the file another name")
    return f'"{path}"' if path.strip() != path or path.startswith('"') else path


def _model_name(name: str) -> str:
    """The served name in the letters that Ollama takes."""
    found = re.sub(r"[^a-z0-9._:-]+", "-", name.lower()).strip("-.:")
    return found or "model"
