"""What lies at a path, and what is refused there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from plimsoll.edges import files
from plimsoll.errors import AmbiguousName, NotFound, ReadError


def touch(folder: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_a_gguf_by_name_or_by_its_first_bytes(tmp_path: Path) -> None:
    touch(tmp_path, "a.gguf", "sha256-0123", data=b"GGUF....")
    for name in ("a.gguf", "sha256-0123"):
        found = files.find(tmp_path / name)
        assert (found.kind, found.weights) == ("gguf", (tmp_path / name,))


def test_a_folder_with_one_gguf_and_its_projector(tmp_path: Path) -> None:
    touch(tmp_path, "model.gguf", "mmproj-model-f16.gguf", "README.md")
    assert files.find(tmp_path).weights == (tmp_path / "model.gguf",)


def test_shards_are_one_model_and_several_models_are_asked_about(tmp_path: Path) -> None:
    touch(tmp_path, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    assert files.find(tmp_path).weights == (tmp_path / "m-00001-of-00002.gguf",)
    touch(tmp_path, "other.gguf")
    with pytest.raises(AmbiguousName) as caught:
        files.find(tmp_path)
    assert [Path(n).name for n in caught.value.nearest] == ["m-00001-of-00002.gguf", "other.gguf"]


def test_a_checkpoint_folder_its_index_or_any_shard(tmp_path: Path) -> None:
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    touch(tmp_path, "config.json", *shards)
    assert [w.name for w in files.find(tmp_path).weights] == shards
    touch(tmp_path, files.INDEX)
    for path in (tmp_path, tmp_path / files.INDEX, tmp_path / shards[1]):
        found = files.find(path)
        assert (found.kind, found.index, found.weights) == ("checkpoint", tmp_path / files.INDEX, ())


def test_a_missing_shard_is_looked_for_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "config.json", "model-00001-of-00003.safetensors")
    names = [w.name for w in files.find(tmp_path).weights]
    assert names == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    with pytest.raises(NotFound, match="model-00002-of-00003") as caught:
        files.FileSource(tmp_path / names[1])
    assert "shard" in caught.value.hint


def test_the_whole_file_is_preferred_to_a_duplicate_in_another_format(tmp_path: Path) -> None:
    touch(tmp_path, "config.json", "model.safetensors", "consolidated.safetensors", "pytorch_model.bin")
    assert [w.name for w in files.find(tmp_path).weights] == ["model.safetensors"]


def test_links_are_followed_and_broken_or_circular_ones_refused(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "abc"
    touch(tmp_path, "blobs/abc", data=b"GGUF")
    link = tmp_path / "model.gguf"
    link.symlink_to(blob)
    assert files.find(link).kind == "gguf"
    with files.FileSource(link) as source:
        assert source.read(0, 4) == b"GGUF"
    blob.unlink()
    with pytest.raises(NotFound, match="broken link"):
        files.find(link)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ReadError):
        files.find(tmp_path / "a")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "x.pkl"])
def test_pickles_are_never_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    touch(tmp_path, name, "config.json")
    path.chmod(0)
    for reference in (path, tmp_path):
        with pytest.raises(ReadError, match="never opened") as caught:
            files.find(reference)
        assert "safetensors" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    began = time.perf_counter()
    with pytest.raises(ReadError):
        files.find(tmp_path / "model.gguf")
    with pytest.raises(ReadError, match="regular file"):
        files.FileSource(tmp_path / "model.gguf")
    assert time.perf_counter() - began < 10  # a hang would last for ever


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        files.find(tmp_path / "absent")
    with pytest.raises(ReadError, match="no model"):
        files.find(tmp_path)
    touch(tmp_path, "notes.txt")
    with pytest.raises(ReadError, match="not a file that holds a model"):
        files.find(tmp_path / "notes.txt")
    with pytest.raises(ReadError):
        files.find(Path("a\0b"))
    with pytest.raises(ReadError):
        files.find(Path("x" * 5000))
    touch(tmp_path / "w", "model.safetensors")
    with pytest.raises(NotFound, match=r"config\.json"):
        files.find(tmp_path / "w" / "model.safetensors")


def test_a_file_too_large_to_read_whole_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    began = time.perf_counter()
    with pytest.raises(ReadError, match="1073741824 bytes"):
        files.read_bytes(path, 8 << 20)
    assert time.perf_counter() - began < 10  # a hang would last for ever


def test_a_disk_that_fails_names_file_and_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.gguf", data=b"GGUF")

    def broken(*_: int) -> bytes:
        raise OSError(5, "Input/output error")

    with files.FileSource(tmp_path / "a.gguf") as source:
        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(ReadError, match=r"a\.gguf at byte 4: Input/output error"):
            source.read(4, 1)
