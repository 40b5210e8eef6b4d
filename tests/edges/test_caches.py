"""Models in the caches of other programs: made-up trees, laid out as those programs do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plimsoll.edges import caches

DIGEST = "a" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "OLLAMA_MODELS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ollama(root: Path, *parts: str, digest: str = f"sha256:{DIGEST}") -> None:
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "b" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest},
    ]
    put(root.joinpath("manifests", *parts), json.dumps({"schemaVersion": 2, "layers": layers}))


def test_nothing_anywhere(home: Path) -> None:
    assert caches.find("qwen3") == ()
    assert caches.find("") == ()


def test_huggingface_takes_the_commit_of_main(home: Path) -> None:
    repo = home / ".cache/huggingface/hub/models--Qwen--Qwen3-0.6B"
    for commit in ("1" * 40, "2" * 40, "3" * 40):
        put(repo / "snapshots" / commit / "config.json")
    put(repo / "refs/main", "2" * 40)
    for name in ("Qwen/Qwen3-0.6B", "qwen/qwen3-0.6b", "qwen3 0.6b"):
        (found,) = caches.find(name)
        assert (found.cache, found.revision, found.path.name) == ("huggingface", "2" * 40, "2" * 40)
    assert caches.find("Qwen3") == ()


@pytest.mark.parametrize(("variable", "below"), [("HF_HUB_CACHE", ""), ("HF_HOME", "hub")])
def test_huggingface_folders_by_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, below: str
) -> None:
    monkeypatch.setenv(variable, str(home / "elsewhere"))
    put(home / "elsewhere" / below / "models--a--b" / "snapshots" / ("c" * 40) / "config.json")
    assert len(caches.find("a/b")) == 1


def test_ollama_manifests_lead_to_blobs(home: Path) -> None:
    root = home / ".ollama/models"
    ollama(root, "registry.ollama.ai", "library", "qwen3", "30b")
    ollama(root, "registry.ollama.ai", "library", "llama3.3", "latest")
    ollama(root, "hf.co", "unsloth", "Qwen3-8B-GGUF", "Q4_K_M")
    (found,) = caches.find("qwen3:30b")
    assert found.path == root / "blobs" / f"sha256-{DIGEST}"
    assert caches.find("qwen3") == ()
    assert len(caches.find("llama3.3")) == len(caches.find("llama3.3:latest")) == 1
    assert len(caches.find("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M")) == 1


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "", "md5:1", 7])
def test_a_manifest_cannot_lead_elsewhere(home: Path, digest: str) -> None:
    ollama(home / ".ollama/models", "registry.ollama.ai", "library", "evil", "latest", digest=digest)
    assert caches.find("evil") == ()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"layers": 3}', '{"layers": [3]}', "[" * 100_000])
def test_a_broken_manifest_is_no_model(home: Path, text: str) -> None:
    put(home / ".ollama/models/manifests/registry.ollama.ai/library/broken/latest", text)
    assert caches.find("broken") == ()


def test_ollama_models_by_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "big-disk"))
    ollama(home / "big-disk", "registry.ollama.ai", "library", "gpt-oss", "120b")
    assert len(caches.find("gpt-oss:120b")) == 1


def test_lmstudio_files_and_mlx_folders(home: Path) -> None:
    root = home / ".lmstudio/models"
    put(root / "bartowski/Qwen_Qwen3-8B-GGUF/Qwen_Qwen3-8B-Q4_K_M.gguf")
    put(root / "bartowski/Qwen_Qwen3-8B-GGUF/mmproj-f16.gguf")
    put(root / "mlx-community/Qwen3-8B-4bit/config.json")
    for i in range(1, 13):
        put(root / f"unsloth/Big-GGUF/Big-{i:05d}-of-00012.gguf")
    (file,) = caches.find("Qwen_Qwen3-8B-Q4_K_M.gguf")
    assert file.path.name == "Qwen_Qwen3-8B-Q4_K_M.gguf"
    assert caches.find("bartowski/Qwen_Qwen3-8B-GGUF") == (file,)
    (folder,) = caches.find("mlx-community/Qwen3-8B-4bit")
    assert folder.path.is_dir()
    (first,) = caches.find("unsloth/Big-GGUF/Big-00001-of-00012")
    assert first.path.name == "Big-00001-of-00012.gguf"
    assert [c.path.name for c in caches.everything() if "Big-0" in c.path.name] == ["Big-00001-of-00012.gguf"]


def test_a_cache_that_is_closed_to_us_holds_nothing(home: Path) -> None:
    put(home / ".lmstudio/models/a/b/c.gguf")
    put(home / ".ollama/models/manifests", "a file, not a folder")
    put(home / ".cache/huggingface/hub", "a file, not a folder")
    assert [c.cache for c in caches.everything()] == ["lmstudio"]
