"""Scores `plimsoll diagnose` on failures that people reported.

python bench/score_diagnose.py FILE.jsonl [EXPECTED.json]

A row holds error_text, title, runtime, version, gpu and cause (those of a public thread). Its error text is
read as a log, after lines that name runtime, version and card. Where the text is not recognised (or there is
none) the title is tried, which is counted apart: a title is a person's words, not a log.

Right or wrong: a row's `expected`, or EXPECTED.json (row id -> list of failure ids), names the failures that
a person judged to be the cause of that thread (or, of a text that several causes share, the entry that says
so). The first answer must be among them. Rows without such a judgement are printed with the thread's cause
beside ours, and are not counted as right or wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose
from plimsoll.domain.failure import DiagnoseAnswer

Row = dict[str, str | list[str] | None]


def log_of(row: Row, text: str) -> str:
    """What somebody would paste: what it ran on, then the text."""
    about = [
        f"runtime: {row.get('runtime') or ''} {row.get('version') or ''}",
        f"GPU: {row.get('gpu') or ''}",
    ]
    return "\n".join([*about, text]) + "\n"


def answer_to(row: Row, text: str, folder: str) -> DiagnoseAnswer:
    """Diagnose the text as a log file."""
    path = Path(folder) / "row.log"
    path.write_text(log_of(row, text), "utf-8")
    return diagnose(DiagnoseQuestion(path=str(path)))


def main(arguments: list[str]) -> None:
    """Print a line for each row and the shares."""
    rows = [json.loads(line) for line in Path(arguments[0]).read_text("utf-8").splitlines() if line.strip()]
    expected = json.loads(Path(arguments[1]).read_text("utf-8")) if len(arguments) > 1 else {}
    texts = by_text = by_title = judged = 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            text, found = row.get("error_text") or "", ()
            texts += bool(text)
            if text and (found := answer_to(row, text, folder).causes):
                by_text, how = by_text + 1, "text"
            elif found := answer_to(row, row.get("title") or "", folder).causes:
                by_title, how = by_title + 1, "title"
            else:
                how = "-"
            right = row.get("expected") or expected.get(row["id"])
            first = found[0].failure.id if found else ""
            if found and right:
                judged += 1
                if first not in right:
                    wrong.append(row["id"])
            mark = "WRONG" if row["id"] in wrong else ("ok" if found and right else "")
            print(f"{row['id']:8} {how:5} {mark:5} {first}")
            if not right or mark == "WRONG" or how == "-":
                print(f"         text:   {text[:150] or row.get('title', '')[:150]}")
                print(f"         thread: {row.get('cause')}")
                print(f"         ours:   {found[0].failure.cause if found else '-'}")
    print(f"\n{len(rows)} rows, {texts} with an error text")
    if texts:
        print(f"recognised by text: {by_text} of {texts} = {by_text / texts:.1%}")
    print(f"of the rest recognised by title: {by_title} of {len(rows) - by_text}")
    if judged:
        print(f"judged: {judged}, wrong cause: {len(wrong)} = {len(wrong) / judged:.1%} {' '.join(wrong)}")


if __name__ == "__main__":
    main(sys.argv[1:])
