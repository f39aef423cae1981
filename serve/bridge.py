"""Commands over MQTT: `vigie/bridge/request/<command>`, and `alarm/ack` and `alarm/shelve` below a machine.

Each request is answered on `vigie/bridge/response/<command>` with
`{"status": "ok"|"error", "data": {}, "error": "", "transaction": x}`. A command is acknowledged to the
broker after it was carried out, so one that is cut off by a restart comes again; all of them are harmless
when repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plant.asset import AssetPath
from plant.errors import DataError, VigieError
from plant.times import HOUR_MS, from_iso, to_iso
from plant.topics import REQUEST_PREFIX, RESPONSE_PREFIX, Topics
from serve.alarms.desk import AlarmDesk
from serve.alarms.state import Transition
from serve.link import Inbound
from serve.publisher import Publisher

log = structlog.get_logger()

#: A handler takes the request's fields and returns the response's data.
Handler = Callable[[Mapping[str, Any]], dict[str, Any]]
_MAX_TRANSACTION = 1_000


class _Request(BaseModel):
    """A request's fields; strict, so that a mistake is answered and not guessed at."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    who: str = Field(default="mqtt", max_length=1_000)
    why: str = Field(default="", max_length=1_000)


class AckRequest(_Request):
    """`ack`: which alarm (its id); on a machine's own topic all of its alarms by default."""

    alarm: str = Field(default="", max_length=64)


class ShelveRequest(_Request):
    """`shelve`: which alarm, and until when: `hours` from now or `until` a moment."""

    alarm: str = Field(default="", max_length=64)
    hours: float | int | None = Field(default=None, gt=0)
    until: str | None = None


