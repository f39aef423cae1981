"""A stand-in for InfluxDB on loopback that misbehaves on command, and remembers what it took.

It keeps points like InfluxDB does (a later value of the same series, time and field replaces), and
refuses lines with a field called `poison`, as a type conflict would be.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

#: How one write can be answered. Those with `taken_` store the points all the same.
BEHAVIOURS = (
    "partial_400",
    "parse_400",
    "401",
    "403",
    "404",
    "413",
    "partial_422",
    "429",
    "500",
    "502",
    "503_after_0",
    "503_after_8",
    "503_after_86400",
    "503_after_date",
    "hang",
    "reset",
    "taken_reset",
    "half_status",
    "half_headers",
    "half_body",
    "taken_half_body",
    "200_of_a_proxy",
    "html_of_a_proxy",
)
_RETRY_AFTER = {
    "429": "1",
    "503_after_0": "0",
    "503_after_8": "8",
    "503_after_86400": "86400",
    "503_after_date": "Wed, 21 Oct 2099 07:28:00 GMT",
}


class InfluxStub:
    """A context manager; `plan` holds the behaviours of the coming writes, empty means sound."""

    def __init__(self, hang_s: float = 30.0, max_body: int = 1 << 30) -> None:
        self.plan: list[str] = []
        self.log: list[str] = []
        self.points: dict[tuple[str, int], dict[str, str]] = {}
        self.max_body = max_body
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.hang_s = hang_s
        stub = self

        class Handler(_Handler):
            owner = stub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_behaviour(self) -> str:
        with self.lock:
            behaviour = self.plan.pop(0) if self.plan else "sound"
            self.log.append(behaviour)
            return behaviour

    def take(self, lines: list[str]) -> None:
        with self.lock:
            for line in lines:
                head, fields, ts = split_line(line)
                self.points.setdefault((head, ts), {}).update(fields)


def split_line(line: str) -> tuple[str, dict[str, str], int]:
    """Split a line of a reading: (measurement and tags, fields, time). No quoted spaces inside."""
    head, fields, ts = line.split(" ")
    return head, dict(field.split("=", 1) for field in fields.split(",")), int(ts)


def is_poisoned(line: str) -> bool:
    return "poison=" in line


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    owner: InfluxStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = [line for line in body.decode().split("\n") if line]
        behaviour = self.owner.next_behaviour()
        if behaviour.startswith("taken_"):
            self.owner.take([line for line in lines if not is_poisoned(line)])
            behaviour = behaviour.removeprefix("taken_")
        if len(body) > self.owner.max_body:
            behaviour = "413"
        getattr(self, f"_do_{behaviour}", self._do_status)(behaviour, lines)

    def _do_sound(self, behaviour: str, lines: list[str]) -> None:
        bad = [line for line in lines if is_poisoned(line)]
        self.owner.take([line for line in lines if not is_poisoned(line)])
        if not bad:
            self._answer(204, b"")
            return
        self._refuse(422 if behaviour == "partial_422" else 400, f"partial write: {len(bad)} bad")

    _do_partial_400 = _do_sound
    _do_partial_422 = _do_sound

    def _do_parse_400(self, behaviour: str, lines: list[str]) -> None:
        """One line that cannot be parsed, and nothing of the batch is written."""
        if any(is_poisoned(line) for line in lines):
            self._refuse(400, "unable to parse")
        else:
            self._do_sound(behaviour, lines)

    def _do_status(self, behaviour: str, lines: list[str]) -> None:
        retry = {"Retry-After": _RETRY_AFTER[behaviour]} if behaviour in _RETRY_AFTER else {}
        self._refuse(int(behaviour[:3]), f"misbehaving: {behaviour}", retry)

    def _do_hang(self, behaviour: str, lines: list[str]) -> None:
        self.owner.released.wait(self.owner.hang_s)
        self.close_connection = True

    def _do_reset(self, behaviour: str, lines: list[str]) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._cut(b"")

    def _do_half_status(self, behaviour: str, lines: list[str]) -> None:
        self._cut(b"HTTP/1.1 20")

    def _do_half_headers(self, behaviour: str, lines: list[str]) -> None:
        self._cut(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 400\r\nContent-T")

    def _do_half_body(self, behaviour: str, lines: list[str]) -> None:
        self._cut(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
            b'Content-Length: 400\r\n\r\n{"code":"invalid","mess'
        )

    def _do_200_of_a_proxy(self, behaviour: str, lines: list[str]) -> None:
        self._answer(200, b'{"ok":true}', {"Content-Type": "application/json"})

    def _do_html_of_a_proxy(self, behaviour: str, lines: list[str]) -> None:
        self._answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})

    def _cut(self, start: bytes) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(start)
            self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.close()

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"code": "refused", "message": message}).encode()
        self._answer(status, body, {"Content-Type": "application/json"} | (headers or {}))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
