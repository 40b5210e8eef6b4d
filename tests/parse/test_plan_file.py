"""Saved plans: numbers, parts, and what strangers put into them."""

from __future__ import annotations

import json

import pytest

from plimsoll.errors import PlimsollError
from plimsoll.parse.plan_file import Reference, asked, reference

ASKED = {"models": ["qwen3-30b-a3b"], "on": "rtx-3090", "context_tokens": 8192,
         "overrides": [["exps", "CPU"]], "settings": {"ubatch": 256}}  # fmt: skip


def plan(*choices: object) -> bytes:
    return json.dumps({"question": "plan", "choices": choices}).encode()


def test_references() -> None:
    assert reference("plan.json") == ("plan.json", 1, 0)
    assert reference("a#b/plan.json#3") == ("a#b/plan.json", 3, 0)
    assert reference("plan.json#3.2") == ("plan.json", 3, 2)


def test_the_fields_come_back_as_a_question_has_them() -> None:
    data = plan({"parts": [{"asked": ASKED, "fingerprint": "0123"}]})
    found = asked(data, Reference("p", 1, 0))
    assert found.fingerprint == "0123"
    assert found.fields["models"] == ("qwen3-30b-a3b",)
    assert found.fields["overrides"] == (("exps", "CPU"),)


def test_one_of_several_models_must_be_named() -> None:
    data = plan({"parts": [{"asked": ASKED}, {"asked": {**ASKED, "on": "rtx-4090"}}]})
    with pytest.raises(PlimsollError, match="2 models") as error:
        asked(data, Reference("p", 1, 0))
    assert error.value.hint == "p#1.1 and p#1.2"
    assert asked(data, Reference("p", 1, 2)).fields["on"] == "rtx-4090"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"question": "plan", "choices": {}}', plan(), plan(3), plan({"parts": 1}),
        plan({"asked": []}), plan({"asked": {**ASKED, "models": "x"}}), 
        plan({"asked": {"context_tokens": -1}}),
        plan({"asked": {"context_tokens": True}}), plan({"asked": {"command": "rm"}}),
        plan({"asked": {"settings": {"a": []}}}), plan({"asked": {"overrides": [["a"]]}}),
        plan({"asked": {}, "fingerprint": 3}), plan({"asked": {**ASKED, "on": "a\0"}}),
        plan({"asked": {**ASKED, "models": ["a\0"]}}),
    ],
)  # fmt: skip
def test_no_plan_is_one_sentence(data: bytes) -> None:
    with pytest.raises(PlimsollError):
        asked(data, Reference("p", 1, 0))


def test_a_number_beyond_the_plan() -> None:
    with pytest.raises(PlimsollError, match="1 choices, not 2"):
        asked(plan({"asked": ASKED}), Reference("p", 2, 0))
