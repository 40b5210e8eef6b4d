"""Masks keys, tokens and passwords in text that will be printed or stored."""

from __future__ import annotations

import re

MASK = "[masked]"

# Formats as their makers document them: Hugging Face hf_, OpenAI and Anthropic sk-, GitHub ghp_/gho_/
# github_pat_, GitLab glpat-, Slack xox?-, AWS AKIA/ASIA, Google AIza, Weights & Biases 40 hex digits after
# its name, JSON web tokens eyJ.
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|nvapi-[A-Za-z0-9_-]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)"
)
# A name that says so, then = or : (quoted or not), then the secret; 'Bearer x' after Authorization.
_NAMED = re.compile(
    r"(?i)(?<![A-Za-z])((?:[A-Za-z0-9_-]{0,40}(?:api[_-]?key|secret|passw(?:or)?d|access[_-]?key|auth[_-]?token"
    r"|hf[_-]?token|_token|private[_-]?key))['\"]?\s{0,3}[=:]\s{0,3})"
    r"(?!None\b|null\b|['\"]?\[masked\])(?:\"[^\"\n]{4,200}\"|'[^'\n]{4,200}'|[^\s'\",;)}\]]{6,})"
)
_OPTION = re.compile(r"(?i)(--(?:api-key|hf-token|token|password)[ =]['\"]?)([^\s'\"]{4,})")
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{12,})")
_IN_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,15}://[^\s/:@]{0,80}:)([^\s/@]{1,200})(?=@)")


def masked(text: str) -> tuple[str, int]:
    """The text with every secret replaced, and how many there were."""
    text, found = _TOKENS.subn(MASK, text)
    for pattern in (_IN_URL, _BEARER, _OPTION, _NAMED):
        text, count = pattern.subn(lambda m: m[1] + MASK, text)
        found += count
    return text, found
