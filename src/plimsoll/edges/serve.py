"""A program that serves: found, started with its words, read line by line, and never left behind."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

_LONGEST_LINE_BYTES = 1 << 16
_LINES_AHEAD = 10_000


def found_program(name: str) -> str | None:
    """The path of a program on PATH (or at a path), None where there is none."""
    return shutil.which(os.path.expanduser(name))


def environment(prefix: str) -> tuple[str, ...]:
    """Names of the variables that begin with `prefix`."""
    return tuple(sorted(name for name in os.environ if name.startswith(prefix)))


def port_problem(host: str, port: int) -> str:
    """Why nothing can listen there: '' when something can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return f"there is no address {host!r}"
    with socket.socket(family, kind, protocol) as trial:
        if os.name == "posix":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except PermissionError:
            return f"port {port} needs more rights than this user has"
        except OSError as error:
            in_use = error.errno in (98, 48, 10048)  # EADDRINUSE on Linux, macOS, Windows
            return f"port {port} is in use" if in_use else f"{host}:{port}: {error.strerror}"
    return ""


def free_port(host: str, after: int) -> int | None:
    """The next port on which something can listen, None within a hundred."""
    tried = range(after + 1, min(after + 101, 65536))
    return next((port for port in tried if not port_problem(host, port)), None)


def answers(url: str, *, timeout_s: float = 1.0) -> bool:
    """Whether a GET of this address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


class Running:
    """A running program; leaving the `with` block ends it and everything it started."""

    def __init__(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(
            list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **variables}, start_new_session=os.name == "posix",
        )  # fmt: skip
        self._before: Any = None
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_AHEAD)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as pipe:
            while line := pipe.readline(_LONGEST_LINE_BYTES):
                self._lines.put(line.decode("utf-8", "replace").rstrip("\r\n"))
        self._lines.put(None)

    def line(self, timeout_s: float) -> str | None:
        """The next line it printed; '' when none came in time, None when it will print no more."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return ""
        if line is None:
            self._lines.put(None)
        return line

    @property
    def exit_status(self) -> int | None:
        """What it ended with (negative: the signal), None while it runs."""
        return self._child.poll()

    def wait_end(self, timeout_s: float) -> int | None:
        """Its exit status once it has ended, None when it has not by then."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, *, patience_s: float = 10.0) -> int:
        """End it: asked as Ctrl-C asks, then told, then killed. Its last lines can still be read."""
        for name, wait_s in (("SIGINT", patience_s), ("SIGTERM", patience_s / 2), ("SIGKILL", patience_s)):
            if self._child.poll() is None:
                self._signal(name)
                deadline = time.monotonic() + wait_s
                while self._child.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
        return self._child.wait()

    def _signal(self, name: str) -> None:
        """To the whole group where there is one, so that workers end with their parent."""
        try:
            if os.name == "posix":
                os.killpg(self._child.pid, getattr(signal, name))
            else:
                self._child.terminate()
        except ProcessLookupError:
            return

    def __enter__(self) -> Running:
        # Being killed would leave the program behind: it counts as Ctrl-C, which ends it.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(patience_s=10.0 if kind is None or kind is KeyboardInterrupt else 2.0)
        except KeyboardInterrupt:  # asked a second time
            self.stop(patience_s=0.0)
        finally:
            self._drop_workers()
            if self._before is not None:
                signal.signal(signal.SIGTERM, self._before)
        self._reader.join(timeout=2.0)

    def _drop_workers(self) -> None:
        """Kill what is left of the group, whose leader has ended."""
        if os.name == "posix":
            try:
                os.killpg(self._child.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return
