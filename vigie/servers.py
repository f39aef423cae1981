"""Real servers on loopback: Mosquitto and influxd 2.7, started, stopped, killed, frozen, restarted.

The demo, the tests' fixtures and the benchmarks use them. A server keeps its port and its directory
over a restart, as the real one does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plant.errors import VigieError

ROOT = Path(__file__).resolve().parent.parent


class ServerMissingError(VigieError):
    """The server's program is not on this machine; the message says how to get it."""


class ServerFailedError(VigieError):
    """The server did not come up; the message holds the end of its log."""


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(name: str, variable: str) -> str:
    """Return the path of a server's program: from the variable, the path, or `.servers/bin`."""
    candidates = [
        os.environ.get(variable, ""),
        shutil.which(name) or "",
        f"/usr/sbin/{name}",
        str(ROOT / ".servers" / "bin" / name),
    ]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise ServerMissingError(
        f"{name} is not installed.", fix=f"Run `make servers`, or set {variable} to its path."
    )


class Server:
    """A child process with a port and a directory of its own; a context manager."""

    host = "127.0.0.1"

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        self._owned = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="vigie-server-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the server said."""
        return self.directory / "server.log"

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.host, self.port)) == 0

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start and wait until it answers."""
        if self.process is not None:
            raise RuntimeError("it is running already")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=subprocess.STDOUT, cwd=self.directory
            )
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self.log_file.read_text(errors="replace")[-2000:]
                raise ServerFailedError(f"{self._command()[0]} did not come up:\n{tail}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait; kill it after 20 s."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> Self:
        """Stop and start on the same port and directory."""
        self.stop()
        return self.start()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None:
            raise RuntimeError("it is not running")
        self.process.send_signal(number)

    def close(self) -> None:
        """Stop, and remove the directory if it was made here."""
        self.stop()
        if self._owned:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start() if self.process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Mosquitto(Server):
    """A broker for anonymous clients; no queue limits, so that it never drops silently.

    persistent: it keeps sessions and messages in its directory. config: further lines of
    mosquitto.conf, or the whole file when it holds a `listener`.
    """

    def __init__(
        self,
        directory: Path | None = None,
        port: int | None = None,
        *,
        persistent: bool = False,
        config: str = "",
    ) -> None:
        self._program = find_program("mosquitto", "VIGIE_MOSQUITTO")
        super().__init__(directory, port)
        self.persistent = persistent
        self.config = config

    def _command(self) -> list[str]:
        lines = [self.config]
        if "listener" not in self.config:
            lines += [
                f"listener {self.port} {self.host}",
                "allow_anonymous true",
                "max_queued_messages 0",
                "max_queued_bytes 0",
                "set_tcp_nodelay true",
            ]
        if self.persistent:
            lines += [
                "persistence true",
                f"persistence_location {self.directory}/",
                "autosave_interval 1",
                "autosave_on_changes true",
            ]
        if os.geteuid() == 0:
            lines.append("user root")  # it would drop to a user who may not write here
        file = self.directory / "mosquitto.conf"
        file.write_text("\n".join(lines) + "\n")
        return [self._program, "-c", str(file)]


class EmbeddedBroker(Server):
    """The demo's broker where Mosquitto is not installed: see `vigie.embedded_broker`."""

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "vigie.embedded_broker", str(self.port)]


class Influxd(Server):
    """InfluxDB 2.7 with one organisation, its first bucket and an operator token.

    Metadata stay in memory by default, which is faster; `durable=True` keeps them on disk, so that
    the server may be restarted on its data.
    """

    org = "vigie"
    bucket = "vigie"
    token = "vigie-test-operator-token"

    def __init__(
        self,
        directory: Path | None = None,
        port: int | None = None,
        *,
        durable: bool = False,
        extra: tuple[str, ...] = (),
    ) -> None:
        self._program = find_program("influxd", "VIGIE_INFLUXD")
        super().__init__(directory, port)
        self.durable = durable
        self._extra = extra
        self._is_set_up = False

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://{self.host}:{self.port}"

    def _command(self) -> list[str]:
        return [
            self._program,
            f"--http-bind-address={self.host}:{self.port}",
            f"--bolt-path={self.directory / 'influxd.bolt'}",
            f"--engine-path={self.directory / 'engine'}",
            f"--store={'disk' if self.durable else 'memory'}",
            "--reporting-disabled",
            "--ui-disabled",
            "--no-tasks",
            "--log-level=error",
            *self._extra,
        ]

    def _is_ready(self) -> bool:
        if not super()._is_ready():
            return False
        try:
            return bool(self.call("GET", "/health").get("status") == "pass")
        except (OSError, ValueError):
            return False

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start; the first time also make the organisation, the bucket and the token."""
        if self._is_set_up and not self.durable:
            raise RuntimeError("a restart needs durable=True")
        super().start(timeout_s)
        if not self._is_set_up and self.call("GET", "/api/v2/setup")["allowed"]:
            self.call(
                "POST",
                "/api/v2/setup",
                {
                    "username": "operator",
                    "password": "operator-password",
                    "org": self.org,
                    "bucket": self.bucket,
                    "token": self.token,
                },
            )
        self._is_set_up = True
        return self

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the HTTP API as JSON; raises urllib's errors (all OSError)."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def org_id(self) -> str:
        """Return the organisation's identity."""
        identity: str = self.call("GET", f"/api/v2/orgs?org={self.org}")["orgs"][0]["id"]
        return identity

    def new_bucket(self, name: str, retention_s: int = 0) -> str:
        """Make an empty bucket and return its name: a clean slate without a new server."""
        rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
        self.call(
            "POST",
            "/api/v2/buckets",
            {"orgID": self.org_id(), "name": name, "retentionRules": rules},
        )
        return name
