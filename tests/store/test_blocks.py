"""Merging parts and cells against a slow, obvious version."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.errors import DataError
from store.blocks import ReadingPart, check_rollups, merge_readings, merge_rollups
from store.influx_client import parse_columns
from store.lines import numbers
from store.port import RollupBlock

PUMP = AssetPath("lyon", "l1", "pump-3")
SETS = (("a",), ("b",), ("a", "b"), ("a", "b", "c"))
row = st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(-10, 10))


@st.composite
def parts(draw: st.DrawFn) -> list[ReadingPart]:
    """Parts of one journal: ids are unique and rise with arrival inside it."""
    made, next_id = [], 0
    for signals in draw(st.lists(st.sampled_from(SETS), max_size=4)):
        rows = draw(st.lists(row, max_size=5))
        ids = np.arange(next_id, next_id + len(rows), dtype=np.int64)
        next_id += len(rows)
        values = np.array([[value + n for n in range(len(signals))] for _, _, value in rows])
        made.append(
            ReadingPart(
                np.array([ts for ts, _, _ in rows], dtype=np.int64),
                np.array([received for _, received, _ in rows], dtype=np.int64),
                ids,
                signals,
                values.reshape(len(rows), len(signals)),
            )
        )
    return made


def naive(given_parts: list[ReadingPart]) -> dict[int, tuple[int, dict[str, float]]]:
    """Apply each reading in order of arrival; remember the last value of each signal."""
    arrivals = [
        (int(p.received_ms[n]), int(p.ids[n]), int(p.ts_ms[n]), p.signals, p.values[n].tolist())
        for p in given_parts
        for n in range(len(p.ts_ms))
    ]
    result: dict[int, tuple[int, dict[str, float]]] = {}
    for received, _, ts_ms, signals, values in sorted(arrivals, key=lambda a: a[:2]):
        _, known = result.setdefault(ts_ms, (0, {}))
        known.update(zip(signals, values, strict=True))
        result[ts_ms] = (received, known)
    return result


@settings(deadline=None)  # a busy machine is not a defect
@given(parts())
def test_readings_are_merged_as_if_they_came_one_by_one(given_parts: list[ReadingPart]) -> None:
    block = merge_readings(PUMP, given_parts)
    expected = naive(given_parts)
    assert block.ts_ms.tolist() == sorted(expected)
    assert list(block.signals) == sorted(block.signals)
    for at, ts_ms in enumerate(block.ts_ms.tolist()):
        received, values = expected[ts_ms]
        found = {
            name: value
            for name, value in zip(block.signals, block.values[at].tolist(), strict=True)
            if not math.isnan(value)
        }
        assert (block.received_ms[at], found) == (received, values)


def test_rollups_of_other_layouts_keep_their_places() -> None:
    one = (np.array([0]), ("b",), ("mean", "m2"), np.array([[[1.0, 2.0]]]))
    two = (np.array([1]), ("a", "b"), ("mean", "max"), np.arange(4.0).reshape(1, 2, 2))
    block = merge_rollups(PUMP, 10, np.array([0, 10]), [one, two])
    assert (block.signals, block.stats) == (("a", "b"), ("mean", "m2", "max"))
    nan = math.nan
    np.testing.assert_array_equal(
        block.values,
        [[[nan, nan, nan], [1.0, 2.0, nan]], [[0.0, nan, 1.0], [2.0, nan, 3.0]]],
    )


@pytest.mark.parametrize(
    ("start", "shape", "complaint"),
    [([5], (1, 1, 1), "multiple"), ([0], (1, 2, 1), "shape"), ([0, 10], (1, 1, 1), "shape")],
)
def test_rollups_that_do_not_fit_are_refused(
    start: list[int], shape: tuple[int, ...], complaint: str
) -> None:
    block = RollupBlock(
        PUMP, 10, np.array(start, dtype=np.int64), ("a",), ("mean",), np.zeros(shape)
    )
    with pytest.raises(DataError, match=complaint):
        check_rollups(block)


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=8))
def test_numbers_are_written_to_be_read_back_exactly(values: list[float]) -> None:
    (row_texts,) = numbers(np.array([values]))
    for text, value in zip(row_texts, values, strict=True):
        assert text == "null" if not math.isfinite(value) else float(text).hex() == value.hex()


def test_an_answer_without_rows_has_no_columns() -> None:
    assert parse_columns(b"") == {}
    assert parse_columns(b"\n") == {}


def test_an_answer_is_read_column_by_column() -> None:
    columns = parse_columns(b'name,tags,time,a,asset,b,body\nm,,5,1,p,,"{""x"": 1}"\n', ["body"])
    assert columns["time"].tolist() == [5]
    assert columns["a"].tolist() == [1.0]
    assert columns["a"].dtype == np.float64
    assert columns["body"].tolist() == ['{"x": 1}']
    assert "b" not in columns
