"""Chat templates are searched, never run: families, tool formats and reasoning by their markers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plimsoll.catalog import chat_templates
from plimsoll.parse.chat_template import FAMILIES, NONE_SEEN, read
from tests.ghost.upstream import source_tree


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}", "ChatML"),
        ("<|start_header_id|>user<|end_header_id|>", "Llama 3"),
        ("<|header_start|>user<|header_end|>", "Llama 4"),
        ("<|start|>assistant<|channel|>final<|message|>", "harmony (gpt-oss)"),
        ("<start_of_turn>user", "Gemma"),
        ("<|turn>user", "Gemma 4"),
        ("<s>[INST] {{ m.content }} [/INST]", "Mistral"),
        ("<s>[INST] <<SYS>>{{ system }}<</SYS>> [/INST]", "Llama 2"),
        ("<｜User｜>{{ m.content }}<｜Assistant｜>", "DeepSeek"),
        ("[gMASK]<sop><|user|>\n", "GLM"),
        ("<|user|>\n{{ m.content }}<|end|>\n", "Phi 3"),
        ("<|user|>\n{{ m.content }}</s>", "Zephyr"),
        ("<|start_of_role|>user<|end_of_role|>", "Granite"),
        ("<|im_user|>user<|im_middle|>", "Kimi"),
        ("### Instruction:\n", "other"),
        ("", "other"),
    ],
)
def test_the_family_is_known_by_its_markers(template: str, family: str) -> None:
    found = read(template, "here")
    assert (found.family, found.source) == (family, "here")


@pytest.mark.parametrize(
    ("template", "tools"),
    [
        (
            '<|im_start|>{% if tools %}<tool_call>{"name": 1}</tool_call>{% endif %}',
            "Hermes JSON in <tool_call>",
        ),
        ("<tool_call>\n<function=name>", "Qwen3-Coder XML: <tool_call><function="),
        ("<tool_call>name\n<arg_key>", "GLM XML: <tool_call> with <arg_key>"),
        ("[INST][TOOL_CALLS]", "Mistral [TOOL_CALLS]"),
        ("<｜tool▁calls▁begin｜>", "DeepSeek <｜tool▁calls▁begin｜>"),
        (
            "{%- if tools -%}{{ tools | tojson }}{%- endif -%}",
            "tools are named in the prompt; no marker for calls",
        ),
        ("the tools of the trade", NONE_SEEN),
    ],
)
def test_the_format_of_tool_calls(template: str, tools: str) -> None:
    assert read(template).tools == tools


def test_reasoning_and_its_switch() -> None:
    found = read("{% if enable_thinking is false %}<think>\n\n</think>{% endif %}")
    assert found.reasoning == "<think>; switch: enable_thinking"
    assert read("<think>").reasoning == "<think>"
    assert read("plain").reasoning == NONE_SEEN


def test_a_word_in_the_text_is_no_switch() -> None:
    assert read("<think> enable_thinking is a word here").reasoning == "<think>"
    assert read("<think>{{ message['thinking'] }}").reasoning == "<think>"


def test_a_template_is_never_run() -> None:
    assert read("{% for i in range(10 ** 12) %}{{ 1 / 0 }}{% endfor %}<|im_start|>").family == "ChatML"
    assert read("{%" * 200_000).family == "other"


def test_families_have_distinct_names() -> None:
    assert len({name for name, _ in FAMILIES}) == len(FAMILIES)


@pytest.mark.oracle
def test_the_catalog_holds_what_the_templates_say() -> None:
    upstream = source_tree()
    if upstream is None:
        pytest.skip("set PLIMSOLL_LLAMA_CPP_SOURCE to a llama.cpp source tree")
    held = json.loads(Path(chat_templates.PATH).read_text("utf-8"))
    for model_id, fields in held.items():
        path = Path(upstream, fields["source"].partition("#")[2])
        assert chat_templates.find(model_id) == read(path.read_text("utf-8"), fields["source"])
