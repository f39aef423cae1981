from datetime import time
from zoneinfo import ZoneInfo

import numpy as np

from plant.times import HOUR_MS, from_iso
from serve.schedule.calendar import (
    Grid,
    crew_hours,
    fitting_slot_minutes,
    line_breaks,
    merge,
    weekly,
)
from tests.serve.schedule.cases import plant

PARIS = ZoneInfo("Europe/Paris")


def _hours(start: str, stop: str, days: tuple[str, ...], a: time, b: time) -> list[float]:
    spans = weekly(days, a, b, PARIS, from_iso(start), from_iso(stop))
    return [(end - begin) / HOUR_MS for begin, end in spans]


def test_a_night_shift_over_the_change_of_the_clocks_has_seven_or_nine_hours() -> None:
    assert _hours("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", ("sat",), time(22), time(6)) == [
        7
    ]
    assert _hours("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", ("sat",), time(22), time(6)) == [
        9
    ]


def test_shifts_follow_local_time_on_both_sides_of_the_change() -> None:
    spans = crew_hours(
        plant(),
        plant().crews[0],
        from_iso("2026-03-27T00:00:00Z"),
        from_iso("2026-03-31T00:00:00Z"),
    )
    assert spans == [
        (from_iso("2026-03-27T05:00:00Z"), from_iso("2026-03-27T13:00:00Z")),
        (from_iso("2026-03-30T04:00:00Z"), from_iso("2026-03-30T12:00:00Z")),
    ]


def test_a_crew_without_shifts_is_there_around_the_clock() -> None:
    crew = plant().crews[0].model_copy(update={"shifts": ()})
    assert crew_hours(plant(), crew, 0, 1000) == [(0, 1000)]


def test_breaks_of_all_sites_one_site_and_one_line_add_up() -> None:
    pauses = [
        {"days": ["mon"], "start": "12:00", "end": "13:00"},
        {"site": "lyon", "line": "l1", "days": ["mon"], "start": "13:00", "end": "14:00"},
        {"from": "2026-03-24T08:00:00+01:00", "to": "2026-03-24T10:00:00+01:00"},
    ]
    here = plant(breaks=pauses)
    span = (from_iso("2026-03-23T00:00:00Z"), from_iso("2026-03-25T00:00:00Z"))
    assert [(b - a) / HOUR_MS for a, b in line_breaks(here, "lyon", "l1", *span)] == [2, 2]
    assert [(b - a) / HOUR_MS for a, b in line_breaks(here, "lyon", "l2", *span)] == [1, 2]


def test_cells_lie_wholly_inside_and_hours_are_exact() -> None:
    grid = Grid(0, HOUR_MS, 6)
    spans = [(HOUR_MS // 2, 3 * HOUR_MS), (4 * HOUR_MS, 100 * HOUR_MS)]
    assert grid.inside(spans).tolist() == [False, True, True, False, True, True]
    assert np.allclose(grid.covered_h(spans), [0.5, 1, 1, 0, 1, 1])


def test_the_grid_is_as_coarse_as_the_shifts_allow() -> None:
    assert fitting_slot_minutes([0, HOUR_MS]) == 60
    assert fitting_slot_minutes([HOUR_MS // 2]) == 30
    assert fitting_slot_minutes([HOUR_MS // 4]) == 15


def test_overlapping_shifts_are_one() -> None:
    assert merge([(3, 5), (0, 2), (1, 3), (9, 10)]) == [(0, 5), (9, 10)]
