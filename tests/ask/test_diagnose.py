"""Error lines that people posted, each a row of tests/fixtures/failure_texts.jsonl with its address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "failure_texts.jsonl")
    .read_text("utf-8")
    .splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_a_posted_text_leads_to_its_cause(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "posted.log"
    path.write_text(f"INFO runtime: {row['runtime']} {row['version']}\n{row['error_text']}\n", "utf-8")
    found = [cause.failure.id for cause in diagnose(DiagnoseQuestion(path=str(path))).causes]
    # A row without an expectation is a text of one bug or of a person; unknown is the right answer to it.
    assert found[:1] == [] if not row["expected"] else found[0] in row["expected"]
