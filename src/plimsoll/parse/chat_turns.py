"""What a chat template writes around turns, by its text alone: roles, ends, default system text, date."""

from __future__ import annotations

import re
from collections.abc import Iterable

from plimsoll.domain.tokenizer import TemplateFacts
from plimsoll.parse.chat_template import read

LONGEST_TEMPLATE = 1 << 20
_ROLE = re.compile(r"""role['"]?\]?\s*==\s*['"]([\w.-]{1,40})['"]""")
_ROLES = re.compile(r"""role['"]?\]?\s+in\s+[\[(]([^\])]{1,200})[\])]""")
_QUOTED = re.compile(r"""['"]([\w.-]{1,40})['"]""")
_SYSTEM = re.compile(r"""(You are (?!provided|given|expected|allowed|able)[^'"{}<\\\n]{3,300})""")
_DATE = re.compile(r"strftime_now|date_string|current_date|[Tt]oday's [Dd]ate|[Tt]oday [Dd]ate|Current date")
_CODE = re.compile(r"\{[%{](.*?)[%}]\}", re.DOTALL)
# Variables that a caller may pass (chat_template_kwargs), beside the messages.
_SWITCHES = (
    "add_generation_prompt", "enable_thinking", "reasoning_effort", "thinking", "thinking_budget", "tools",
    "documents", "custom_tools", "builtin_tools", "tools_in_user_message", "date_string", "model_identity",
    "continue_final_message", "add_vision_id", "clear_thinking", "preserve_thinking",
)  # fmt: skip


def read_turns(template: str, source: str, ends: Iterable[str], eos: str = "") -> TemplateFacts:
    """The facts of a template. `ends` are texts of tokens that may end a turn, `eos` what the variable
    eos_token stands for."""
    seen = template[:LONGEST_TEMPLATE]
    chat = read(seen, source)
    code = " ".join(_CODE.findall(seen))
    roles = dict.fromkeys(_ROLE.findall(code))
    for listed in _ROLES.findall(code):
        roles |= dict.fromkeys(_QUOTED.findall(listed))
    found = dict.fromkeys(text for text in ends if text and text in seen)
    if eos and re.search(r"(?<![\w.'\"])eos_token(?![\w'\"])", code):
        found[eos] = None
    system = _SYSTEM.search(seen)
    return TemplateFacts(
        source=source, family=chat.family, reasoning=chat.reasoning, tools=chat.tools, markers=chat.markers,
        roles=tuple(roles), ends_turn_with=tuple(found),
        default_system=system[1].strip() if system else "", has_date=_DATE.search(seen) is not None,
        switches=tuple(n for n in _SWITCHES if re.search(rf"(?<![\w.'\"]){n}(?![\w'\"])", code)),
        characters_count=len(template),
    )  # fmt: skip
