"""`vigie alarms` at a terminal: every command, for people and for machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from plant.clock import ManualClock, SystemClock
from plant.event import Event
from plant.times import HOUR_MS, MINUTE_MS
from serve.alarms.book import AlarmBook
from serve.alarms.desk import AlarmDesk
from serve.alarms.rules import Rules
from serve.settings import ServeSettings
from store.sqlite import SqliteStore
from tests.serve.alarms.test_tune import history
from tests.serve.examples import PLANT, PUMP, risk_at
from vigie.cli import main

Run = Callable[..., str]

_TOML = """
[sites.lyon.lines.l1]
[kinds.pump.modes.BRD]
label = "bearing wear"
[kinds.pump.modes.SEAL]
label = "seal leak"
[[assets]]
path = "lyon/l1/pump-3"
kind = "pump"
[[assets]]
path = "lyon/l1/pump-4"
kind = "pump"
[[crews]]
name = "lyon-mech"
site = "lyon"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one open alarm, raised an hour ago."""
    now = SystemClock().now_ms()
    store = SqliteStore(tmp_path / "data", ManualClock(now))
    book = AlarmBook(tmp_path / "data" / "alarms.db")
    desk = AlarmDesk(book, Rules(PLANT, ServeSettings()))
    for i in range(5):
        ts = now - HOUR_MS + i * 10 * MINUTE_MS
        desk.advance([risk_at(ts, 0.5)], ts)
    book.deliver(store)
    book.close()
    store.close()
    (tmp_path / "plant.toml").write_text(_TOML)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `vigie alarms …` in that folder; return what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str, fails: bool = False) -> str:
        words = ["--plant", str(folder / "plant.toml"), "--data", str(folder / "data"), "alarms"]
        try:
            main([*words, *arguments])
            code = 0
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        assert (code != 0) == fails, captured.err
        return captured.err if fails else captured.out

    return call


def test_list_show_and_history(run: Run) -> None:
    assert "lyon/l1/pump-3" in run("list")
    (row,) = [orjson.loads(line) for line in run("list", "--json").splitlines()]
    assert (row["asset"], row["state"], row["crew"]) == (str(PUMP), "unacknowledged", "lyon-mech")
    assert run("list", "--crew", "nobody").strip() == "No alarm is open."
    assert "unacknowledged" in run("show", row["id"])
    shown = orjson.loads(run("show", row["id"][:6], "--json"))
    assert [step["action"] for step in shown["history"]] == ["raise"]
    assert "raise" in run("history")
    assert "Nothing happened" in run("history", "lyon/l1/pump-4")
    (step,) = [orjson.loads(line) for line in run("history", "--json").splitlines()]
    assert (step["who"], step["alarm"]) == ("vigie", row["id"])


def test_acknowledge_shelve_unshelve(run: Run) -> None:
    name = orjson.loads(run("list", "--json"))["id"]
    assert "acknowledged by Ada" in run("ack", name, "--who", "Ada", "--why", "on it")
    assert "before" in run("ack", name)
    assert "shelved until" in run("shelve", name, "--until", "8h", "--who", "[bold]Ada[/")
    assert "cannot be shelved" in run("shelve", name, "--until", "400d", fails=True)
    assert "not an ISO" in run("shelve", name, "--until", "soon", fails=True)
    assert "acknowledged" in run("unshelve", name)
    assert "not shelved" in run("unshelve", name)
    actions = [orjson.loads(line)["action"] for line in run("history", "--json").splitlines()]
    assert actions == ["raise", "acknowledge", "shelve", "unshelve"]
    assert "is not open" in run("ack", "Anone", fails=True)


def test_names_are_shown_as_they_are(run: Run) -> None:
    name = orjson.loads(run("list", "--json"))["id"]
    run("ack", name, "--who", "[red]\x1b[31mEve[/red]")
    assert "by [red] [31mEve[/red]" in run("list")
    assert "[red] [31mEve[/red]" in run("show", name)
    assert "\x1b" not in run("history")


def test_feedback_and_quality(run: Run, folder: Path) -> None:
    name = orjson.loads(run("list", "--json"))["id"]
    assert "was other" in run("feedback", name, "other", "--mode", "SEAL", "--note", "dripping")
    assert "not a failure mode" in run("feedback", name, "other", "--mode", "XX", fails=True)
    assert "was right" in run("feedback", name, "right", "--who", "Ada")
    assert "is not known" in run("feedback", name, "perhaps", fails=True)
    report = run("quality")
    assert "people judged 1 of them" in report
    assert "Precision: 100% (1 of 1" in report
    assert "too few to rely on" in report
    found = orjson.loads(run("quality", "--json"))
    assert (found["precision"]["value"], found["recall"]["value"]) == (1.0, None)
    store = SqliteStore(folder / "data", ManualClock(0))
    words = store.read_events(0, 1 << 60, kinds=["feedback"])
    assert [event.found for event in words] == ["degraded", "degraded"]
    store.close()


def test_tune_prints_what_to_put_into_the_settings(run: Run, folder: Path) -> None:
    risks, events = history()
    store = SqliteStore(folder / "data", ManualClock(0))
    for rows in risks.values():
        store.write_risks(rows)
    store.write_events(events)
    store.close()
    printed = run("tune", "pump", "--from", "2025-11-01", "--to", "2026-04-01")
    assert "[serve.severity.kinds.pump]" in printed
    assert "→" in printed
    trials = [
        orjson.loads(line)
        for line in run(
            "tune", "pump", "--from", "2025-11-01", "--to", "2026-04-01", "--json"
        ).splitlines()
    ]
    assert sum(trial["chosen"] for trial in trials) == 1
    assert len(trials) == 18
    assert "not in plant.toml" in run("tune", "fan", fails=True)
    assert "no risks" in run(
        "tune", "pump", "--from", "2020-01-01", "--to", "2020-02-01", fails=True
    )


def test_an_empty_folder_has_no_alarms(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--data", str(tmp_path / "empty"), "alarms", "list"])
    assert "No alarm is open." in capsys.readouterr().out
    assert "is not in the log" in run("show", "A0", fails=True)


def test_events_of_another_time_are_left_out(run: Run, folder: Path) -> None:
    store = SqliteStore(folder / "data", ManualClock(0))
    store.write_events([Event(PUMP, 1, "alarm", key="Aold:hold", detail={"action": "hold"})])
    store.close()
    assert "Aold" not in run("history")
