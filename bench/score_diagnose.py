"""Scores `plimsoll diagnose` on failures that people reported.

python bench/score_diagnose.py FILE.jsonl [EXPECTED.json]

A row holds error_text, title, runtime, version, gpu and cause (those of a public thread). Its error text is
read as a log, after lines that name runtime, version and card. Rows without an error text are tried by their
title, which is counted apart: a title is a person's words, not a log.

What counts as recognised: the first answer is an exact failure, or a class of failures that tells a cause. A
bare class only says that the program refused or failed by itself, and is counted apart; a symptom tells what
happened and not why: it is not counted, nor is no answer.

Right or wrong: a row's `expected`, or EXPECTED.json (row id -> list of failure ids), names the failures
that a person judged to state the cause of that thread. `judged` of a row overrides it: "right", "wrong", or
"not told" where the thread does not tell its cause. Rows without either are printed with the thread's cause
beside ours.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose
from plimsoll.domain.failure import DiagnoseAnswer

Row = dict[str, str | list[str] | None]
TIERS = ("exact", "class", "bare class", "symptom", "nothing")


def log_of(row: Row, text: str) -> str:
    """What somebody would paste: what it ran on, then the text."""
    about = [
        f"INFO runtime: {row.get('runtime') or ''} {row.get('version') or ''}",
        f"INFO GPU: {row.get('gpu') or ''}",
    ]
    return "\n".join([*about, text]) + "\n"


def answer_to(row: Row, text: str, folder: str) -> DiagnoseAnswer:
    """Diagnose the text as a log file."""
    path = Path(folder) / "row.log"
    path.write_text(log_of(row, text), "utf-8")
    return diagnose(DiagnoseQuestion(path=str(path)))


def tier_of(answer: DiagnoseAnswer) -> str:
    """What kind of answer it is: one of TIERS."""
    if not answer.causes:
        return "nothing"
    first = answer.causes[0].failure
    return "bare class" if first.tier == "class" and not first.tells_why else first.tier


def judgement(row: Row, answer: DiagnoseAnswer, expected: dict[str, list[str]]) -> str:
    """'right', 'wrong', 'not told', or '' where nobody judged; of an answer that tells a cause."""
    if answer.verdict != "recognised":
        return ""
    if row.get("judged"):
        return str(row["judged"])
    named = row.get("expected") or expected.get(str(row["id"]))
    return ("right" if answer.causes[0].failure.id in named else "wrong") if named else ""


def main(arguments: list[str]) -> None:
    """Print a line for each row and the shares."""
    rows = [json.loads(line) for line in Path(arguments[0]).read_text("utf-8").splitlines() if line.strip()]
    expected = json.loads(Path(arguments[1]).read_text("utf-8")) if len(arguments) > 1 else {}
    by_text: Counter[str] = Counter()
    by_title: Counter[str] = Counter()
    judged: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            text = row.get("error_text") or ""
            answer = answer_to(row, text or row.get("title") or "", folder)
            tier = tier_of(answer)
            (by_text if text else by_title)[tier] += 1
            mark = judgement(row, answer, expected)
            judged.setdefault(mark, []).append(row["id"])
            first = answer.causes[0].failure if answer.causes else None
            print(f"{row['id']:8} {tier:11} {mark:8} {first.id if first else '-'}")
            if mark in ("", "wrong"):
                print(f"         text:   {(text or row.get('title') or '')[:150]}")
                print(f"         thread: {row.get('cause')}")
                print(f"         ours:   {first.cause if first else '-'}")
    for name, found in (("error texts", by_text), ("titles", by_title)):
        if count := sum(found.values()):
            print(f"\n{count} {name}: " + ", ".join(f"{tier} {found[tier]}" for tier in TIERS))
            narrow, bare = found["exact"] + found["class"], found["bare class"]
            print(f"recognised: {narrow / count:.1%}; with bare classes {(narrow + bare) / count:.1%}")
    told = len(judged.get("right", [])) + len(judged.get("wrong", []))
    if told:
        wrong = judged.get("wrong", [])
        share = f"{len(wrong)} = {len(wrong) / told:.1%}"
        print(f"judged against a cause that is told: {told}, wrong {share} {' '.join(wrong)}")


if __name__ == "__main__":
    main(sys.argv[1:])
