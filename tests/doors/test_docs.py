"""Docs that cannot rot: every command is documented with its present --help."""

import importlib.util
from pathlib import Path

import pytest

from plimsoll.doors.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("update_docs", ROOT / "tools" / "update_docs.py")
assert _spec is not None
assert _spec.loader is not None
update_docs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(update_docs)


def test_the_readme_shows_what_its_first_command_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "longest context that fits" in readme
    assert update_docs.with_first_output(readme) == readme, "run: python tools/update_docs.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_shows_the_present_help(name: str) -> None:
    page = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert update_docs.help_text(name) in page, "run: python tools/update_docs.py"


def test_the_page_of_training_shows_what_its_commands_print() -> None:
    page = (ROOT / "docs" / "reference" / update_docs.TRAINING_PAGE).read_text(encoding="utf-8")
    assert page.count("<!-- output -->") == 3
    assert update_docs.with_launches(page) == page, "run: python tools/update_docs.py"


def test_the_page_of_store_plan_shows_what_its_commands_print() -> None:
    page = (ROOT / "docs" / "reference" / "store-plan.md").read_text(encoding="utf-8")
    assert page.count("<!-- output -->") == 2
    assert update_docs.with_store_plans(page) == page, "run: python tools/update_docs.py"


def test_the_page_of_targets_shows_what_its_commands_print() -> None:
    page = (ROOT / "docs" / "reference" / update_docs.TARGETS_PAGE).read_text(encoding="utf-8")
    assert page.count("<!-- output -->") == 2
    assert update_docs.with_launches(page) == page, "run: python tools/update_docs.py"
