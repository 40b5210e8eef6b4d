"""Sizes of files in a folder: links followed, broken ones and folders left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.edges.listing import sizes_of
from plimsoll.errors import ReadError


def test_regular_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"12345")
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert sizes_of(tmp_path) == (("a.txt", 5), ("b.txt", 5))


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        sizes_of(tmp_path / "nowhere")
