"""The command: texts, JSON, the web page, and options that do not go together."""

from __future__ import annotations

import importlib.util
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from plimsoll.doors.cli.check_text import SIGNS
from plimsoll.doors.cli.main import cli
from plimsoll.errors import UsageError


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["check", *words])
    return result.exit_code, result.output if not result.exception else str(result.exception) or result.output


def test_each_aspect_has_a_sign_a_word_a_source_and_a_day() -> None:
    code, text = run("gpt-oss-120b", "--on", "rtx-pro-6000", "--runtime", "vllm==0.33", "--offline")
    assert code == 0
    assert text.startswith("RUNS AT A PRICE")
    assert "weights    ~  penalty" in text
    assert "oracle/mxfp4.py, 2026-11-26]" in text


def test_json_has_the_same_verdicts() -> None:
    _, text = run("gpt-oss-120b", "--on", "rtx-pro-6000", "--runtime", "vllm==0.33", "--json")
    answer = json.loads(text)
    assert answer["outcome"] == "penalty"
    assert {v["aspect"] for v in answer["verdicts"]} >= {"device", "weights", "attention", "moe", "model"}
    assert all(v["sources"] for v in answer["verdicts"] if v["outcome"] != "unknown")


class Table(HTMLParser):
    """Counts the fields of a page and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.reasons: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "td" and "style" in dict(attrs):
            self.cells.append("")
        if tag == "p" and self.cells:
            self.reasons.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["td"], ["summary"]) and self.cells:
            self.cells[-1] += data
        if self.open[-2:] == ["details", "p"]:
            self.reasons[-1] += data


def test_the_page_stands_alone_and_carries_words(tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    code, _ = run("--matrix", "--on", "rtx-pro-6000", "--html", str(path))
    assert code == 0
    page = path.read_text("utf-8")
    assert "http" not in page.replace("https://", "http").split("<body>")[0]
    table = Table()
    table.feed(page)
    assert table.open == []
    assert len(table.cells) > 300
    assert {cell.split()[-1] for cell in table.cells} <= set(SIGNS)
    known = [cell for cell in table.cells if not cell.startswith("?")]
    assert sum(" on 2026-" in reason for reason in table.reasons) >= len(known)
    assert "title=" not in page


def test_two_questions_at_once_are_refused() -> None:
    result = CliRunner().invoke(cli, ["check", "--matrix", "--frontier"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.message == "--matrix and --frontier are two questions"
    result = CliRunner().invoke(cli, ["check", "--html", "x.html"])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ui", "--matrix"], "--matrix and --ui are two questions"),
        (["--matrix", "--runtime", "vllm"], "--runtime has no meaning for check --matrix"),
        (["--frontier", "--kv", "fp8"], "--kv has no meaning for check --frontier"),
        (["gpt-oss-120b", "--stack", "vllm"], "MODEL has no meaning for check --stack"),
        (["--ui", "open-webu"], "no rule knows a front-end 'open-webu'"),
        (["gpt-oss-12b"], "no such model in the catalog: gpt-oss-12b"),
        (["gpt-oss-120b", "--on", "rtx-5099"], "no such device: rtx-5099"),
        (["gpt-oss-120b", "--on", "h100", "--runtime", "vlm"], "there is no runtime 'vlm'"),
        (["gpt-oss-120b", "--on", "h100", "--runtime", "vllm=="], "--runtime vllm== names no version"),
        (["gpt-oss-120b", "--on", "h100", "--runtime", "vllm==0.14.7"], "is in no list of releases"),
        (["gpt-oss-120b", "--on", "h100", "--runtime", "llama.cpp==0.3"], "is not a build of llama.cpp"),
        (["gpt-oss-120b", "--on", "h100", "--weights", "nvfp"], "no rule knows a weight format 'nvfp'"),
        (["gpt-oss-120b", "--on", "h100", "--os", "ubunto"], "no rule knows an operating system 'ubunto'"),
        (["gpt-oss-120b", "--on", "h100", "--with", "yarnn"], "no rule knows a feature 'yarnn'"),
        (["gpt-oss-120b", "--on", "mi300x", "--driver", "580"], "does not run on NVIDIA's driver"),
        (["gpt-oss-120b", "--on", "m3-ultra", "--cuda", "13.0"], "has no CUDA"),
        (["--stack", "vllm==0.14.7"], "is in no list of releases"),
    ],
)
def test_what_cannot_be_meant_is_said_with_a_way_out(words: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["check", *words, "--offline"])
    assert isinstance(result.exception, UsageError)
    assert message in result.exception.message
    assert result.exception.hint


def test_misspelt_words_are_answered_with_the_nearest() -> None:
    for word, option, near in (
        ("yarnn", "--with", "yarn"), ("ubunto", "--os", "ubuntu"), ("nvfp", "--weights", "nvfp4"),
    ):  # fmt: skip
        result = CliRunner().invoke(cli, ["check", "gpt-oss-120b", "--on", "h100", option, word])
        assert isinstance(result.exception, UsageError)
        assert f"did you mean {near}" in (result.exception.hint or "")


def test_a_cuda_newer_than_all_is_said_to_be() -> None:
    assert "CUDA 99 is newer than any I know" in run("gpt-oss-120b", "--on", "h100", "--cuda", "99")[1]


def test_one_front_end_alone() -> None:
    _, text = run("--ui", "open-webui")
    assert "Open WebUI: backends:" in text
    assert "LibreChat" not in text


def test_the_other_questions_print() -> None:
    assert "requirements that satisfy it:" in run("--stack", "vllm==0.33", "--on", "rtx-pro-6000")[1]
    assert "models run unquantised" in run("--frontier", "--on", "rtx-3090")[1]
    assert "Open WebUI" in run("--ui")[1]


def test_the_page_of_tables_is_what_the_rules_say() -> None:
    path = Path(__file__).parents[2] / "tools" / "compatibility_doc.py"
    spec = importlib.util.spec_from_file_location("compatibility_doc", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text("utf-8") == tool.page(), "run: python tools/compatibility_doc.py"
