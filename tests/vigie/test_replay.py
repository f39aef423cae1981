from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pandas as pd
import pytest

from plant.errors import DataError
from plant.topics import Topics
from vigie.replay import Columns, messages, read_table

TABLE = pd.DataFrame(
    {"unit": [2, 1, 1], "cycle": [1, 2, 1], "s1": [0.5, None, 1.5], "s2": [7, 8, 9], "note": "x"}
)
COLUMNS = Columns(asset="nasa/fd/{unit}", time="cycle", time_unit="h", start_ms=1_000)


def test_rows_become_messages_in_time_order() -> None:
    found = list(messages(TABLE, COLUMNS, Topics()))
    assert [m.topic for m in found] == [
        "plant/nasa/fd/2/telemetry",
        "plant/nasa/fd/1/telemetry",
        "plant/nasa/fd/1/telemetry",
    ]
    assert [m.ts_ms for m in found] == [3_601_000, 3_601_000, 7_201_000]
    assert orjson.loads(found[0].payload) == {"ts": 3_601_000, "values": {"s1": 0.5, "s2": 7.0}}
    assert orjson.loads(found[2].payload)["values"] == {"s2": 8.0}


def test_history_says_that_it_is() -> None:
    columns = replace(COLUMNS, imported=True)
    assert all(
        orjson.loads(m.payload)["imported"] is True for m in messages(TABLE, columns, Topics())
    )


def test_signals_may_be_chosen_and_renamed() -> None:
    columns = Columns(asset="a/b/c", time="cycle", time_unit="s", signals=(("s2", "flow"),))
    assert orjson.loads(next(messages(TABLE, columns, Topics())).payload)["values"] == {"flow": 7.0}


def test_iso_times_are_read() -> None:
    table = pd.DataFrame({"t": ["2026-11-22T11:00:00+01:00"], "flow": [1.0]})
    (message,) = messages(table, Columns(asset="a/b/c", time="t"), Topics())
    assert message.ts_ms == 1_795_341_600_000


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        (Columns(asset="a/b/{machine}", time="cycle"), "machine"),
        (Columns(asset="a/b/{unit}", time="when"), "when"),
        (Columns(asset="a/b/{unit}", time="cycle", signals=(("s9", "flow"),)), "s9"),
        (Columns(asset="a/b/{unit}", time="cycle", time_unit="fortnight"), "fortnight"),
        (Columns(asset="a/b/{unit}", time="note"), "note"),
        (Columns(asset="a/{unit}", time="cycle"), "three segments"),
        (Columns(asset="a/b/{unit}", time="cycle", signals=(("s1", "=cmd()"),)), "=cmd"),
    ],
)
def test_a_wrong_column_is_named(columns: Columns, what: str) -> None:
    with pytest.raises(DataError, match=what):
        list(messages(TABLE, columns, Topics()))


def test_files_are_read_whatever_their_separator(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("unit;cycle;s1\n1;1;0,5\n")
    assert list(read_table(file).columns) == ["unit", "cycle", "s1"]
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "absent.csv")
