"""A small server that speaks the hub's protocol, with every fault a network has."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by repository, and what goes wrong. `sent_bytes` counts bodies, `log` the requests."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    status: int = 0
    ignores_ranges: bool = False
    redirects_to: str = ""
    drops_after: int | None = None
    drops_left: int = 0
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent_bytes: int = 0

    def paths(self, method: str = "GET") -> list[str]:
        return [path for verb, path, _ in self.log if verb == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        hub.log.append((self.command, path, {k.title(): v for k, v in self.headers.items()}))
        if hub.status:
            self._send(hub.status, b"{}", {"Retry-After": "7"} if hub.status == 429 else {})
            return
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/(?:cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3], path.startswith("/cdn/"))
        else:
            self._send(404, b"{}")

    def _info(self, id: str, revision: str) -> None:
        files = self.hub.repositories.get(id)
        if files is None:
            self._send(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif id in self.hub.gated and self.headers.get("Authorization") != "Bearer good":
            self._send(403, b'{"error":"gated"}', {"X-Error-Code": "GatedRepo"})
        elif revision not in ("main", SHA):
            self._send(404, b'{"error":"no revision"}', {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            body = {"id": id, "modelId": id, "sha": SHA, "siblings": siblings, "tags": [], "private": False}
            self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, id: str, revision: str, name: str, is_cdn: bool) -> None:
        data = self.hub.repositories.get(id, {}).get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
            return
        if self.hub.redirects_to and not is_cdn:
            self._send(302, b"", {"Location": f"{self.hub.redirects_to}/cdn{self.path}"})
            return
        tag = hashlib.sha1(data).hexdigest()
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None or self.hub.ignores_ranges:
            self._send(200, data, headers)
            return
        first = int(match[1])
        last = min(int(match[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._send(206, data[first : last + 1], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        hub = self.hub
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if hub.drops_after is not None and hub.drops_left > 0 and len(body) > hub.drops_after:
            hub.drops_left -= 1
            body = body[: hub.drops_after]
            self.close_connection = True
        try:
            self.wfile.write(body)
            hub.sent_bytes += len(body)
        except OSError:
            self.close_connection = True


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub on a free port of this machine, for the length of the block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
