"""From work orders to events: what can be understood, and why the rest cannot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from plant.asset import AssetPath
from plant.config import Plant
from plant.errors import DataError, PayloadError
from plant.event import FOUND, PLANT_EVENT_KINDS, Event
from serve.cmms.cells import read_bool, read_hours, read_moment
from serve.cmms.columns import ColumnMapping, find_columns, fold
from serve.cmms.table import read_table
from serve.cmms.words import FOUND_WORDS, KIND_WORDS
from store.port import Store

_JOB_KEY = re.compile(r"VG-[0-9A-F]{12}")
_FOREVER = 253_402_300_800_000  # the year 10,000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not imported: its number in the file, the field at fault, and why."""

    row: int
    field: str
    why: str


@dataclass(frozen=True, slots=True)
class Import:
    """What a list came to. `new`, `repeated`, `conflicting` count what the store did with it."""

    events: tuple[Event, ...]
    rejected: tuple[Rejected, ...]
    told: str
    columns: dict[str, str]
    dry_run: bool
    new: int = 0
    repeated: int = 0
    conflicting: int = 0


def import_events(
    store: Store | None,
    path: Path,
    plant: Plant,
    mapping: ColumnMapping | None = None,
    *,
    who: str = "cmms",
    dry_run: bool = False,
) -> Import:
    """Read work orders from a CSV or XLSX file into the store; nothing is stored in a dry run.

    An order that carries the key of one of Vigie's jobs (in its own column or anywhere in its title)
    is that job's report: it gets the job's failure mode where the list names none. Importing a list
    twice changes nothing: an event's key is the work order's number, or a digest of its row. Raises
    DataError when the file as a whole cannot be read.
    """
    mapping = mapping or ColumnMapping()
    jobs = _jobs(store)
    table = read_table(path, mapping)
    columns = find_columns(table.headers, mapping)
    events: list[Event] = []
    rejected: list[Rejected] = []
    seen: dict[tuple[str, int, str, str, str], int] = {}
    for number, cells in table.rows:
        try:
            event = _event(
                _Row(cells, columns, mapping, len(table.headers)), plant, mapping, who, jobs
            )
        except _RowError as error:
            rejected.append(Rejected(number, error.field, error.why))
            continue
        identity = (str(event.asset), event.ts_ms, event.kind, event.mode, event.key)
        if identity in seen:
            rejected.append(Rejected(number, "key", f"repeats row {seen[identity]}"))
            continue
        seen[identity] = number
        events.append(event)
    headers = {name: table.headers[index] for name, index in columns.items()}
    dry_run = dry_run or store is None
    done = Import(tuple(events), tuple(rejected), table.told, headers, dry_run)
    if store is None or dry_run or not events:
        return done
    count = store.write_events(events)
    return Import(
        done.events, done.rejected, done.told, headers, False,
        new=count.new, repeated=count.repeated, conflicting=count.conflicting,
    )  # fmt: skip


def _jobs(store: Store | None) -> dict[str, tuple[str, str]]:
    """Return (asset, mode) of every job ever planned, by its key."""
    if store is None:
        return {}
    return {
        event.key: (str(event.asset), event.mode)
        for event in store.read_events(0, _FOREVER, kinds=("schedule",))
        if event.detail.get("action") == "job"
    }


class _RowError(Exception):
    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field, self.why = field, why


class _Row:
    """The cells of one row by field."""

    def __init__(
        self, cells: Sequence[object], columns: dict[str, int], mapping: ColumnMapping, width: int
    ) -> None:
        if len(cells) > width and any(str(c or "").strip() for c in cells[width:]):
            raise _RowError(
                "", f"has {len(cells)} cells, the header {width}: an unquoted separator?"
            )
        self._cells, self._columns, self._mapping = cells, columns, mapping

    def get(self, name: str) -> object:
        """Return a cell, or the field's default where there is none."""
        index = self._columns.get(name)
        cell = self._cells[index] if index is not None and index < len(self._cells) else None
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return self._mapping.defaults.get(name, "")
        return cell

    def text(self, name: str) -> str:
        """Return a cell as text, without the mark that keeps spreadsheets from calculating."""
        value = str(self.get(name)).strip()
        return value[1:] if value[:2] in {"'=", "'+", "'-", "'@"} else value