class LogLevelRequest(BaseModel):
    """`log_level`: how much Vigie says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: str


class Bridge:
    """Carries out commands. `handlers` adds to or replaces the commands known here."""

    def __init__(
        self,
        desk: AlarmDesk,
        publisher: Publisher,
        topics: Topics,
        now_ms: Callable[[], int],
        handlers: Mapping[str, Handler],
    ) -> None:
        self._desk = desk
        self._publisher = publisher
        self._topics = topics
        self._now_ms = now_ms
        self._handlers: dict[str, Handler] = {
            "ack": lambda fields: self._ack(fields, None),
            "shelve": lambda fields: self._shelve(fields, None),
            "unshelve": self._unshelve,
            "log_level": _set_log_level,
            **handlers,
        }

    @staticmethod
    def filters(topics: Topics) -> tuple[str, ...]:
        """Return what to subscribe to."""
        below = f"{topics.root}/+/+/+/alarm"
        return (f"{REQUEST_PREFIX}/+", f"{below}/ack", f"{below}/shelve")

    def poll(self) -> int:
        """Carry out the commands that have arrived; return how many."""
        commands = self._publisher.commands()
        for command in commands:
            self._carry_out(command)
            command.acknowledge()
        return len(commands)

    def answer(self, topic: str, payload: bytes) -> tuple[str, dict[str, Any]]:
        """Carry out one command; return the name it is answered under and the response.

        A mistake in the request is an answer too: nothing a caller sends makes this raise.
        """
        transaction: Any = None
        name = topic.rsplit("/", 1)[-1]
        try:
            fields = _fields(payload)
            transaction = _transaction(fields.pop("transaction", None))
            data = self._find(topic)(fields)
        except ValidationError as error:
            return name, _response(transaction, error=_first_mistake(error))
        except VigieError as error:
            return name, _response(transaction, error=str(error))
        except Exception:  # a fault of the program: the caller hears of it, and Vigie lives on
            log.exception("command failed", name=name)
            return name, _response(transaction, error="the command failed; see Vigie's log.")
        return name, _response(transaction, data=data)

    def _carry_out(self, command: Inbound) -> None:
        name, response = self.answer(command.topic, command.payload)
        log.info("command", name=name, status=response["status"], error=response["error"])
        known = name in self._handlers
        self._publisher.send(
            f"{RESPONSE_PREFIX}/{name if known else 'unknown'}", orjson.dumps(response)
        )

    def _find(self, topic: str) -> Handler:
        if topic.startswith(f"{REQUEST_PREFIX}/"):
            name = topic.removeprefix(f"{REQUEST_PREFIX}/")
            if name not in self._handlers:
                raise DataError(
                    f"the command {name[:40]!r} is not known.",
                    fix=f"Use one of {', '.join(sorted(self._handlers))}.",
                )
            return self._handlers[name]
        asset, name = self._alarm_topic(topic)
        if name == "ack":
            return lambda fields: self._ack(fields, asset)
        return lambda fields: self._shelve(fields, asset)

    def _alarm_topic(self, topic: str) -> tuple[AssetPath, str]:
        levels = topic.removeprefix(f"{self._topics.root}/").split("/")
        if len(levels) != 5 or levels[3] != "alarm" or levels[4] not in {"ack", "shelve"}:
            raise DataError(f"the topic {topic[:100]!r} takes no commands.")
        return AssetPath(*levels[:3]), levels[4]

    def _alarms(self, alarm: str, asset: AssetPath | None) -> list[str]:
        """Return the alarms meant: by id, or all open ones of a machine."""
        if alarm:
            found = self._desk.book.find(alarm)
            if asset is not None and found.asset != asset:
                raise DataError(f"the alarm {found.id} belongs to {found.asset}, not to {asset}.")
            return [found.id]
        mine = [
            a.id for a in self._desk.book.open_alarms() if asset is not None and a.asset == asset
        ]
        if not mine:
            raise DataError("no open alarm is meant.", fix='Add "alarm" with its id.')
        return mine

    def _ack(self, fields: Mapping[str, Any], asset: AssetPath | None) -> dict[str, Any]:
        request = AckRequest.model_validate(fields)
        steps: list[Transition] = []
        for alarm in self._alarms(request.alarm, asset):
            steps += self._desk.acknowledge(alarm, self._now_ms(), request.who, request.why)
        return _told(steps)

    def _shelve(self, fields: Mapping[str, Any], asset: AssetPath | None) -> dict[str, Any]:
        request = ShelveRequest.model_validate(fields)
        now_ms = self._now_ms()
        if (request.hours is None) == (request.until is None):
            raise DataError("shelving needs an end.", fix='Give either "hours" or "until".')
        until_ms = (
            from_iso(request.until)
            if request.until is not None
            else now_ms + round(min(request.hours or 0.0, 1e6) * HOUR_MS)
        )
        steps: list[Transition] = []
        for alarm in self._alarms(request.alarm, asset):
            steps += self._desk.shelve(alarm, until_ms, now_ms, request.who, request.why)
        return _told(steps) | {"until": to_iso(until_ms)}

    def _unshelve(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        request = AckRequest.model_validate(fields)
        steps: list[Transition] = []
        for alarm in self._alarms(request.alarm, None):
            steps += self._desk.unshelve(alarm, self._now_ms(), request.who, request.why)
        return _told(steps)


def _told(steps: list[Transition]) -> dict[str, Any]:
    return {"alarms": [{"id": step.alarm.id, "state": step.alarm.shown_state} for step in steps]}


def _fields(payload: bytes) -> dict[str, Any]:
    """Read a request's JSON object; an empty payload is an empty object. Raises DataError."""
    if not payload.strip():
        return {}
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise DataError(
            "the request is not JSON.", fix='Send an object like {"who": "Ada"}.'
        ) from error
    if not isinstance(fields, dict):
        raise DataError("the request is not a JSON object.", fix='Send one like {"who": "Ada"}.')
    return fields


def _transaction(found: Any) -> Any:
    """Return what the caller wants back, if it is small enough to be a mark."""
    if len(orjson.dumps(found)) > _MAX_TRANSACTION:
        raise DataError(f"the transaction is longer than {_MAX_TRANSACTION} bytes.")
    return found


def _response(
    transaction: Any, *, data: dict[str, Any] | None = None, error: str = ""
) -> dict[str, Any]:
    return {
        "status": "error" if error else "ok",
        "data": data or {},
        "error": error,
        "transaction": transaction,
    }


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])[:60]
    return f"{where}: {first['msg']}."


def _set_log_level(fields: Mapping[str, Any]) -> dict[str, Any]:
    level = LogLevelRequest.model_validate(fields).level.lower()
    if level not in {"debug", "info", "warning", "error"}:
        raise DataError(
            f"the log level {level[:20]!r} is not known.", fix="Use debug, info, warning or error."
        )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    return {"level": level}
