"""The command: texts, JSON, the web page, and options that do not go together."""

from __future__ import annotations

import importlib.util
import json
from html.parser import HTMLParser
from pathlib import Path

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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        if tag == "td" and "title" in dict(attrs):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["td"] and self.cells:
            self.cells[-1] += data


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


def test_two_questions_at_once_are_refused() -> None:
    result = CliRunner().invoke(cli, ["check", "--matrix", "--frontier"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.message == "--matrix and --frontier are two questions"
    result = CliRunner().invoke(cli, ["check", "--html", "x.html"])
    assert isinstance(result.exception, UsageError)


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
