"""How a conversation is written for a model, from the markers in its chat template.

The template is a program; it is never run or rendered, only searched for the strings it would write.
Markers: each family's own templates as they stand in models/templates of ggml-org/llama.cpp@0c1e57098 and
examples/*.jinja of vLLM 0.33.0; llm_chat_detect_template in src/llama-chat.cpp there does the same search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from plimsoll.domain.explanation import Chat

# The first family whose markers all occur wins, so the more particular stand first.
FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("harmony (gpt-oss)", ("<|channel|>", "<|start|>")),
    ("Llama 4", ("<|header_start|>",)),
    ("Llama 3", ("<|start_header_id|>",)),
    ("GLM", ("[gMASK]",)),
    ("Hunyuan", ("<｜hy_",)),
    ("DeepSeek", ("<｜User｜>",)),
    ("Granite", ("<|start_of_role|>",)),
    ("Gemma 4", ("<|turn>",)),
    ("Gemma", ("<start_of_turn>",)),
    ("Kimi", ("<|im_user|>", "<|im_middle|>")),
    ("Command R", ("<|START_OF_TURN_TOKEN|>",)),
    ("Seed-OSS", ("<seed:bos>",)),
    ("MiniMax", ("]~b]",)),
    ("MiniMax M1", ("<beginning_of_sentence>",)),
    ("Apertus", ("<|user_start|>",)),
    ("Nemotron v2", ("<SPECIAL_1",)),
    ("EXAONE", ("[|user|]",)),
    ("GigaChat", ("<|message_sep|>",)),
    ("Solar Open", ("<|begin|>", "<|content|>")),
    ("ChatML", ("<|im_start|>",)),
    ("Apriel", ("<|begin_user|>",)),
    ("Llama 2", ("[INST]", "<<SYS>>")),
    ("Mistral", ("[INST]",)),
    ("Phi 3", ("<|user|>", "<|end|>")),
    ("Zephyr", ("<|user|>",)),
)
TOOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("harmony: commentary channel to functions", ("<|channel|>", "functions.")),
    ("MiniMax XML", ("<minimax:tool_call>",)),
    ("Seed XML", ("<seed:tool_call>",)),
    ("DeepSeek DSML", ("｜DSML｜",)),
    ("DeepSeek <｜tool▁calls▁begin｜>", ("<｜tool▁calls▁begin｜>",)),
    ("Kimi <|tool_calls_section_begin|>", ("<|tool_calls_section_begin|>",)),
    ("GLM XML: <tool_call> with <arg_key>", ("<tool_call>", "<arg_key>")),
    ("Qwen3-Coder XML: <tool_call><function=", ("<tool_call>", "<function=")),
    ("Llama <function= tags", ("<function=",)),
    ("Gemma 4 <|tool_call>", ("<|tool_call>",)),
    ("Granite <|tool_call|>", ("<|tool_call|>",)),
    ("LFM2 <|tool_call_start|>", ("<|tool_call_start|>",)),
    ("Cohere <|START_ACTION|>", ("<|START_ACTION|>",)),
    ("Mistral [TOOL_CALLS]", ("[TOOL_CALLS]",)),
    ("Nemotron <TOOLCALL>", ("<TOOLCALL>",)),
    ("Hermes JSON in <tool_call>", ("<tool_call>",)),
    ("tool calls as JSON in <tool_calls>", ("<tool_calls>",)),
    ("Llama JSON or <|python_tag|>", ("<|python_tag|>",)),
)
REASONING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("analysis channel", ("<|channel|>", "analysis")),
    ("<seed:think>", ("<seed:think>",)),
    ("[THINK]", ("[THINK]",)),
    ("<|START_THINKING|>", ("<|START_THINKING|>",)),
    ("<think>", ("<think>",)),
    ("</think>", ("</think>",)),
    ("<|think|>", ("<|think|>",)),
)
# Variables by which a template is told how to reason, and the tools it was given.
SWITCHES = ("enable_thinking", "reasoning_effort", "thinking_budget", "thinking", "add_thoughts")
_OPENING = re.compile(r"\{[%{]")
NONE_SEEN = "none in the template"


def read(template: str, source: str = "") -> Chat:
    """Family, reasoning and tool format of a template; 'other' when no known marker occurs."""
    family, markers = _first(FAMILIES, template)
    reasoning, thinks = _first(REASONING, template)
    tools, calls = _first(TOOLS, template)
    code = " ".join(_code(template))
    switches = [name for name in SWITCHES if re.search(rf"(?<![\w.'\"]){name}(?![\w'\"])", code)]
    if len(switches) > 1 and "thinking" in switches:
        switches.remove("thinking")  # a local variable that the template sets from the other
    if reasoning and switches:
        reasoning += f"; switch: {', '.join(switches)}"
    if not tools and re.search(r"(?<![\w.'\"])tools(?![\w'\"])", code):
        tools = "tools are named in the prompt; no marker for calls"
    return Chat(
        family=family or "other", reasoning=reasoning or NONE_SEEN, tools=tools or NONE_SEEN,
        markers=tuple(dict.fromkeys((*markers, *thinks, *calls))), source=source,
    )  # fmt: skip


def _code(template: str) -> Iterator[str]:
    """Statements and expressions; the rest of a template is text. One pass, whatever stands in it."""
    at = 0
    while (start := _OPENING.search(template, at)) is not None:
        end = template.find("%}" if start[0] == "{%" else "}}", start.end())
        if end < 0:
            return
        yield template[start.end() : end]
        at = end + 2


def _first(table: tuple[tuple[str, tuple[str, ...]], ...], template: str) -> tuple[str, tuple[str, ...]]:
    found = ((name, markers) for name, markers in table if all(marker in template for marker in markers))
    return next(found, ("", ()))
