"""Rules: what a file may say, what overlaps, and which release a version means."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from plimsoll.catalog import lint_rules, releases, rules
from plimsoll.catalog.releases import Releases, release_of, resolve_range, version_key
from plimsoll.core.check import Rules, verdict
from plimsoll.domain.rule import Range, Situation
from plimsoll.errors import BadSetting, CatalogError, UnknownRuntime

WORDS = {
    "hardware": {
        "sm_75": {"vendor": "nvidia", "cc": "7.5"},
        "sm_89": {"vendor": "nvidia", "cc": "8.9"},
        "sm_120": {"vendor": "nvidia", "cc": "12.0", "groups": ["blackwell"]},
        "gfx942": {"vendor": "amd", "groups": ["cdna3"]},
    },
    "features": {"sinks": {}, "moe": {}},
    "formats": {"fp8": {"computes": "fp8"}, "q4_k": {"groups": ["gguf"]}, "q8_0": {"groups": ["gguf"]}},
}
VLLM = Releases(
    id="vllm", name="vLLM", scheme="versions", kind="engine",
    versions=("0.9.0", "0.10.0", "0.10.1", "0.33.0"), checked_on="2026-11-26", sources=("here",),
)  # fmt: skip
LLAMA = Releases(
    id="llama_cpp", name="llama.cpp", scheme="builds", kind="engine", versions=("b11549",),
    checked_on="2026-11-26", sources=("here",),
)  # fmt: skip
HEAD = 'runtime = "vllm"\naspect = "weights"\nchecked_on = "2026-11-26"\nsources = ["here"]\n'


def rows(text: str) -> list[dict[str, Any]]:
    return rules.rows_from(tomllib.loads(HEAD + text), "rules/vllm/weights.toml", WORDS, {"vllm": VLLM})


def read(text: str) -> tuple[rules.Rule, ...]:
    return tuple(rules.rule_from_row(row) for row in rows(text))


def test_a_rule_holds_for_names_groups_and_ranges() -> None:
    (rule,) = read(
        'rules = [{name="a", says="native", formats=["gguf"], hardware=["cc>=8.0,<12.0", "cdna3"], '
        'versions=">=0.10,<0.33.0"}]'
    )
    assert rule.id == "vllm/weights#a"
    assert rule.formats == {"q4_k", "q8_0"}
    assert rule.hardware == {"sm_89", "gfx942"}
    assert rule.releases == Range(low=(1,), high=(3,))


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ('formats=["fp9"]', "no format 'fp9'"),
        ('hardware=["sm_999"]', "no hardware 'sm_999'"),
        ('hardware=["cc>=30.0"]', "no hardware 'cc>=30.0'"),
        ('versions=">=0.10.7"', "'0.10.7' is not a listed release of vLLM"),
        ('versions=">=0.33,<0.9"', "holds for no release"),
        ('driver="580"', "is not '>=NUMBER'"),
        ("colour=1", "unknown keys: colour"),
        ('features=["magic"]', "no feature magic"),
        ('backends=["abacus"]', "no backend abacus"),
        ('systems=["beos"]', "no system beos"),
    ],
)
def test_a_wrong_condition_names_file_and_rule(rule: str, wanted: str) -> None:
    with pytest.raises(CatalogError, match=r"^rules/vllm/weights.toml: a: ") as caught:
        rows(f'rules = [{{name="a", says="native", {rule}}}]')
    assert wanted in caught.value.message


@pytest.mark.parametrize(
    ("one", "other", "is_overlap"),
    [
        ('formats=["fp8"]', 'formats=["fp8"]', True),
        ('formats=["fp8"]', 'formats=["q4_k"]', False),
        ('formats=["fp8"]', 'hardware=["sm_89"]', True),
        ('hardware=["cc>=8.0"]', 'hardware=["cc<8.9"]', False),
        ('hardware=["cc>=8.0"]', 'hardware=["nvidia"]', True),
        ('versions="<0.10.1"', 'versions=">=0.10.1"', False),
        ('versions="<=0.10.1"', 'versions=">=0.10.1"', True),
        ('topic="gate"', 'topic="kernel"', False),
        ('models=["A"]', 'models=["a", "b"]', True),
        ('models=["A"]', 'models=["b"]', False),
        ('features=["sinks"]', 'features=["moe"]', True),
        ('driver="<580"', 'driver=">=580"', False),
        ('driver="<580.65"', 'driver=">=580"', True),
    ],
)
def test_overlaps_are_found(one: str, other: str, is_overlap: bool) -> None:
    pair = read(f'rules = [{{name="a", says="native", {one}}}, {{name="b", says="native", {other}}}]')
    assert bool(list(lint_rules.overlaps(pair))) is is_overlap


def test_the_shipped_index_holds_what_the_files_say() -> None:
    written = lint_rules.read_all(lint_rules.Path(rules.FOLDER).parent)
    assert sorted(rules.load(), key=lambda rule: rule.id) == sorted(written, key=lambda rule: rule.id)


@pytest.mark.parametrize("runtime", ["vllm", "sglang", "lmdeploy"])
def test_the_parsers_that_rules_by_hand_name_are_offered_by_their_releases(runtime: str) -> None:
    known = Rules.read_by(rules.load_place, {})
    newest = release_of(releases.load_all()[runtime], "").place
    flags = {"--tool-call-parser": "tool-parser", "--reasoning-parser": "reasoning-parser"}
    checked = 0
    for rule in rules.load_place(runtime, "tools"):
        for flag, name in re.findall(r"(--[a-z-]+parser) ([\w.-]+)", rule.needs):
            feature = frozenset({f"{flags[flag]}:{name}"})
            for place in (rule.releases.low or newest, newest):
                if rule.releases.holds(place):
                    asked = Situation(runtime=runtime, release=place, features=feature)
                    assert verdict(known, asked, "features").outcome == "supported", (rule.id, name, place)
                    checked += 1
    assert checked


def test_with_a_model_only_the_rules_that_may_hold_for_it_are_read() -> None:
    every = rules.load_place("vllm", "model")
    own = rules.load_place("vllm", "model", frozenset({"gptossforcausallm", "gpt_oss"}))
    assert 0 < len(own) < len(every)
    assert {rule.id for rule in every if "gptossforcausallm" in rule.models} <= {rule.id for rule in own}


@pytest.mark.parametrize(
    ("text", "version"), [("", "0.33.0"), ("0.33", "0.33.0"), ("v0.10.1", "0.10.1"), ("0.10", "0.10.0")]
)
def test_a_version_is_found_in_the_list(text: str, version: str) -> None:
    found = release_of(VLLM, text)
    assert (found.version, found.note) == (version, "")


def test_a_version_that_cannot_be() -> None:
    with pytest.raises(BadSetting, match=r"vLLM 0.10.7 is in no list of releases") as caught:
        release_of(VLLM, "0.10.7")
    assert caught.value.hint == "its neighbours are 0.10.1 and 0.33.0"
    with pytest.raises(BadSetting, match="'nightly' is not a version of vLLM"):
        release_of(VLLM, "nightly")


def test_a_version_newer_than_all() -> None:
    found = release_of(VLLM, "0.40")
    assert found.version == "0.33.0"
    assert found.note == "vLLM 0.40 is newer than any I know: answers are for 0.33.0"
    assert release_of(LLAMA, "b20000").note.startswith("llama.cpp b20000 is newer")


def test_builds_are_their_own_places() -> None:
    assert release_of(LLAMA, "b6097").place == (6097,)
    assert resolve_range(">=b6097", LLAMA) == Range(low=(6097,))
    with pytest.raises(BadSetting, match="not a build"):
        release_of(LLAMA, "0.3")


def test_runtimes_are_found_by_any_spelling() -> None:
    assert releases.find("llama.cpp").id == releases.find("llamacpp").id == "llama_cpp"
    with pytest.raises(UnknownRuntime) as caught:
        releases.find("vlm")
    assert "vLLM" in caught.value.hint


VERSIONS = st.builds(
    lambda numbers, stage: ".".join(map(str, numbers)) + stage,
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.sampled_from(["", "", "rc1", "rc2", ".post1", ".post12", "a1", "b3", ".dev4"]),
)


@pytest.mark.parametrize(
    ("version", "requirement", "wanted"),
    [("2.13.0+cpu", "==2.14.0", False), ("2.14", "==2.14.0", True), ("3.8.4", "~=3.8.0", True),
     ("3.9.0", "~=3.8.0", False), ("5.17.1", ">=5.16.1,<5.21.0", True), ("5.21", ">=5.16.1,<5.21.0", False),
     ("strange", ">=1", None), ("1.2", ">=1, !=1.5.*", None)],
)  # fmt: skip
def test_an_installed_version_against_a_pin(version: str, requirement: str, wanted: bool | None) -> None:
    assert releases.meets(version, requirement) is wanted


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_packaging_orders_them(one: str, other: str) -> None:
    ours = (version_key(one) > version_key(other)) - (version_key(one) < version_key(other))
    theirs = (Version(one) > Version(other)) - (Version(one) < Version(other))
    assert ours == theirs
