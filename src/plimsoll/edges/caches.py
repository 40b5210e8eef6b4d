"""Models that other programs already downloaded: Hugging Face, Ollama, LM Studio."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LARGEST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model in a cache: `names` are what a person may call it, the first is its full name."""

    cache: Literal["huggingface", "ollama", "lmstudio"]
    names: tuple[str, ...]
    path: Path
    revision: str = ""


def find(name: str) -> tuple[Candidate, ...]:
    """The cached models called `name`, whatever the case and the punctuation."""
    wanted = _plain(name)
    if not wanted:
        return ()
    return tuple(c for c in everything() if any(_plain(n) == wanted for n in c.names))


def everything() -> Iterator[Candidate]:
    """All cached models of all caches."""
    yield from _huggingface(huggingface_folder())
    for folder in ollama_folders():
        yield from _ollama(folder)
    for folder in lmstudio_folders():
        yield from _lmstudio(folder)


def huggingface_folder() -> Path:
    """Where huggingface_hub keeps models: HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub."""
    direct = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if direct:
        return Path(direct).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def ollama_folders() -> tuple[Path, ...]:
    """OLLAMA_MODELS, or where Ollama stores models for a user and as a Linux service."""
    direct = os.environ.get("OLLAMA_MODELS")
    if direct:
        return (Path(direct).expanduser(),)
    return (Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models"))


def lmstudio_folders() -> tuple[Path, ...]:
    """LM Studio's model folder, now and before 0.3."""
    return (Path("~/.lmstudio/models").expanduser(), Path("~/.cache/lm-studio/models").expanduser())


def _huggingface(folder: Path) -> Iterator[Candidate]:
    """models--org--name/snapshots/<commit>, the commit that refs/main names first."""
    for repo in _folders(folder):
        if not repo.name.startswith("models--"):
            continue
        commit = _text(repo / "refs" / "main", 100).strip()
        snapshots = _folders(repo / "snapshots")
        chosen = next((s for s in snapshots if s.name == commit), snapshots[-1] if snapshots else None)
        if chosen is not None:
            full = repo.name.removeprefix("models--").replace("--", "/")
            yield Candidate(
                cache="huggingface", names=(full, full.rsplit("/", 1)[-1]), path=chosen, revision=chosen.name
            )


def _ollama(folder: Path) -> Iterator[Candidate]:
    """manifests/<host>/<owner>/<model>/<tag>: a JSON whose model layer names a blob, a GGUF."""
    root = folder / "manifests"
    for host in _folders(root):
        for owner in _folders(host):
            for model in _folders(owner):
                for tag in _files(model):
                    blob = _model_blob(tag)
                    if blob:
                        names = _ollama_names(host.name, owner.name, model.name, tag.name)
                        yield Candidate(cache="ollama", names=names, path=folder / "blobs" / f"sha256-{blob}")


def _ollama_names(host: str, owner: str, model: str, tag: str) -> tuple[str, ...]:
    short = model if owner == "library" else f"{owner}/{model}"
    names = [f"{short}:{tag}", f"{host}/{owner}/{model}:{tag}"]
    if tag == "latest":
        names.append(short)
    return tuple(names)


def _model_blob(manifest: Path) -> str:
    """The digest of the layer that is the model, or ''."""
    try:
        layers = json.loads(_text(manifest, _LARGEST_MANIFEST) or "{}")["layers"]
        for layer in layers:
            if layer["mediaType"] == "application/vnd.ollama.image.model":
                match = _DIGEST.fullmatch(layer["digest"])
                return match[1] if match else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return ""


def _lmstudio(folder: Path) -> Iterator[Candidate]:
    """<publisher>/<repository>/ with .gguf files, or an MLX checkpoint."""
    for publisher in _folders(folder):
        for repo in _folders(publisher):
            full = f"{publisher.name}/{repo.name}"
            files = _files(repo)
            ggufs = [
                f for f in files if f.suffix.lower() == ".gguf" and not f.name.lower().startswith("mmproj")
            ]
            for file in ggufs:
                shard = re.search(r"-(\d{5})-of-\d{5}", file.name)
                if shard and shard[1] != "00001":
                    continue
                names = [f"{full}/{file.name}", file.name, file.stem]
                if len(ggufs) == 1:
                    names += [full, repo.name]
                yield Candidate(cache="lmstudio", names=tuple(names), path=file)
            if not ggufs and any(f.name == "config.json" for f in files):
                yield Candidate(cache="lmstudio", names=(full, repo.name), path=repo)


def _folders(folder: Path) -> list[Path]:
    return [p for p in _entries(folder) if p.is_dir()]


def _files(folder: Path) -> list[Path]:
    return [p for p in _entries(folder) if p.is_file()]


def _entries(folder: Path) -> list[Path]:
    """What can be listed; a cache that is absent or closed to us holds nothing."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path, most_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9/:]", "", name.lower().removesuffix(".gguf"))
