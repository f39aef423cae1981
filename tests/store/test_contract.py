"""What every store must do, on the embedded one and on a real InfluxDB."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.event import EVENT_KINDS, FOUND, Event
from plant.reading import Reading
from plant.risk import Driver, ModeRisk, Risk, Window
from store.port import RollupBlock, Store, WriteCount
from tests.store.conftest import NOW_MS

PUMP = AssetPath("lyon", "l1", "pump-3")
FAN = AssetPath("lyon", "l1", "fan.7_b")
EVER = (-(10**13), 10**13)
EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Sub-milliseconds of InfluxDB's years, and every finite double.
times = st.integers(-9_000_000_000_000, 9_000_000_000_000)
floats = st.floats(allow_nan=False, allow_infinity=False)
signal_names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True) | st.sampled_from(
    ["time", "name", "tags", "site", "line", "asset", "simulated", "kind", "body", "bucket", "mode"]
)
segments = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True).filter(
    lambda text: text not in {".", ".."}
)
# Everything JSON can carry: no lone surrogates.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def reading(ts_ms: int, asset: AssetPath = PUMP, **values: float) -> Reading:
    return Reading(asset, ts_ms, values, received_ms=NOW_MS)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Bit-equal, but for the sign and payload of NaN."""
    nan = np.isnan(left)
    return bool(
        np.array_equal(nan, np.isnan(right)) and left[~nan].tobytes() == right[~nan].tobytes()
    )


# -- readings -------------------------------------------------------------------------------


def test_readings_come_back_in_time_order_with_gaps_as_nan(store: Store) -> None:
    store.write_readings(
        [reading(3_000, b=3.5), reading(1_000, a=1.5, b=-0.0), reading(2_000, a=2.5)]
    )
    block = store.read_readings(PUMP, *EVER)
    assert block.ts_ms.tolist() == [1_000, 2_000, 3_000]
    assert block.received_ms.tolist() == [NOW_MS] * 3
    assert block.signals == ("a", "b")
    assert same(block.values, np.array([[1.5, -0.0], [2.5, np.nan], [np.nan, 3.5]]))


def test_ranges_are_half_open(store: Store) -> None:
    store.write_readings([reading(t, a=float(t)) for t in (999, 1_000, 1_999, 2_000)])
    assert store.read_readings(PUMP, 1_000, 2_000).ts_ms.tolist() == [1_000, 1_999]
    assert store.read_readings(PUMP, 2_000, 1_000).ts_ms.tolist() == []
    assert store.read_readings(FAN, *EVER).signals == ()


def test_repeats_are_counted_and_conflicts_keep_the_last(store: Store) -> None:
    assert store.write_readings([reading(1, a=1.0), reading(2, a=2.0)]) == WriteCount(new=2)
    assert store.write_readings([reading(1, a=1.0)]) == WriteCount(repeated=1)
    assert store.write_readings([reading(1, a=7.0), reading(3, a=3.0)]) == WriteCount(
        new=1, conflicting=1
    )
    assert store.read_readings(PUMP, *EVER).values[:, 0].tolist() == [7.0, 2.0, 3.0]
    assert store.write_readings([]) == WriteCount()


def test_readings_at_one_time_are_merged_into_one_row(store: Store) -> None:
    store.write_readings([reading(1, a=1.0), reading(1, b=2.0), reading(2, a=3.0)])
    block = store.read_readings(PUMP, *EVER)
    assert block.ts_ms.tolist() == [1, 2]
    assert same(block.values, np.array([[1.0, 2.0], [3.0, np.nan]]))


def test_a_later_reading_of_a_signal_at_the_same_time_wins(store: Store) -> None:
    store.write_readings([reading(1, a=1.0, b=1.0)])
    store.write_readings([reading(1, b=9.0)])
    assert store.read_readings(PUMP, *EVER).values.tolist() == [[1.0, 9.0]]


def test_simulated_and_real_readings_of_one_asset_are_read_together(store: Store) -> None:
    run_id = 'r=1,\n "x"\\ é'
    store.write_readings([Reading(PUMP, 2, {"a": 2.0}, simulated=True, run_id=run_id)])
    store.write_readings([reading(1, a=1.0)])
    assert store.read_readings(PUMP, *EVER).values.tolist() == [[1.0], [2.0]]
    (seen,) = store.assets()
    assert (seen.readings, seen.simulated, seen.run_id) == (2, True, run_id)


