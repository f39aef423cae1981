"""The calendar as an address to subscribe to: `http://host:port/calendar/<token>.ics`.

Read-only, on the loopback address unless told otherwise. A wrong path, a wrong token and a revoked
one get the same answer. Put a proxy with TLS before it to offer it outside the machine.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from serve.exports.cells import safe_name
from serve.exports.tokens import Tokens

log = structlog.get_logger()
_PATH = re.compile(r"/calendar/([A-Za-z0-9_-]{20,100})\.ics")


class Feed:
    """Serves what `calendar` returns (an .ics file, or None while there is no plan).

    `name` becomes the name of the file that a browser saves.
    """

    def __init__(
        self,
        calendar: Callable[[], bytes | None],
        tokens: Tokens,
        host: str,
        port: int,
        name: str = "plan",
    ) -> None:
        members = {
            "calendar": staticmethod(calendar),
            "tokens": tokens,
            "file_name": f"{safe_name(name)}.ics",
        }
        handler = type("Handler", (_Handler,), members)
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="calendar-feed", daemon=True
        )
        self._thread.start()

    def run(self) -> None:
        """Serve until stopped."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    calendar: Callable[[], bytes | None]
    tokens: Tokens
    file_name: str
    timeout = 10  # a client that says nothing does not keep a thread
    server_version = "Vigie"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body_too=True)

    def do_HEAD(self) -> None:
        self._answer(body_too=False)

    def _answer(self, *, body_too: bool) -> None:
        match = _PATH.fullmatch(self.path.split("?", 1)[0])
        allowed = self.tokens.allows(match[1] if match else "")
        body = self.calendar() if allowed else None
        if body is None:
            self._send(HTTPStatus.NOT_FOUND, b"", "text/plain", body_too=body_too)
            return
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", "text/calendar", tag=tag, body_too=False)
            return
        kind = "text/calendar; charset=utf-8; method=PUBLISH"
        self._send(HTTPStatus.OK, body, kind, tag=tag, body_too=body_too)

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str, *, tag: str = "", body_too: bool
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "private, max-age=300")
        self.send_header("X-Content-Type-Options", "nosniff")
        if tag:
            self.send_header("ETag", tag)
            self.send_header("Content-Disposition", f'inline; filename="{self.file_name}"')
        self.end_headers()
        if body_too:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log without the path: it holds the token."""
        log.debug("calendar_feed_request", client=self.client_address[0], command=self.command)