def _event(
    row: _Row,
    plant: Plant,
    mapping: ColumnMapping,
    who: str,
    jobs: Mapping[str, tuple[str, str]],
) -> Event:
    asset = _asset(row.text("asset"), plant, mapping)
    zone = ZoneInfo(mapping.timezone) if mapping.timezone else plant.timezone(asset.site)
    done, start = (_moment(row, name, mapping, zone) for name in ("done", "start"))
    kind = _word(
        row.text("kind"), mapping.kinds, KIND_WORDS, PLANT_EVENT_KINDS, "kind", "maintenance"
    )
    ts_ms = (start if kind in {"failure", "stop"} else done) or done or start
    if ts_ms is None:
        raise _RowError("done", "no date: every date cell is empty or a placeholder")
    note = row.text("note")
    job = row.text("job") or next(iter(_JOB_KEY.findall(f"{row.text('key')} {note}")), "")
    mode = _mode(row.text("mode"), asset, plant, mapping)
    if not mode and jobs.get(job, ("", ""))[0] == str(asset):
        mode = jobs[job][1]
    text = "|".join(row.text(name) for name in ("note", "key", "mode"))
    try:
        hours = read_hours(row.get("duration_h"))
        planned = read_bool(row.get("planned"))
        return Event(
            asset=asset,
            ts_ms=ts_ms,
            kind=kind,
            mode=mode,
            planned=planned,
            found=_word(row.text("found"), mapping.found, FOUND_WORDS, FOUND, "found", "unknown"),
            duration_h=hours,
            note=note[:2_000],
            who=row.text("who")[:200] or who,
            key=row.text("key")[:200] or job[:200] or _digest(text),
            detail={"source": "cmms"} | ({"job": job[:200]} if job else {}),
        )
    except PayloadError as error:
        raise _RowError(error.field, error.message) from error
    except DataError as error:
        raise _RowError(
            "duration_h" if "hours" in error.message else "planned", error.message
        ) from error


def _asset(name: str, plant: Plant, mapping: ColumnMapping) -> AssetPath:
    if not name:
        raise _RowError("asset", "no asset")
    path = mapping.assets.get(name) or (
        name if name.count("/") == 2 else mapping.asset_prefix + name
    )
    try:
        asset = AssetPath.parse(path)
    except DataError as error:
        raise _RowError(
            "asset", f"{error.message} Map it in [assets], or set asset_prefix."
        ) from error
    if plant.assets and plant.asset(asset) is None:
        raise _RowError("asset", f"{asset} is not a machine of plant.toml; map it in [assets]")
    return asset


def _moment(row: _Row, name: str, mapping: ColumnMapping, zone: ZoneInfo) -> int | None:
    try:
        return read_moment(row.get(name), mapping.date_order, zone, mapping.placeholders)
    except (DataError, OverflowError, OSError) as error:
        raise _RowError(name, str(error)) from error


def _mode(text: str, asset: AssetPath, plant: Plant, mapping: ColumnMapping) -> str:
    """Return the mode code: as mapped, by code or by label of the kind's modes, else refuse."""
    if not text:
        return ""
    if text in mapping.modes:
        return mapping.modes[text]
    modes = plant.kind_spec(asset).modes
    for code, spec in modes.items():
        if fold(text) in {fold(code), fold(spec.label)}:
            return code
    if modes:
        raise _RowError(
            "mode", f"{text[:60]!r} is not a mode of {plant.kind_of(asset)}; map it in [modes]"
        )
    return text[:64]


def _word(
    text: str,
    mapped: dict[str, str],
    usual: Mapping[str, str],
    allowed: tuple[str, ...],
    field: str,
    default: str,
) -> str:
    if not text:
        return default
    word = mapped.get(text) or usual.get(fold(text)) or fold(text)
    if word not in allowed:
        raise _RowError(field, f"{text[:60]!r} is none of {', '.join(allowed)}; map it")
    return word


def _digest(text: str) -> str:
    return "row-" + hashlib.sha256(text.encode()).hexdigest()[:16]
