"""The commands a planner and a manager type, from an empty folder to files."""

from __future__ import annotations

from pathlib import Path

import icalendar
import openpyxl
import orjson
import pytest

from plant.clock import SystemClock
from store.sqlite import SqliteStore
from tests.serve.schedule.cases import risk
from vigie.cli import main

PLANT = """
name = "Acme"
[sites.lyon]
timezone = "Europe/Paris"
[sites.lyon.lines.l1]
max_concurrent = 1
[kinds.pump.modes.BRG]
label = "bearing wear"
action = "Replace the bearing."
[[assets]]
path = "lyon/l1/pump-0"
kind = "pump"
[[assets]]
path = "lyon/l1/pump-1"
kind = "pump"
[[crews]]
name = "mechanics"
site = "lyon"
[[crews.shifts]]
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
start = 06:00:00
end = 14:00:00
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "plant.toml").write_text(PLANT, encoding="utf-8")
    (tmp_path / "vigie.toml").write_text("[schedule]\ntime_limit_s = 3.0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    now = SystemClock().now_ms()
    store = SqliteStore(tmp_path / "vigie-data", SystemClock())
    store.write_risks([risk(f"lyon/l1/pump-{n}", 150, ts_ms=now) for n in range(2)])
    store.close()
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    main([*arguments, "--json"])
    found: dict[str, object] = orjson.loads(capsys.readouterr().out)
    return found


def test_plan_show_pin_reject_and_export(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as nothing:
        main(["schedule", "show"])
    assert nothing.value.code == 3
    made = _json(capsys, "schedule", "plan")
    jobs = made["jobs"]
    assert isinstance(jobs, list)
    assert {job["asset"] for job in jobs} == {"lyon/l1/pump-0", "lyon/l1/pump-1"}
    assert "Waiting a week would cost" in jobs[0]["why"]
    assert made["violations"] == []
    main(["schedule", "show"])
    assert "within" in capsys.readouterr().out
    start = str(jobs[0]["start"])
    main(["schedule", "pin", jobs[0]["key"], start, "--why", "crane", "--who", "ann"])
    shown = _json(capsys, "schedule", "show", "--job", jobs[0]["key"])
    assert (shown["state"], shown["note"], shown["start"]) == ("pinned", "crane", start)
    main(["schedule", "reject", str(jobs[1]["key"]), "--why", "audit"])
    main(["schedule", "unpin", jobs[0]["key"]])
    for name in ("plan.csv", "plan.xlsx", "plan.ics", "plan.png", "plan.json"):
        main(["schedule", "export", name, "--language", "fr"])
        assert (here / name).stat().st_size > 100
    assert openpyxl.load_workbook(here / "plan.xlsx").sheetnames == ["Plan", "À propos"]
    assert icalendar.Calendar.from_ical((here / "plan.ics").read_bytes()).events
    for wrong in (["plan.doc"], ["plan.csv", "--profile", "x"], ["plan.csv", "--language", "tlh"]):
        with pytest.raises(SystemExit):
            main(["schedule", "export", *wrong])


def test_tokens(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = _json(capsys, "schedule", "feed", "new", "wall screen")
    assert str(token["secret"]) in str(token["url"])
    main(["schedule", "feed", "tokens"])
    listed = capsys.readouterr().out
    assert str(token["id"]) in listed
    assert str(token["secret"]) not in listed
    main(["schedule", "feed", "revoke", str(token["id"])])
    main(["schedule", "feed", "tokens"])
    assert str(token["id"]) not in capsys.readouterr().out.replace("revoked", "").split("wall")[-1]


def test_events_and_figures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "events",
            "add",
            "lyon/l1/pump-0",
            "failure",
            "--at",
            "-2d",
            "--mode",
            "BRG",
            "--hours",
            "3",
        ]
    )
    (here / "orders.csv").write_text(
        "Asset,Completed on,Mode,Hours\nlyon/l1/pump-1,2026-01-05,BRG,2\nnowhere,2026-01-05,,\n"
    )
    main(["events", "import", "orders.csv", "--dry-run", "--report", "rejected.csv"])
    told = capsys.readouterr().out
    assert "1 read, 1 rejected; nothing stored (dry run)" in told
    assert "row 3" in told
    assert "nowhere" in (here / "rejected.csv").read_text(encoding="utf-8-sig")
    done = _json(capsys, "events", "import", "orders.csv")
    assert (done["new"], done["read"]) == (1, 1)
    main(["events", "list", "--from", "2026-01-01", "--json"])
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["maintenance", "failure"]
    main(["events", "list", "--from", "-7d"])
    assert "failure" in capsys.readouterr().out
    figures = _json(capsys, "kpi", "--from", "-30d", "--by", "line")
    groups = figures["groups"]
    assert isinstance(groups, list)
    assert [group["name"] for group in groups] == ["plant", "lyon/l1"]
    unplanned = next(k for k in groups[0]["kpis"] if k["name"] == "stoppage_unplanned_h")
    assert unplanned["value"] == 3
    main(["kpi"])
    assert "OEE, availability part" in capsys.readouterr().out
    for name in ("report.html", "report.csv", "report.json"):
        main(["kpi", "--by", "mode", "-o", name])
        assert (here / name).stat().st_size > 500
    for wrong in (["--by", "moon"], ["--from", "now", "--to", "-1d"], ["-o", "x.pdf"]):
        with pytest.raises(SystemExit):
            main(["kpi", *wrong])
