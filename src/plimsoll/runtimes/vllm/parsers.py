"""Which of vLLM's parsers read a model's tool calls and reasoning.

Sources: docs/features/tool_calling.md (vllm-project/vllm@0064cc9cb1ae), docs/features/reasoning_outputs.md
(@00256d59e659), the comment on qwen3_json in vllm/tool_parsers/__init__.py and GptOssForCausalLMConfig in
vllm/model_executor/models/config.py of vLLM 0.33.0. A model that they do not name has no entry. Models whose
parser needs a chat template from vLLM's examples folder (Llama 3, Llama 4, DeepSeek V3, Apertus, InternLM)
have none either: without the template their calls are not read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TOOLS = "docs/features/tool_calling.md"
REASONING = "docs/features/reasoning_outputs.md"
_REGISTRY = "vllm/tool_parsers/__init__.py, 0.33.0"
_GPT_OSS = "vllm/model_executor/models/config.py, 0.33.0"


class Parsers(NamedTuple):
    """Names for --tool-call-parser and --reasoning-parser ('' = not known), and where they are told."""

    tool: str = ""
    tool_source: str = ""
    reasoning: str = ""
    reasoning_source: str = ""


# Parsers that 0.20.2 registers and 0.11.0 does not.
_NEWER = {"granite4", "glm47", "olmo3", "gigachat3", "deepseek_v3", "ernie45", "minimax_m2_append_think"}
_SINCE = (0, 20)
_NO_THOUGHT = r"(?!.*(instruct|coder|base))"
# First match on the model's name, without its owner, in lower case.
_TOOL: tuple[tuple[str, str, str], ...] = (
    (r"gpt-oss-", "openai", TOOLS),
    (r"qwen3-coder-(480b|30b)", "qwen3_xml", TOOLS),
    (r"qwen3-(?!vl|next|coder|.*base)\d", "hermes", _REGISTRY),
    (r"qwen2\.5-(?!coder|vl|math|omni|\d.*b$)|qwq-32b$", "hermes", TOOLS),
    (r"hermes-2-(pro|theta)-|hermes-3-", "hermes", TOOLS),
    (r"mistral-7b-instruct-v0\.3", "mistral", TOOLS),
    (r"granite-4\.0-", "granite4", TOOLS),
    (r"granite-3\.1-8b-instruct", "granite", TOOLS),
    (r"kimi-k2-instruct", "kimi_k2", TOOLS),
    (r"hunyuan-a13b-instruct", "hunyuan_a13b", TOOLS),
    (r"glm-4\.5(?!v|.*base)|glm-4\.6(?!v)", "glm45", TOOLS),
    (r"glm-4\.7", "glm47", TOOLS),
    (r"olmo-3-(7b-instruct|32b-think)", "olmo3", TOOLS),
    (r"gigachat3-", "gigachat3", TOOLS),
)
_THOUGHT: tuple[tuple[str, str, str], ...] = (
    (r"gpt-oss-", "openai_gptoss", _GPT_OSS),
    (r"deepseek-r1", "deepseek_r1", REASONING),
    (r"deepseek-v3\.1$", "deepseek_v3", REASONING),
    (r"ernie-4\.5-21b-a3b-thinking|ernie-4\.5-vl", "ernie45", REASONING),
    (r"glm-4\.5(?!v|.*base)", "glm45", REASONING),
    (r"hunyuan-a13b-instruct", "hunyuan_a13b", REASONING),
    (r"granite-3\.2-", "granite", REASONING),
    (r"minimax-m2$", "minimax_m2_append_think", REASONING),
    (rf"qwen3-(?!vl|next|coder){_NO_THOUGHT}\d", "qwen3", REASONING),
    (r"qwq-32b$", "deepseek_r1", REASONING),
)


def parsers_of(model_id: str, release: tuple[int, int]) -> Parsers:
    """The parsers that vLLM's own pages name for a model and that the release is known to have."""
    name = model_id.lower().partition(" #")[0].rpartition("/")[2]

    def first(rows: tuple[tuple[str, str, str], ...]) -> tuple[str, str]:
        for pattern, parser, source in rows:
            if re.match(pattern, name):
                return ("", "") if parser in _NEWER and release < _SINCE else (parser, source)
        return "", ""

    return Parsers(*first(_TOOL), *first(_THOUGHT))
