"""The command as a person or a program calls it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plimsoll.doors.cli.main import main
from tests.edges.hub_server import Hub, serve
from tests.edges.test_hub import point

pytest.importorskip("tokenizers")
FOLDER = Path(__file__).parents[1] / "fixtures" / "tokenizers" / "byte_level"
Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def no_caches(monkeypatch: Patch, tmp_path: Path) -> None:
    """No model of the machine that runs the tests."""
    for name in ("HF_HUB_CACHE", "HF_HOME", "OLLAMA_MODELS", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))


def run(capsys: Capture, monkeypatch: Patch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["plimsoll", "tokenizer", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_a_text_reads_well(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "Смотритель 船\n")
    assert code == 0
    for words in (
        "BPE, 512 tokens, 251 merges",
        "'<0xD0>'",
        "' '",
        "'船'",
        "'\\n'",
        "Cyrillic",
        "warning: eos:",
    ):
        assert words in out


def test_everything_is_explained(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "x", "--special", "--config", "--template")
    assert code == 0
    for words in (
        "turn header",
        "unknown key",
        "ChatML",
        "default system text: 'You are a ship.'",
        "said by",
    ):
        assert words in out


def test_json_has_the_tokens(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "船 ok", "--json")
    answer = json.loads(out)
    assert code == 0
    assert [t["piece"] for t in answer["encoded"][0]["tokens"]] == ["船", " o", "k"]
    assert answer["rows"]["rows_count"] == 520


def test_compare_takes_every_word_after_it(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, "--compare", str(FOLDER), str(FOLDER), "gpt-oss-120b", "--json")
    answer = json.loads(out)
    assert code == 3
    assert [row["ratio"] for row in answer["compared"]] == [1.0, 1.0, None]
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "a b", "--compare", str(FOLDER))
    assert code == 0
    assert "×1.00" in out


def test_an_edit_that_breaks_something_exits_with_1(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "--edit", "remove: o")
    assert code == 1
    assert "LOAD ERROR" in out
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "--edit", "add:<new>")
    assert code == 0
    assert "CHANGES BEHAVIOUR" in out


def test_text_from_a_file_and_from_standard_input(
    capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("船", encoding="utf-8")
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "-f", str(tmp_path / "text"), "--json")
    assert json.loads(out)["encoded"][0]["tokens_count"] == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("船船".encode())))
    code, out, _ = run(capsys, monkeypatch, str(FOLDER), "-f", "-", "--json")
    assert json.loads(out)["encoded"][0]["tokens_count"] == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    code, _, err = run(capsys, monkeypatch, str(FOLDER), "-f", "-")
    assert code == 2
    assert "not UTF-8 at byte 0" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no model is named"), ((str(FOLDER), "x", "-f", "y"), "both a TEXT and a file"),
        ((str(FOLDER), "--edit", "sell:x"), "'sell' is not an edit"),
        ((str(FOLDER), "--edit", "remove:no such"), "there is no token"),
        (("./nowhere",), "there is no file nowhere"),
    ],
)  # fmt: skip
def test_usage_errors_are_one_sentence_and_a_hint(
    words: tuple[str, ...], says: str, capsys: Capture, monkeypatch: Patch
) -> None:
    code, out, err = run(capsys, monkeypatch, *words)
    assert code in (2, 4)
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_half_characters_do_not_stop_the_printing(
    capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(FOLDER, folder)
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    whole["added_tokens"].append({**whole["added_tokens"][0], "id": 600, "content": "\ud800"})
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    for more in ((), ("--json",)):
        code, out, _ = run(capsys, monkeypatch, str(folder), "x", "--special", *more)
        assert code == 3
        assert "\\ud800" in out


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: Patch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    with serve() as running:
        point(monkeypatch, running.url, tmp_path / "cache")
        files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
        running.repositories = {"org/name": files, "openai/gpt-oss-120b": files, "org/empty": {"a.txt": b"x"}}
        yield running


def test_a_hub_id_is_fetched_and_a_catalog_name_only_when_asked(
    hub: Hub, capsys: Capture, monkeypatch: Patch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "org/name", "船", "--json")
    assert code == 0
    assert json.loads(out)["encoded"][0]["tokens_count"] == 1
    before = len(hub.log)
    assert run(capsys, monkeypatch, "gpt-oss-120b", "x")[0] == 3
    assert run(capsys, monkeypatch, "org/other", "x", "--offline")[0] == 2
    assert run(capsys, monkeypatch, "gpt-oss-120b", "x", "--fetch", "--offline")[0] == 3
    assert len(hub.log) == before
    assert run(capsys, monkeypatch, "gpt-oss-120b", "船", "--fetch")[0] == 0
    code, _, err = run(capsys, monkeypatch, "org/empty", "x")
    assert code == 4
    assert "has no tokenizer.json" in err