@EXAMPLES
@given(
    rows=st.lists(
        st.tuples(times, st.dictionaries(signal_names, floats, min_size=1, max_size=5)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[0],
    ),
    asset=st.builds(AssetPath, segments, segments, segments),
)
def test_any_reading_survives_bit_for_bit(
    make_store: Callable[[], Store],
    rows: list[tuple[int, dict[str, float]]],
    asset: AssetPath,
) -> None:
    store = make_store()
    store.write_readings([Reading(asset, ts, values) for ts, values in rows])
    block = store.read_readings(asset, *EVER)
    assert block.ts_ms.tolist() == sorted(ts for ts, _ in rows)
    for ts, values in rows:
        row = block.values[block.ts_ms.tolist().index(ts)]
        read = {
            name: value
            for name, value in zip(block.signals, row.tolist(), strict=True)
            if not math.isnan(value)
        }
        assert {n: v.hex() for n, v in read.items()} == {n: v.hex() for n, v in values.items()}


# -- changes --------------------------------------------------------------------------------


def test_changes_tell_arrivals_in_order_and_go_on_from_a_cursor(
    store: Store, clock: ManualClock
) -> None:
    assert store.changes("").items == ()
    store.write_readings([reading(5, a=1.0), reading(2, a=1.0), reading(9, FAN, a=1.0)])
    first = store.changes("", limit=2)
    assert [(c.asset, c.ts_ms) for c in first.items] == [(PUMP, 5), (PUMP, 2)]
    rest = store.changes(first.cursor)
    assert [(c.asset, c.ts_ms, c.received_ms) for c in rest.items] == [(FAN, 9, NOW_MS)]
    assert store.changes(rest.cursor).items == ()
    store.write_readings([reading(5, a=1.0), reading(2, a=8.0)])  # a repeat, a correction
    later = store.changes(rest.cursor)
    assert [(c.asset, c.ts_ms) for c in later.items] == [(PUMP, 2)]
    assert store.changes(later.cursor).items == ()


# -- rollups --------------------------------------------------------------------------------


def rollups(start: list[int], signals: tuple[str, ...], values: np.ndarray) -> RollupBlock:
    return RollupBlock(
        PUMP, 600_000, np.array(start, dtype=np.int64), signals, ("count", "mean", "m2"), values
    )


def test_rollups_come_back_and_are_replaced(store: Store) -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    values[1, 0] = np.nan
    store.write_rollups(rollups([0, 600_000], ("a", "b"), values))
    block = store.read_rollups(PUMP, 600_000, 0, 1_200_000)
    assert (block.start_ms.tolist(), block.signals) == ([0, 600_000], ("a", "b"))
    assert stats_equal(block, ("count", "mean", "m2"), values)
    store.write_rollups(rollups([600_000], ("a", "b"), values[:1] + 100))
    assert stats_equal(
        store.read_rollups(PUMP, 600_000, 600_000, 1_200_000),
        ("count", "mean", "m2"),
        values[:1] + 100,
    )
    assert len(store.read_rollups(PUMP, 60_000, 0, 1_200_000).start_ms) == 0
    assert len(store.read_rollups(FAN, 600_000, 0, 1_200_000).start_ms) == 0
    assert len(store.read_rollups(PUMP, 600_000, 0, 600_000).start_ms) == 1


def stats_equal(block: RollupBlock, stats: tuple[str, ...], values: np.ndarray) -> bool:
    order = [block.stats.index(name) for name in stats]
    return same(block.values[:, :, order], values)


def test_rollups_with_other_signals_are_laid_side_by_side(store: Store) -> None:
    store.write_rollups(rollups([0], ("b",), np.full((1, 1, 3), 1.0)))
    store.write_rollups(rollups([600_000], ("a", "c"), np.full((1, 2, 3), 2.0)))
    block = store.read_rollups(PUMP, 600_000, 0, 10**9)
    assert block.signals == ("a", "b", "c")
    assert np.array_equal(
        np.isnan(block.values[:, :, 0]), [[True, False, True], [False, True, False]]
    )


def test_a_very_wide_rollup_gives_way_to_a_narrow_one(store: Store) -> None:
    names = tuple(f"signal_{n:04d}" for n in range(2_500))  # more than one text of InfluxDB holds
    wide = np.random.default_rng(0).normal(size=(1, len(names), 3))
    store.write_rollups(rollups([0], names, wide))
    block = store.read_rollups(PUMP, 600_000, 0, 1)
    assert block.signals == names
    assert stats_equal(block, ("count", "mean", "m2"), wide)
    store.write_rollups(rollups([0], ("a",), np.ones((1, 1, 3))))
    block = store.read_rollups(PUMP, 600_000, 0, 1)
    assert (block.signals, block.values.tolist()) == (("a",), [[[1.0, 1.0, 1.0]]])


@EXAMPLES
@given(
    starts=st.lists(st.integers(-9_000_000, 9_000_000), min_size=1, max_size=6, unique=True),
    signals=st.lists(signal_names, min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_any_rollup_survives_bit_for_bit(
    make_store: Callable[[], Store], starts: list[int], signals: list[str], data: st.DataObject
) -> None:
    store = make_store()
    shape = (len(starts), len(signals), 3)
    numbers = data.draw(
        st.lists(floats | st.just(math.nan), min_size=math.prod(shape), max_size=math.prod(shape))
    )
    values = np.array(numbers).reshape(shape)
    values[:, 0, 0] = 1.0  # a bucket that holds nothing at all need not come back
    values[0, :, 0] = 1.0
    start = sorted(s * 600_000 for s in starts)
    store.write_rollups(rollups(start, tuple(sorted(signals)), values))
    block = store.read_rollups(PUMP, 600_000, -(10**13), 10**13)
    assert (block.start_ms.tolist(), block.signals) == (start, tuple(sorted(signals)))
    # A statistic that is nowhere a number need not be listed.
    for at, stat in enumerate(("count", "mean", "m2")):
        if stat in block.stats:
            assert same(block.values[:, :, block.stats.index(stat)], values[:, :, at])
        else:
            assert np.isnan(values[:, :, at]).all()


# -- events ---------------------------------------------------------------------------------


def test_events_are_a_log_with_repeats_and_conflicts(store: Store) -> None:
    failure = Event(PUMP, 1_000, "failure", mode="BRG", found="failed", duration_h=4.0)
    repair = Event(PUMP, 5_000, "maintenance", scope=("BRG", "SEA"), planned=False, note='a "b"\\')
    alarms = [
        Event(FAN, 1_000, "alarm", key=str(n), who="ann", detail={"from": "open", "n": [n, None]})
        for n in range(20)
    ]
    assert store.write_events([failure, repair, *alarms]) == WriteCount(new=22)
    assert store.write_events([failure]) == WriteCount(repeated=1)
    changed = replace(failure, note="bearing seized\nat night")
    assert store.write_events([changed]) == WriteCount(conflicting=1)
    assert store.read_events(*EVER, asset=PUMP) == [changed, repair]
    assert store.read_events(*EVER, kinds=["failure", "maintenance"]) == [changed, repair]
    assert store.read_events(*EVER, kinds=["alarm"], asset=PUMP) == []
    assert store.read_events(*EVER, kinds=[]) == []
    assert sorted(int(e.key) for e in store.read_events(1_000, 1_001, asset=FAN)) == list(range(20))
    assert len(store.read_events(*EVER)) == 22
    assert store.read_events(1_001, 5_000) == []


@EXAMPLES
@given(
    events=st.lists(
        st.builds(
            Event,
            asset=st.sampled_from([PUMP, FAN]),
            ts_ms=times,
            kind=st.sampled_from(EVENT_KINDS),
            mode=texts,
            scope=st.lists(texts, max_size=3).map(tuple),
            planned=st.none() | st.booleans(),
            found=st.sampled_from(FOUND),
            duration_h=st.none() | st.floats(0, 999_999),
            note=texts,
            who=texts,
            key=texts,
            detail=st.dictionaries(texts, st.none() | st.booleans() | floats | texts, max_size=3),
            simulated=st.booleans(),
            run_id=texts,
        ),
        max_size=6,
        unique_by=lambda e: (e.asset, e.ts_ms, e.kind, e.mode, e.key),
    )
)
def test_any_event_survives(make_store: Callable[[], Store], events: list[Event]) -> None:
    store = make_store()
    store.write_events(events)
    order = sorted(events, key=lambda e: (e.ts_ms, str(e.asset), e.kind, e.mode, e.key))
    assert store.read_events(*EVER) == order


# -- risks ----------------------------------------------------------------------------------


def risk(ts_ms: int, asset: AssetPath = PUMP, sentence: str = "", **changes: object) -> Risk:
    fields: dict[str, object] = {
        "valid_until_ms": ts_ms + 1,
        "status": "ok",
        "severity": "warning",
        "p_fail": {8: 0.01, 24: 1 / 3},
        "window": Window(ts_ms, ts_ms + 1_234, None, beyond_horizon=True),
        "mode": ModeRisk("BRD", "bearing wear", 0.71),
        "drivers": (Driver("v", "v.24h.slope", 0.11, "mm/s/h", 0.42, "rising"),),
        "deviation": 2.7,
        "action": "look",
        "alarm_id": "a1",
        "model_id": "m1",
        "model_trained_ms": 5,
        "curve": ((0.0, 1.0), (8.0, 0.99), (24.0, 2 / 3)),
    }
    return Risk(asset=asset, ts_ms=ts_ms, sentence=sentence, **(fields | changes))  # type: ignore[arg-type]  # a dict of mixed fields


def test_risks_come_back_with_their_curves(store: Store) -> None:
    nothing = risk(
        2_000, FAN, "“too few” readings", status="insufficient_data", p_fail=None, window=None,
        mode=None, drivers=(), deviation=None, model_trained_ms=None, curve=(),
    )  # fmt: skip
    store.write_risks([risk(1_000), risk(2_000), nothing])
    assert store.read_risks(*EVER) == [risk(1_000), nothing, risk(2_000)]
    assert store.read_risks(*EVER, asset=PUMP) == [risk(1_000), risk(2_000)]
    assert store.read_risks(1_000, 2_000) == [risk(1_000)]
    assert store.latest_risks() == [nothing, risk(2_000)]
    store.write_risks([risk(2_000, sentence="corrected")])
    assert store.latest_risks() == [nothing, risk(2_000, sentence="corrected")]
    store.write_risks([])
    assert store.read_risks(*EVER, asset=AssetPath("x", "y", "z")) == []


def test_no_risks_yet(store: Store) -> None:
    assert store.latest_risks() == []
    assert store.read_risks(*EVER) == []


# -- the store itself -----------------------------------------------------------------------


def test_assets_show_what_was_seen(store: Store) -> None:
    assert store.assets() == []
    store.write_readings([reading(5, a=1.0), reading(2, b=1.0), reading(7, time=3.0)])
    store.write_readings([Reading(FAN, 3, {"a": 1.0}, simulated=True, run_id="run 1")])
    fan, pump = store.assets()
    assert (fan.asset, fan.first_ms, fan.last_ms, fan.readings) == (FAN, 3, 3, 1)
    assert (fan.signals, fan.simulated, fan.run_id) == (("a",), True, "run 1")
    assert (pump.asset, pump.first_ms, pump.last_ms, pump.readings) == (PUMP, 2, 7, 3)
    assert (pump.signals, pump.simulated, pump.run_id) == (("a", "b", "time"), False, "")
    store.write_readings([reading(5, a=2.0), reading(1, a=2.0)])  # a correction, a new one
    assert [(a.asset, a.first_ms, a.readings) for a in store.assets()] == [
        (FAN, 3, 1),
        (PUMP, 1, 4),
    ]


def test_a_sound_store_passes_its_check(store: Store) -> None:
    store.check()
    store.check()


@pytest.mark.parametrize("cursor", ["x", "[1]", '{"a": "b"}'])
def test_a_foreign_cursor_is_refused(store: Store, cursor: str) -> None:
    from plant.errors import DataError

    with pytest.raises(DataError, match="cursor"):
        store.changes(cursor)
