"""What a log of any runtime states about itself: versions, cards, memory, cache tokens.

Each fact is a line's trigger (a plain substring) and a pattern with one group. Lines as printed by vLLM 0.6
to 0.33, SGLang, llama.cpp, Ollama, PyTorch, nvidia-smi and the collect_env scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from plimsoll.domain.failure import LogFact

MOST_OF_A_FACT = 16

_N = r"(\d{1,4}(?:\.\d{1,5}){0,3}(?:[a-z+.-][\w+.-]{0,30})?)"
_GIB = r"(\d{1,6}(?:\.\d{1,3})? ?[GM]i?B)"
# name, trigger, pattern
_FACTS: tuple[tuple[str, str, str], ...] = (
    ("vllm version", "version", rf"vLLM (?:API server )?version\s*:?\s*v?{_N}"),
    ("vllm version", "LLM engine", rf"LLM engine \(v{_N}\)"),
    ("vllm version", "vLLM Version", rf"vLLM Version\s*:\s*{_N}"),
    ("vllm version", "vllm==", rf"\bvllm=={_N}"),
    ("sglang version", "sglang", rf"\bsglang(?:==|:\s{{1,3}}v?|\s+version[:= ]+){_N}"),
    ("llama.cpp build", "build", r"\bbuild(?:: | = |_info: b)(\d{3,6})\b"),
    ("llama.cpp build", "version: ", r"\bversion: (\d{3,6}) \([0-9a-f]{6,12}\)"),
    ("ollama version", "llama", rf"ollama version is {_N}"),
    ("ollama version", "(version ", rf"Listening on \S+ \(version {_N}\)"),
    ("tensorrt_llm version", "TensorRT", rf"TensorRT[- ]LLM version: {_N}"),
    ("exllamav3 version", "exllamav3", rf"\bexllamav3(?:==|[-_ ]version:? ){_N}"),
    ("transformers version", "transformers", rf"\btransformers(?:==|\s+version:?\s+|: ){_N}"),
    ("torch version", "orch", rf"(?:PyTorch version|\btorch version|Torch version)\s*:\s*{_N}"),
    ("torch version", "torch==", rf"\btorch=={_N}"),
    ("python version", "ython", r"\bPython (?:version\s*:\s*)?(3\.\d{1,2}(?:\.\d{1,2})?)"),
    ("python version", "/lib/python3.", r"/lib/python(3\.\d{1,2})/"),
    ("driver version", "river", rf"(?i)(?:NVIDIA[- ]SMI \S+ +)?Driver Version\s*:\s*{_N}"),
    ("driver's CUDA version", "CUDA Version", rf"Driver Version[^\n]{{0,60}}CUDA Version: {_N}"),
    ("CUDA runtime version", "CUDA", rf"CUDA runtime version\s*:\s*{_N}"),
    ("CUDA of torch", "CUDA used to build", rf"CUDA used to build PyTorch\s*:\s*{_N}"),
    ("ROCm version", "ROC", rf"(?:ROCm version|ROCM used to build PyTorch)\s*:\s*{_N}"),
    ("device", "compute capability", r"Device \d{1,2}: ([^,\n]{3,80}), compute capability"),
    ("device", "GPU ", r"\bGPU \d{1,2}: ((?:NVIDIA|AMD|Intel|Tesla)[^\n(,:]{2,80}?)(?: \(UUID|\s*$|,)"),
    ("device", "Device", r"Device \d{1,2}: (AMD [^,\n]{3,80}), gfx"),
    ("device", "GPU name", r"GPU name:\s+(Apple [^\n]{2,40})"),
    ("device", "ggml_vulkan", r"ggml_vulkan: \d{1,2} = ([^|\n]{3,80}?) \("),
    ("device", "with CUDA capability", r"\b(NVIDIA [^\n]{3,60}?) with CUDA capability sm_\d{2,3} is not"),
    ("compute capability", "compute capability", r"compute capability (\d{1,2}\.\d)\b"),
    ("compute capability", "capability", r"CUDA capability (sm_\d{2,3}a?)\b"),
    ("compute capability", "capability", r"device capability: (\d{2,3})\b"),
    ("gfx", "gfx", r"\b(gfx\d{3,4}[a-f]?)\b"),
    ("model", "model=", r"\bmodel(?:_path)?=['\"]([^'\"\n]{2,200})['\"]"),
    ("model", "general.name", r"general\.name\s+str\s+=\s+([^\n]{2,100})"),
    ("model", "architecture", r"(?:print_info|llm_load_print_meta): arch\s+=\s+(\S{2,40})"),
    ("model architecture", "arch", r"\barch\s+=\s+([a-z][\w-]{1,40})"),
    ("model architecture", "architecture", r"architecture:? '([\w-]{2,40})'"),
    ("model architecture", "rchitectures", r"[Aa]rchitectures[^\[\n]{0,20}\[['\"](\w{4,80})['\"]"),
    ("quantization", "quantization=", r"\bquantization=['\"]?(\w{2,30})"),
    ("weights memory", "loading took", rf"[Mm]odel (?:weights )?loading took {_GIB}"),
    ("KV cache memory", "KV cache memory", rf"Available KV cache memory: {_GIB}"),
    ("KV cache tokens", "KV cache size", r"GPU KV cache size: ([\d,]{1,15}) tokens"),
    ("KV cache tokens", "max_total_num_tokens", r"max_total_num_tokens=(\d{1,12})"),
    ("KV cache tokens", "#tokens", r"KV Cache is allocated\. #tokens: (\d{1,12})"),
    ("maximum concurrency", "oncurrency", r"oncurrency for [\d,]{1,12} tokens per request: ([\d.]{1,10}x)"),
    ("memory asked for", "ried to allocate", rf"Tried to allocate {_GIB}"),
    ("memory asked for", "cudaMalloc", r"allocating (\d{1,9}\.\d{2} MiB) on device \d{1,2}: cudaMalloc"),
    ("memory of the device", "total capacity", rf"total capacity of {_GIB}"),
    ("memory free", "is free", rf"of which {_GIB} is free"),
    ("memory free", "Free memory on device", r"memory on device (?:cuda:\d{1,2} )?\(([\d./ GiB]{3,40})\)"),
    ("Xid", "Xid", r"NVRM: Xid \([^)\n]{3,40}\): (\d{1,3})\b"),
)  # fmt: skip
_COMPILED = tuple((name, trigger, re.compile(pattern)) for name, trigger, pattern in _FACTS)
TRIGGERS = tuple(dict.fromkeys(trigger for _, trigger, _ in _COMPILED))


def facts_of(line: str, line_number: int) -> Iterator[LogFact]:
    """What one line states."""
    for name, trigger, pattern in _COMPILED:
        if trigger in line and (m := pattern.search(line)):
            yield LogFact(name=name, value=m[1].strip(), line_number=line_number)


def distinct(facts: Iterable[LogFact]) -> tuple[LogFact, ...]:
    """Each value of a fact once, where it was first told, at most MOST_OF_A_FACT of one name."""
    kept: dict[tuple[str, str], LogFact] = {}
    for fact in sorted(facts, key=lambda f: f.line_number):
        held = sum(1 for name, _ in kept if name == fact.name)
        if held < MOST_OF_A_FACT:
            kept.setdefault((fact.name, fact.value), fact)
    return tuple(kept.values())
