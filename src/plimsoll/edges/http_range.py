"""Bytes of a file on a web server, by range requests: headers are read, weights never."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import IO, Any

from plimsoll.errors import AccessDenied, NotFound, RateLimited, ReachError, Unreachable

TIMEOUT_S = 20
TRIES = 2
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RangeSource:
    """One remote file. Asks for more at a time the further it reads, up to 4 MiB."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, name: str = "") -> None:
        self.url = url
        self.name = name or urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
        self.chunk_bytes = 128 << 10
        self.bytes_read = 0
        self.requests_count = 0
        self._headers = dict(headers or {})
        self._opener = urllib.request.build_opener(_Redirects(), *_secure())
        self._tag = ""
        self.size_bytes = 0
        self._head = self._get(0, self.chunk_bytes)

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`; raises a ReachError when the server does not give them."""
        if offset + count <= len(self._head):
            return self._head[offset : offset + count]
        count = min(count, self.size_bytes - offset)
        if count <= 0:
            return b""
        self.chunk_bytes = min(self.chunk_bytes * 2, 4 << 20)
        return self._get(offset, count)

    def _get(self, offset: int, count: int) -> bytes:
        failure: ReachError | None = None
        for _ in range(TRIES):
            try:
                return self._request(offset, count)
            except Unreachable as error:
                failure = error
        raise failure or Unreachable(f"{self.url} gave nothing")

    def _request(self, offset: int, count: int) -> bytes:
        wanted = {
            **self._headers,
            "Range": f"bytes={offset}-{offset + count - 1}",
            "Accept-Encoding": "identity",
        }
        self.requests_count += 1
        try:
            request = urllib.request.Request(self.url, headers=wanted)
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                expected = self._check(response, offset, count)
                data: bytes = response.read(expected)
        except urllib.error.HTTPError as error:
            error.close()
            raise reach_error(error.code, self.url, error.headers) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(
                f"{_host(self.url)} could not be reached: {_reason(error)}",
                hint="check the network and try again",
            ) from None
        if len(data) != expected:
            raise Unreachable(f"{_host(self.url)} broke off after {len(data)} of {expected} bytes")
        self.bytes_read += len(data)
        return data

    def _check(self, response: Any, offset: int, count: int) -> int:
        """How many bytes follow; refuses a server that sends the whole file."""
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status != 206 or match is None:
            raise _NoRanges(
                f"{_host(self.url)} does not serve parts of a file; {self.name} would come whole",
                hint="download it yourself and give the path",
            )
        first, last, total = (int(g) for g in match.groups())
        tag = response.headers.get("ETag", "")
        if self.size_bytes and (total != self.size_bytes or tag != self._tag):
            raise _NoRanges(f"{self.name} changed on {_host(self.url)} while it was read", hint="try again")
        if first != offset or not offset <= last < min(offset + count, total):
            raise _NoRanges(
                f"{_host(self.url)} answered with bytes {first}-{last} instead of those asked for"
            )
        self.size_bytes, self._tag = total, tag
        return last - first + 1


class _NoRanges(ReachError):
    """Not worth another try."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow to web addresses only, and keep tokens from other hosts."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            fp.close()
            raise urllib.error.URLError(f"refused to follow a redirect to {new.scheme}://")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and new.netloc != old.netloc:
            following.remove_header("Authorization")
            following.remove_header("Cookie")
        return following


def reach_error(code: int, url: str, headers: Any = None) -> ReachError:
    """The error for an HTTP status."""
    get = headers.get if headers is not None else (lambda *_: None)
    host, path = _host(url), urllib.parse.urlsplit(url).path
    if code in (401, 403):
        return AccessDenied(
            f"{host} does not let you read {path}",
            hint="accept the model's conditions on its page, then log in (`hf auth login`) or set HF_TOKEN",
        )
    if code in (404, 410):
        return NotFound(
            f"there is no {path} on {host}", hint="check the spelling; private models need HF_TOKEN"
        )
    if code == 429:
        wait = get("Retry-After")
        return RateLimited(
            f"{host} asks to slow down",
            hint=f"try again in {wait} s" if wait else "try again later, or set HF_TOKEN",
        )
    if code == 416:
        return NotFound(f"{path} on {host} is empty or shorter than it said")
    return Unreachable(f"{host} answered with status {code}", hint="try again later")


def _secure() -> list[urllib.request.HTTPSHandler]:
    """Certificates of `certifi` where it is installed, as the hub's library uses them; else the system's."""
    try:
        import certifi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return []
    import ssl

    return [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certifi.where()))]


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or url


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
