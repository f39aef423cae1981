"""Every error Vigie raises on purpose.

VigieError                  one clear sentence, a fix, an exit code
├── ConfigError             plant.toml or vigie.toml is wrong: file, table, key
├── DataError               a CSV, frame, time range or argument is wrong
├── PayloadError            a message cannot be read: goes to quarantine with its reason
├── BrokerError             the MQTT broker is missing or refuses us
├── StoreError              the store is missing, refuses us or is damaged
└── ModelError              a model bundle is missing, damaged, foreign or newer than this code
"""

from __future__ import annotations


class VigieError(Exception):
    """Base of the tree: `str(error)` is one sentence for people, `fix` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class ConfigError(VigieError):
    """A configuration file is wrong: names the file, the table, the key and the fix."""

    exit_code = 2

    def __init__(self, file: str, table: str, key: str, problem: str, *, fix: str = "") -> None:
        place = f"{file}: [{table}] {key}".strip() if table else f"{file}: {key}".strip()
        super().__init__(f"{place}: {problem}", fix=fix)
        self.file = file
        self.table = table
        self.key = key
        self.problem = problem


class DataError(VigieError):
    """Input data, a time range or a command's argument is wrong: names the field and the fix."""

    exit_code = 3


class PayloadError(VigieError):
    """A message cannot be read. `reason` is a short stable code, counted and kept in quarantine."""

    exit_code = 3

    def __init__(self, reason: str, message: str, *, field: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason
        self.field = field


class BrokerError(VigieError):
    """The MQTT broker cannot be reached or refuses the connection."""

    exit_code = 4


class StoreError(VigieError):
    """The store cannot be reached, refuses the token, or is damaged."""

    exit_code = 5


class ModelError(VigieError):
    """A model bundle is missing, damaged, foreign or made by newer code: it is refused."""

    exit_code = 6
