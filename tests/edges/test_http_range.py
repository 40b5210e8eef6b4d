"""Range requests: header bytes arrive, weights do not, and every fault is one typed error."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from plimsoll.edges.http_range import RangeSource
from plimsoll.errors import AccessDenied, NotFound, RateLimited, ReachError, Unreachable
from tests.edges.hub_server import Hub, serve

DATA = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        running.repositories["org/m"] = {"m.gguf": DATA}
        yield running


def url(hub: Hub) -> str:
    return f"{hub.url}/org/m/resolve/main/m.gguf"


def test_reads_parts_and_knows_the_size(hub: Hub) -> None:
    source = RangeSource(url(hub))
    assert (source.name, source.size_bytes) == ("m.gguf", len(DATA))
    assert source.read(10, 20) == DATA[10:30]
    assert source.read(3_000_000, 1000) == DATA[3_000_000:3_001_000]
    assert source.read(len(DATA) - 5, 100) == DATA[-5:]
    assert source.read(len(DATA) + 5, 100) == b""
    assert hub.sent_bytes < 300_000
    assert source.requests_count == 3


def test_a_server_without_ranges_is_refused_not_downloaded(hub: Hub) -> None:
    hub.ignores_ranges = True
    hub.repositories["org/m"]["m.gguf"] = bytes(200 << 20)
    with pytest.raises(ReachError, match="does not serve parts"):
        RangeSource(url(hub))
    assert hub.sent_bytes < 50 << 20  # what the socket buffers took before we hung up, at most
    assert len(hub.log) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AccessDenied), (403, AccessDenied), (404, NotFound), (410, NotFound), (429, RateLimited),
     (500, Unreachable), (503, Unreachable)],
)  # fmt: skip
def test_each_status_is_one_sentence_and_a_hint(hub: Hub, status: int, error: type[ReachError]) -> None:
    hub.status = status
    with pytest.raises(error) as caught:
        RangeSource(url(hub))
    assert type(caught.value) is error
    assert caught.value.exit_code == 4
    assert "127.0.0.1" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_the_wait_of_a_rate_limit_is_told(hub: Hub) -> None:
    hub.status = 429
    with pytest.raises(RateLimited) as caught:
        RangeSource(url(hub))
    assert "7 s" in caught.value.hint


def test_a_dropped_connection_is_tried_once_more(hub: Hub) -> None:
    hub.drops_after, hub.drops_left = 1000, 1
    assert RangeSource(url(hub)).read(0, 100) == DATA[:100]
    hub.drops_left = 2
    with pytest.raises(Unreachable, match="1000 of"):
        RangeSource(url(hub))


def test_a_file_that_changes_while_it_is_read_is_refused(hub: Hub) -> None:
    source = RangeSource(url(hub))
    hub.repositories["org/m"]["m.gguf"] = DATA[:-1]
    with pytest.raises(ReachError, match="changed"):
        source.read(1_000_000, 10)


def test_redirects_are_followed_and_tokens_stay_at_home(hub: Hub) -> None:
    with serve() as cdn:
        cdn.repositories = hub.repositories
        hub.redirects_to = cdn.url
        source = RangeSource(url(hub), headers={"Authorization": "Bearer secret"})
        assert source.read(5, 5) == DATA[5:10]
        assert hub.log[0][2]["Authorization"] == "Bearer secret"
        assert cdn.log[0][2]["Range"].startswith("bytes=0-")
        assert "Authorization" not in cdn.log[0][2]


@pytest.mark.parametrize("target", ["file:///etc", "ftp://127.0.0.1"])
def test_redirects_elsewhere_are_refused(hub: Hub, target: str) -> None:
    hub.redirects_to = target
    with pytest.raises(Unreachable):
        RangeSource(url(hub))


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="could not be reached"):
        RangeSource(f"http://127.0.0.1:{port}/x.gguf")


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(Unreachable) as caught:
        RangeSource("http://no-such-host.invalid/x.gguf")
    assert caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/x\r\nContent-Length: 10\r\n\r\n0123456789",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 5-9/100\r\nContent-Length: 5\r\n\r\n01234",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-99999999999/100\r\n\r\n01234",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/100\r\nContent-Length: 3\r\n\r\n012",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_answers_that_cannot_be_are_refused(answer: bytes) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(answer)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with pytest.raises(ReachError):
            RangeSource(f"http://127.0.0.1:{server.server_address[1]}/x.gguf")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
