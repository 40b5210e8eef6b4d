from pathlib import Path

import pytest

from plimsoll.edges.paths import is_path


def test_what_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt-oss-120b").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert is_path("gpt-oss-120b")
    assert is_path("dangling")
    assert not is_path("gpt-oss-20b")


@pytest.mark.parametrize("text", ["./x.gguf", "../x", "/no/such", "~/no/such", "C:\\x.gguf", ".\\x"])
def test_what_can_only_be_a_path_is_one(text: str) -> None:
    assert is_path(text)


@pytest.mark.parametrize(
    "text", ["Qwen/Qwen3-30B-A3B", "https://host/x.gguf", "a\0b", "x" * 5000, "repo:Q4_K_M"]
)
def test_names_and_addresses_are_no_paths(text: str) -> None:
    assert not is_path(text)
