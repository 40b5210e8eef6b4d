"""From a path, a cache or the hub to a Model, end to end."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask import files
from plimsoll.domain.model import TensorSpec
from plimsoll.errors import (
    AmbiguousName,
    MalformedConfig,
    MalformedGguf,
    NotFound,
    ReachError,
    ReadError,
    UnknownModel,
)
from plimsoll.parse.config import model_from_config
from tests.edges import hub_server
from tests.edges.hub_server import SHA, Hub
from tests.edges.test_hub import point
from tests.parse import gguf_bytes as make

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100, "torch_dtype": "bfloat16",
}  # fmt: skip
CODES = {"bf16": "BF16", "f32": "F32"}


def safetensors(tensors: list[TensorSpec]) -> bytes:
    """A file with these tensors, all zero."""
    header, at = {}, 0
    for t in tensors:
        header[t.name] = {"dtype": CODES[t.format], "shape": t.shape, "data_offsets": [at, at + t.size_bytes]}
        at += t.size_bytes
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(at)


def checkpoint(shards_count: int = 1) -> dict[str, bytes]:
    """The files of a small Llama."""
    tensors = list(model_from_config(LLAMA, id="x").tensors)
    found = {"config.json": json.dumps(LLAMA).encode(), "tokenizer.json": b"{}"}
    if shards_count == 1:
        return found | {"model.safetensors": safetensors(tensors)}
    weight_map = {}
    for i in range(shards_count):
        name = f"model-{i + 1:05d}-of-{shards_count:05d}.safetensors"
        part = tensors[i::shards_count]
        found[name] = safetensors(part)
        weight_map |= {t.name: name for t in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    return found | {"model.safetensors.index.json": json.dumps(index).encode()}


def split_gguf() -> dict[str, bytes]:
    """The small GGUF Llama in two shards."""
    whole = {
        "token_embd.weight": (64, 8), "output_norm.weight": (64,), "blk.0.attn_norm.weight": (64,),
        "blk.0.attn_q.weight": (64, 64), "blk.0.ffn_down.weight": (128, 64),
    }  # fmt: skip
    names = list(whole)
    found = {}
    for number, part in enumerate((names[:2], names[2:])):
        keys = {"split.no": ("u16", number), "split.count": ("u16", 2), "split.tensors.count": ("i32", 5)}
        data = make.model((make.LLAMA if number == 0 else {}) | keys, {n: whole[n] for n in part})
        found[f"m-{number + 1:05d}-of-00002.gguf"] = data
    return found


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    with hub_server.serve() as running:
        point(monkeypatch, running.url, tmp_path / "hub-cache")
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_a_path_and_what_is_not(tmp_path: Path) -> None:
    put(tmp_path, {"a.gguf": b""})
    for path in (
        str(tmp_path),
        str(tmp_path / "a.gguf"),
        "./absent.gguf",
        "../x",
        "/absent/y",
        "~/z",
        "C:\\m.gguf",
    ):
        assert files.is_local(path), path
    for name in ("gpt-oss-120b", "Qwen/Qwen3-8B", "https://x.org/a.gguf", "qwen3:30b"):
        assert not files.is_local(name), name
    assert files.is_remote("Qwen/Qwen3-8B")
    assert not files.is_remote("gpt-oss-120b")


@pytest.mark.parametrize("shards_count", [1, 3])
def test_a_folder_with_a_checkpoint(tmp_path: Path, shards_count: int) -> None:
    folder = put(tmp_path / "my-llama", checkpoint(shards_count))
    found = files.load_local(str(folder))
    plain = model_from_config(LLAMA, id="x")
    assert sorted(t.name for t in found.tensors) == sorted(t.name for t in plain.tensors)
    assert found.layers == plain.layers
    assert (found.id, found.naming) == ("my-llama", "hf")
    assert str(folder) in found.origins["tensors"].where or shards_count == 1


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", checkpoint(3))
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ReadError, match=r"model-00002-of-00003\.safetensors is missing"):
        files.load_local(str(folder))
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ReadError, match=r"model-00002-of-00003\.safetensors is missing"):
        files.load_local(str(folder))


@pytest.mark.parametrize("start", ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", ""])
def test_a_split_gguf_from_any_shard_or_its_folder(tmp_path: Path, start: str) -> None:
    folder = put(tmp_path / "m", split_gguf() | {"mmproj-m.gguf": b"GGUF"})
    assert len(files.load_local(str(folder / start)).tensors) == 5


def test_a_missing_gguf_shard_is_named(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", split_gguf())
    (folder / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(
        MalformedGguf, match=r"m-00001-of-00002.gguf: the shard m-00002-of-00002.gguf is missing"
    ):
        files.load_local(str(folder / "m-00001-of-00002.gguf"))


def test_a_config_alone_says_so(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", {"config.json": json.dumps(LLAMA).encode()})
    assert "no weights" in files.load_local(str(folder)).notes[-1]


def test_a_model_is_named_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "small", checkpoint())
    monkeypatch.chdir(folder)
    names = [".", "config.json", "../small", str(folder), "model.safetensors"]
    assert [files.load_local(n).id for n in names] == ["small"] * 4 + ["model.safetensors"]


def test_weights_without_their_config(tmp_path: Path) -> None:
    given = checkpoint()
    del given["config.json"]
    with pytest.raises(NotFound, match=r"no config\.json beside the weights"):
        files.load_local(str(put(tmp_path / "x", given)))


def test_a_projector_alone_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="vision part"):
        files.load_local(str(put(tmp_path / "x", {"mmproj-f16.gguf": b"GGUF"})))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (bytes(99), "empty"),
    ],
)
def test_what_was_downloaded_in_place_of_a_gguf(tmp_path: Path, start: bytes, said: str) -> None:
    with pytest.raises(MalformedGguf) as caught:
        files.load_local(str(put(tmp_path, {"a.gguf": start}) / "a.gguf"))
    assert said in caught.value.hint


def test_a_config_that_contradicts_its_weights(tmp_path: Path) -> None:
    folder = put(
        tmp_path / "m", checkpoint() | {"config.json": json.dumps(LLAMA | {"vocab_size": 7}).encode()}
    )
    with pytest.raises(MalformedConfig, match=r"config\.json.*vocab_size.*model\.safetensors"):
        files.load_local(str(folder))


HOSTILE_CONFIGS = {
    "deep": b'{"a":' * 100_000, "NaN": b'{"model_type":"llama","hidden_size":NaN}', "empty": b"",
    "list": b"[]",
    "negative": json.dumps({**LLAMA, "num_hidden_layers": -1}).encode(),
    "2^60 layers": json.dumps({**LLAMA, "num_hidden_layers": 2**60}).encode(),
    "10^6 layers": json.dumps({**LLAMA, "num_hidden_layers": 10**6}).encode(),
    "text": json.dumps({**LLAMA, "hidden_size": "many"}).encode(),
    "no model_type": b"{}", "model_type is a list": b'{"model_type": []}',
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE_CONFIGS)
def test_hostile_configs_end_in_a_typed_error_at_once(tmp_path: Path, case: str) -> None:
    folder = put(tmp_path / "m", checkpoint() | {"config.json": HOSTILE_CONFIGS[case]})
    began = time.process_time()
    with pytest.raises(ReadError, match=r"config\.json"):
        files.load_local(str(folder))
    assert time.process_time() - began < 0.2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_whole_process_stays_below_100_mb_on_a_gigabyte_of_json(tmp_path: Path) -> None:
    """Measured in a child: what reading adds to the interpreter with the package loaded."""
    folder = put(tmp_path / "m", checkpoint())
    with (folder / "config.json").open("wb") as file:
        file.truncate(1 << 30)
    code = (
        "import re, sys; from plimsoll.ask import files; from plimsoll.errors import ReadError\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = peak()\n"
        "try: files.load_local(sys.argv[1])\n"
        "except ReadError as e: print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000


def test_caches(home: Path) -> None:
    put(home / ".cache/huggingface/hub/models--org--tiny/snapshots" / SHA, checkpoint(2))
    put(home / ".cache/huggingface/hub/models--org--half/snapshots" / SHA, {"config.json": b"{}"})
    put(home / ".lmstudio/models/pub/repo-GGUF", {"tiny-Q8_0.gguf": make.llama()})
    found = files.load_cached("org/tiny")
    assert found is not None
    assert (found.id, found.revision) == ("org/tiny", SHA)
    assert files.load_cached("tiny-Q8_0.gguf") is not None
    assert files.load_cached(f"org/tiny@{SHA[:7]}") is not None
    for absent in ("org/tiny@abc", "org/half", "nothing"):
        assert files.load_cached(absent) is None
    put(home / ".cache/lm-studio/models/pub/repo-GGUF", {"tiny-Q8_0.gguf": make.llama()})
    with pytest.raises(AmbiguousName):
        files.load_cached("tiny-Q8_0.gguf")


def test_an_incomplete_snapshot_is_no_model(home: Path) -> None:
    folder = put(home / ".cache/huggingface/hub/models--org--tiny/snapshots" / SHA, checkpoint(2))
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert files.load_cached("org/tiny") is None


def test_ollama(home: Path) -> None:
    digest = "c" * 64
    root = home / ".ollama/models"
    put(root / "blobs", {f"sha256-{digest}": make.llama()})
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    put(
        root / "manifests/registry.ollama.ai/library/tiny",
        {"latest": json.dumps({"layers": [layer]}).encode()},
    )
    found = files.load_cached("tiny")
    assert found is not None
    assert (found.id, found.architecture) == ("tiny:latest", "llama")


@pytest.mark.parametrize("shards_count", [1, 3])
def test_the_hub_reads_headers_only(hub: Hub, shards_count: int) -> None:
    contents = checkpoint(shards_count)
    name = "model.safetensors" if shards_count == 1 else "model-00001-of-00003.safetensors"
    hub.repositories["org/m"] = contents
    found = files.load_remote("org/m")
    assert (found.id, found.revision) == ("org/m", SHA)
    assert f"org/m@{SHA[:12]}" in found.origins["config"].where
    assert len(found.tensors) == len(model_from_config(LLAMA, id="x").tensors)
    ranged = [h.get("Range") for _, p, h in hub.log if p.endswith(name)]
    assert ranged
    assert None not in ranged


def test_large_weights_on_the_hub_are_not_downloaded(hub: Hub) -> None:
    big = {**LLAMA, "vocab_size": 200_000}
    tensors = list(model_from_config(big, id="x").tensors)
    hub.repositories["org/m"] = {
        "config.json": json.dumps(big).encode(),
        "model.safetensors": safetensors(tensors),
    }
    assert len(hub.repositories["org/m"]["model.safetensors"]) > 50_000_000
    files.load_remote("org/m")
    assert hub.sent_bytes < 600_000


def test_ggufs_on_the_hub(hub: Hub) -> None:
    hub.repositories["org/m-GGUF"] = split_gguf() | {"m-Q8_0.gguf": make.llama(), "mmproj.gguf": b"GGUF"}
    assert len(files.load_remote("org/m-GGUF:Q8_0").tensors) == 12
    assert len(files.load_remote("org/m-GGUF:m-00002-of-00002.gguf").tensors) == 5
    with pytest.raises(AmbiguousName):
        files.load_remote("org/m-GGUF")
    del hub.repositories["org/m-GGUF"]["m-00002-of-00002.gguf"]
    with pytest.raises(MalformedGguf, match=r"the shard m-00002-of-00002\.gguf is missing"):
        files.load_remote("org/m-GGUF:m-00001-of-00002.gguf")


def test_repositories_of_pickles_are_refused(hub: Hub) -> None:
    hub.repositories["org/m"] = {"config.json": json.dumps(LLAMA).encode(), "pytorch_model.bin": b"\x80\x04"}
    with pytest.raises(ReadError, match="never opened"):
        files.load_remote("org/m")
    assert not any("pytorch_model" in p for p in hub.paths())


def test_a_gguf_at_an_address(hub: Hub) -> None:
    hub.repositories["org/m"] = {"x.gguf": make.llama(), **split_gguf()}
    at = f"{hub.url}/org/m/resolve/main"
    assert len(files.load_remote(f"{at}/x.gguf?download=true").tensors) == 12
    assert len(files.load_remote(f"{at}/m-00001-of-00002.gguf").tensors) == 5
    with pytest.raises(NotFound):
        files.load_remote(f"{at}/y.gguf")
    with pytest.raises(UnknownModel):
        files.load_remote(f"{at}/x.zip")


@pytest.mark.parametrize("shards_count", [1, 3])
def test_a_checkpoint_at_an_address(hub: Hub, shards_count: int) -> None:
    hub.repositories["org/m"] = checkpoint(shards_count)
    name = "model.safetensors" if shards_count == 1 else "model-00002-of-00003.safetensors"
    found = files.load_remote(f"{hub.url}/org/m/resolve/main/{name}")
    assert len(found.tensors) == len(model_from_config(LLAMA, id="x").tensors)
    del hub.repositories["org/m"]["config.json"]
    with pytest.raises(NotFound):
        files.load_remote(f"{hub.url}/org/m/resolve/main/{name}")


def test_the_network_is_touched_only_when_allowed(hub: Hub) -> None:
    hub.repositories["org/m"] = checkpoint()
    assert files.load("org/m") is None
    assert hub.log == []
    found = files.load("org/m", allow_network=True)
    assert found is not None
    assert files.load("gpt-oss-120b", allow_network=True) is None


def test_a_gated_repository(hub: Hub) -> None:
    hub.repositories["org/m"], hub.gated = checkpoint(), {"org/m"}
    with pytest.raises(ReachError) as caught:
        files.load_remote("org/m")
    assert caught.value.exit_code == 4
