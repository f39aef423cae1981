"""Who may subscribe to the calendar: tokens that can be taken back, kept only as digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from plant.errors import DataError, StoreError


@dataclass(frozen=True, slots=True)
class Token:
    """A subscription: its short id for lists, for whom it is, and the digest of its secret."""

    id: str
    name: str
    digest: str
    made_ms: int


class Tokens:
    """The tokens in one file, readable by its owner only. The secret itself is never stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def new(self, name: str, now_ms: int) -> tuple[Token, str]:
        """Make a token; return it and its secret, which cannot be shown again."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            tokens = self._read()
            token = Token(secrets.token_hex(4), name[:100], _digest(secret), now_ms)
            self._write([*tokens, token])
        return token, secret

    def revoke(self, token_id: str) -> Token:
        """Take a token back: its address stops working at once. Raises DataError."""
        with self._lock:
            tokens = self._read()
            found = next((token for token in tokens if token.id == token_id), None)
            if found is None:
                raise DataError(
                    f"there is no token {token_id[:40]!r}.", fix="See vigie schedule feed tokens."
                )
            self._write([token for token in tokens if token is not found])
        return found

    def all(self) -> list[Token]:
        """Return all tokens, oldest first."""
        with self._lock:
            return self._read()

    def allows(self, secret: str) -> bool:
        """Tell whether a secret is one of ours, in time that does not depend on how wrong it is."""
        digest = _digest(secret)
        allowed = False
        for token in self.all():
            allowed |= hmac.compare_digest(token.digest, digest)
        return allowed

    def _read(self) -> list[Token]:
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            return [Token(**value) for value in values]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"the tokens in {self._path} cannot be read ({error}).",
                fix="Remove the file and make new tokens.",
            ) from error

    def _write(self, tokens: list[Token]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(token) for token in tokens], indent=1)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".tokens-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:  # mkstemp files are private
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)


def _digest(secret: str) -> str:
    """SHA-256 suffices: the secrets are 256 random bits, not passwords."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
