"""The hub, played by a server on this machine: headers by range, small files cached, faults worded."""

from __future__ import annotations

import builtins
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plimsoll.edges import hub as edge
from plimsoll.errors import (
    AccessDenied,
    AmbiguousName,
    NotFound,
    RateLimited,
    ReachError,
    ReadError,
    Unreachable,
)  # fmt: skip
from tests.edges.hub_server import SHA, Hub, serve

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve() as running:
        point(monkeypatch, running.url, tmp_path / "cache")
        yield running


def point(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Let the library talk to `url` and keep its files in `cache`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setenv("HF_TOKEN", "")


def test_names() -> None:
    name = edge.HubName
    assert edge.parse_name("Qwen/Qwen3-8B") == name(id="Qwen/Qwen3-8B")
    assert edge.parse_name("Qwen/Qwen3-8B@main") == name(id="Qwen/Qwen3-8B", revision="main")
    assert edge.parse_name("a/b:Q4_K_M") == name(id="a/b", pick="Q4_K_M")
    assert edge.parse_name("a/b@v1:sub/x.gguf") == name(id="a/b", revision="v1", pick="sub/x.gguf")
    assert edge.parse_name("https://huggingface.co/a/b") == name(id="a/b")
    assert edge.parse_name("hf.co/a/b:Q8_0") == name(id="a/b", pick="Q8_0")
    assert edge.parse_name("https://huggingface.co/a/b/tree/v1") == name(id="a/b", revision="v1")
    found = edge.parse_name("https://huggingface.co/a/b/blob/main/x.gguf?download=true")
    assert found == name(id="a/b", revision="main", pick="x.gguf")
    for bad in (
        "llama",
        "a/b/c",
        "../etc",
        "a/..",
        "a b/c",
        "",
        "a/b:../x",
        "http://example.com/a/b",
        "-a/b",
    ):
        assert edge.parse_name(bad) is None, bad


def test_a_repository_and_its_files(hub: Hub) -> None:
    hub.repositories["org/m"] = {"config.json": b'{"a": 1}', "model.safetensors": bytes(1 << 20)}
    repository = edge.open_repository(edge.HubName(id="org/m"))
    assert repository.revision == SHA
    assert repository.files == {"config.json": 8, "model.safetensors": 1 << 20}
    assert edge.small_file(repository, "config.json", 100) == b'{"a": 1}'
    source = edge.source(repository, "model.safetensors")
    assert source.read(0, 8) == bytes(8)
    assert all(verb in ("GET", "HEAD") for verb, _, _ in hub.log)
    assert hub.sent_bytes < 600_000


def test_a_small_file_is_cached_and_asked_for_once(hub: Hub) -> None:
    hub.repositories["org/m"] = {"config.json": b"{}"}
    repository = edge.open_repository(edge.HubName(id="org/m"))
    for _ in range(2):
        edge.small_file(repository, "config.json", 100)
    assert len([p for p in hub.paths() if p.endswith("config.json")]) == 1


def test_a_config_that_is_too_large_is_not_fetched(hub: Hub) -> None:
    hub.repositories["org/m"] = {"config.json": bytes(3 << 20)}
    repository = edge.open_repository(edge.HubName(id="org/m"))
    with pytest.raises(ReadError, match="3145728 bytes"):
        edge.small_file(repository, "config.json", 1 << 20)
    assert not any("resolve" in p for p in hub.paths())


def test_a_partial_download_does_not_poison_the_cache(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library waits between its own attempts
    text = json.dumps({"a": "x" * 5000}).encode()
    hub.repositories["org/m"] = {"config.json": text}
    repository = edge.open_repository(edge.HubName(id="org/m"))
    hub.drops_after, hub.drops_left = 100, 99
    with pytest.raises(ReachError):
        edge.small_file(repository, "config.json", 1 << 20)
    assert not list((tmp_path / "cache").rglob("snapshots/*/config.json"))
    hub.drops_left = 0
    assert edge.small_file(repository, "config.json", 1 << 20) == text


def _open(id: str, revision: str = "") -> edge.Repository:
    return edge.open_repository(edge.HubName(id=id, revision=revision))


@pytest.mark.parametrize(
    ("ask", "status", "error", "says"),
    [
        (lambda: _open("org/absent"), 0, NotFound, "org/absent"),
        (lambda: _open("org/gated"), 0, AccessDenied, "gated"),
        (lambda: _open("org/m", "v9"), 0, NotFound, "v9"),
        (lambda: _open("org/m"), 429, RateLimited, "slow down"),
        (lambda: _open("org/m"), 503, Unreachable, "503"),
        (lambda: edge.small_file(_open("org/m"), "absent.json", 9), 0, NotFound, "absent.json"),
        (lambda: edge.source(_open("org/m"), "absent.gguf"), 0, NotFound, "absent.gguf"),
    ],
)  # fmt: skip
def test_faults_are_one_sentence_with_exit_code_4(
    hub: Hub, ask: Callable[[], Any], status: int, error: type[ReachError], says: str
) -> None:
    hub.repositories = {"org/m": {"config.json": b"{}"}, "org/gated": {"config.json": b"{}"}}
    hub.gated, hub.status = {"org/gated"}, status
    with pytest.raises(error, match=says) as caught:
        ask()
    assert type(caught.value) is error
    assert caught.value.exit_code == 4
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200


def test_the_network_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    point(monkeypatch, address, tmp_path)
    with pytest.raises(Unreachable) as caught:
        _open("org/m")
    assert "network" in caught.value.hint


def test_offline_mode_is_respected(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.repositories["org/m"] = {"config.json": b"{}"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE") as caught:
        _open("org/m")
    assert caught.value.hint == "unset HF_HUB_OFFLINE"
    assert hub.log == []


def test_the_token_is_sent_to_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/gated"] = {"m.gguf": b"GGUF" + bytes(1000)}
    hub.gated = {"org/gated"}
    monkeypatch.setenv("HF_TOKEN", "good")
    edge.source(_open("org/gated"), "m.gguf")
    assert {h.get("Authorization") for _, _, h in hub.log} == {"Bearer good"}


def test_without_the_library_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReachError) as caught:
        _open("org/m")
    assert caught.value.hint == "pip install 'plimsoll-llm[hub]'"


FILES = {
    f: 1
    for f in (
        "x-Q4_K_M.gguf", "x-Q8_0-00001-of-00002.gguf", "x-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf",
        "BF16/x-BF16-00001-of-00002.gguf", "BF16/x-BF16-00002-of-00002.gguf", "x-UD-Q4_K_M.gguf", "README.md",
    )
}  # fmt: skip


def test_picking_a_gguf() -> None:
    repository = edge.Repository(id="o/r", revision="x", files=FILES)
    assert edge.pick_gguf(repository, "q8_0") == "x-Q8_0-00001-of-00002.gguf"
    assert edge.pick_gguf(repository, "BF16") == "BF16/x-BF16-00001-of-00002.gguf"
    assert edge.pick_gguf(repository, "UD-Q4_K_M") == "x-UD-Q4_K_M.gguf"
    assert edge.pick_gguf(repository, "x-Q8_0-00002-of-00002.gguf") == "x-Q8_0-00002-of-00002.gguf"
    with pytest.raises(NotFound) as missing:
        edge.pick_gguf(repository, "Q2_K")
    assert "x-Q4_K_M.gguf" in missing.value.hint
    for pick in ("", "Q4_K_M"):
        with pytest.raises(AmbiguousName) as several:
            edge.pick_gguf(repository, pick)
        assert "o/r:x-Q4_K_M.gguf" in several.value.nearest
    only = edge.Repository(id="o/r", revision="x", files={"x-Q4_K_M.gguf": 1, "mmproj.gguf": 1})
    assert edge.pick_gguf(only, "") == "x-Q4_K_M.gguf"


def test_names_of_files_that_lead_elsewhere_are_dropped(hub: Hub) -> None:
    hub.repositories["org/m"] = {"config.json": b"{}", "../../x.safetensors": b"", "/etc/x.gguf": b""}
    assert set(_open("org/m").files) == {"config.json"}
