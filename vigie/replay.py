"""Any table as MQTT traffic: rows of a CSV or Parquet file become the messages of the contract."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.errors import DataError
from plant.signal import check_signal_name
from plant.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from plant.topics import Topics

#: What a numeric time column may count in.
TIME_UNITS_MS = {"ms": 1, "s": SECOND_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish: when it belongs (event time), where, and what it says."""

    ts_ms: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Columns:
    """How to read the table.

    `asset` is a path template over the columns (`lyon/l1/{unit}`) or a fixed path. `time` is a
    column of ISO 8601 text, or of numbers in `time_unit` counted from `start_ms`.
    `signals` maps columns to signal names; empty means every other numeric column.
    `imported` readings are history: they count as received at their own time, else as arriving late.
    """

    asset: str
    time: str
    time_unit: str = "ms"
    start_ms: int = 0
    signals: tuple[tuple[str, str], ...] = ()
    run_id: str = ""
    imported: bool = False


def read_table(file: Path) -> pd.DataFrame:
    """Read a CSV (any common separator, gzip too) or Parquet file. Raises DataError with the fix."""
    if not file.exists():
        raise DataError(f"{file} does not exist.", fix="Check the path.")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, sep=None, engine="python")
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read: {error}.", fix="Give a CSV or Parquet file."
        ) from error


def messages(table: pd.DataFrame, columns: Columns, topics: Topics) -> Iterator[Message]:
    """Yield the table's rows as telemetry messages, ascending in time.

    A cell without a finite number is left out; a row without any is skipped. Raises DataError
    naming the column when one is missing, is not a time, or makes no valid asset path.
    """
    try:
        template_columns = [
            name for _, name, _, _ in string.Formatter().parse(columns.asset) if name
        ]
    except ValueError as error:
        raise DataError(
            f"--asset {columns.asset!r} is no pattern ({error}).",
            fix="Name columns in braces: lyon/l1/{machine}.",
        ) from error
    for name in [*template_columns, columns.time, *(column for column, _ in columns.signals)]:
        _require(table, name)
    signals = columns.signals or _numeric_signals(table, [*template_columns, columns.time])
    if not signals:
        raise DataError("the table has no numeric column left.", fix="Name some with --signal.")
    ts_ms = _times(table[columns.time], columns)
    order = ts_ms.argsort(kind="stable")
    paths = _paths(table, columns.asset, template_columns)
    values = {
        check_signal_name(signal): pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        for column, signal in signals
    }
    marks: dict[str, Any] = {"run_id": columns.run_id} if columns.run_id else {}
    if columns.imported:
        marks["imported"] = True
    for row in order:
        found = {name: float(v[row]) for name, v in values.items() if math.isfinite(v[row])}
        if found:
            moment = int(ts_ms[row])
            payload = orjson.dumps({"ts": moment, "values": found, **marks})
            yield Message(moment, topics.telemetry(paths[row]), payload)


def _require(table: pd.DataFrame, name: str) -> None:
    if name not in table.columns:
        known = ", ".join(map(str, table.columns))
        raise DataError(f"there is no column {name!r}.", fix=f"The file has: {known[:400]}.")


def _numeric_signals(table: pd.DataFrame, used: Sequence[str]) -> tuple[tuple[str, str], ...]:
    numeric = table.select_dtypes("number").columns
    return tuple((str(name), str(name)) for name in numeric if name not in used)


def _times(column: pd.Series[Any], columns: Columns) -> NDArray[np.int64]:
    """Return int64[n] epoch ms."""
    if pd.api.types.is_numeric_dtype(column):
        if columns.time_unit not in TIME_UNITS_MS:
            raise DataError(
                f"the time unit {columns.time_unit!r} is not known.",
                fix=f"Use one of {', '.join(TIME_UNITS_MS)}.",
            )
        scaled = columns.start_ms + column.astype(float) * TIME_UNITS_MS[columns.time_unit]
        if not scaled.map(math.isfinite).all():
            raise DataError(
                f"column {columns.time!r} has empty times.", fix="Fill or drop those rows."
            )
        return np.asarray(scaled.round(), np.int64)
    try:
        moments = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {columns.time!r} is not a time: {error}.",
            fix="Use ISO 8601, or numbers with --time-unit.",
        ) from error
    if moments.isna().any():
        raise DataError(f"column {columns.time!r} has empty times.", fix="Fill or drop those rows.")
    return np.asarray(moments.dt.as_unit("ms").astype("int64"), np.int64)


def _paths(table: pd.DataFrame, template: str, names: Sequence[str]) -> list[AssetPath]:
    cache: dict[tuple[str, ...], AssetPath] = {}
    paths = []
    for row in (
        zip(*(table[name].astype(str) for name in names), strict=True)
        if names
        else [()] * len(table)
    ):
        if row not in cache:
            cache[row] = AssetPath.parse(template.format(**dict(zip(names, row, strict=True))))
        paths.append(cache[row])
    return paths
