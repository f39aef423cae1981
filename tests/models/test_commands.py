"""The commands on a real store that holds a simulated plant's history."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.settings import FeatureSettings
from models import pipeline
from models.pipeline import late_rows, read_history
from models.settings import ModelSettings
from plant.clock import SystemClock
from plant.config import parse_plant
from plant.errors import DataError
from plant.times import DAY_MS
from simulator.plant import simulate
from simulator.presets import demo_plant_toml
from store.sqlite import SqliteStore
from vigie.cli import main
from vigie.people import login

SETTINGS = """
data_dir = "{data}"
[features]
grid_ms = 7200000
[model]
min_failures = 8
min_mode_failures = 4
landmarks_per_life = 12
max_rounds = 20
members = 1
folds = 2
threads = 1
midlife_copies = 1
"""
DAYS = 45.0


@pytest.fixture(scope="module")
def plant_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plant.toml, vigie.toml and a store of 45 days of eight pumps."""
    folder = tmp_path_factory.mktemp("plant")
    toml = demo_plant_toml(pumps_per_line=4)
    (folder / "plant.toml").write_text(toml, encoding="utf-8")
    (folder / "vigie.toml").write_text(SETTINGS.format(data=folder / "data"), encoding="utf-8")
    past = simulate(parse_plant(toml), seed=3, days=DAYS, interval_s=600.0)
    store = SqliteStore(folder / "data", SystemClock())
    for frame in past.frames.values():
        store.write_readings([replace(r, received_ms=r.ts_ms) for r in frame.readings()])
    store.write_events(past.events)
    store.close()
    return folder


@pytest.fixture
def vigie(
    plant_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    monkeypatch.chdir(plant_dir)

    def run(*arguments: str) -> str:
        main(list(arguments))
        return capsys.readouterr().out

    return run


def test_train_list_show_promote_rollback(vigie, plant_dir: Path) -> None:  # type: ignore[no-untyped-def] # the fixture above
    first = json.loads(vigie("train", "--json"))
    assert first["kind"] == "pump"
    assert first["window"]
    assert first["failures"] >= 8
    assert first["outcome"].startswith("promoted: it is the first")
    earlier = json.loads(vigie("train", "--json", "--no-promote", "--as-of", first["data_to"]))
    assert earlier["model_id"] != first["model_id"]
    listed = [json.loads(line) for line in vigie("models", "list", "--json").splitlines()]
    assert {m["model_id"] for m in listed} == {first["model_id"], earlier["model_id"]}
    assert [m["model_id"] for m in listed if m["champion"]] == [first["model_id"]]
    shown = json.loads(vigie("models", "show", first["model_id"], "--json"))
    assert shown["champion"]
    assert abs(sum(shown["signals"].values()) - 1) < 1e-9
    assert earlier["model_id"] in vigie("models", "promote", earlier["model_id"])
    assert first["model_id"] in vigie("models", "rollback", "pump")
    listed = vigie("models", "list")
    assert "★" in listed
    assert first["model_id"] in listed  # whole: other commands ask for it
    store = SqliteStore(plant_dir / "data", SystemClock())
    decisions = [e for e in store.read_events(0, 1 << 60, kinds=("model",)) if e.who == login()]
    store.close()
    assert [e.note for e in decisions] == ["promoted by hand", "rolled back to by hand"]
    (watched,) = [json.loads(line) for line in vigie("models", "watch", "--json").splitlines()]
    assert watched["model_id"] == first["model_id"]
    assert watched["new_failures"] == 0
    # The history ended long before now: that is no all-clear.
    assert watched["drifts"] == []
    assert watched["finding"].startswith("too few readings")


def test_an_unknown_kind_is_said_before_anything_is_trained(
    vigie,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],  # type: ignore[no-untyped-def] # the fixture above
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained all the same")

    monkeypatch.setattr("models.pipeline.train_kind", never)
    with pytest.raises(SystemExit) as ended:
        vigie("train", "-k", "pump", "-k", "typo")
    assert ended.value.code == 3
    assert "'typo'" in capsys.readouterr().err


def test_a_kind_that_cannot_be_trained_costs_no_other(
    vigie,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],  # type: ignore[no-untyped-def] # the fixture above
) -> None:
    whole, calls = pipeline.train_kind, []

    def second_fails(*arguments: object, **names: object) -> object:
        calls.append(1)
        if len(calls) > 1:
            raise DataError("there is nothing to learn from.")
        return whole(*arguments, **names)  # type: ignore[arg-type] # passed on as they come

    monkeypatch.setattr(pipeline, "train_kind", second_fails)
    with pytest.raises(SystemExit) as ended:
        vigie("train", "-k", "pump", "-k", "pump", "--no-promote", "--json")
    assert ended.value.code == 3
    told = capsys.readouterr()
    assert "nothing to learn from" in told.err
    assert json.loads(told.out)["model_id"] in vigie("models", "list", "--json")


def test_machines_without_a_model_keep_nobody_else_from_being_scored(
    vigie,
    plant_dir: Path,  # type: ignore[no-untyped-def] # the fixture above
) -> None:
    toml = (plant_dir / "plant.toml").read_text(encoding="utf-8")
    other = toml.replace("[kinds.pump", "[kinds.fan").replace('kind = "pump"', 'kind = "fan"', 1)
    pumps = toml[toml.index("[kinds.pump") : toml.index("[[assets]]")]
    (plant_dir / "two.toml").write_text(other + "\n" + pumps, encoding="utf-8")
    lines = vigie("--plant", "two.toml", "score", "--json").splitlines()
    said = [json.loads(line)["status"] for line in lines]
    assert len(said) == 8
    assert said.count("insufficient_data") >= 1
    assert said.count("ok") >= 1


def test_evaluate_and_report(vigie, plant_dir: Path) -> None:  # type: ignore[no-untyped-def] # the fixture above
    said = json.loads(vigie("evaluate", "--kind", "pump", "--periods", "1", "--json"))
    assert said["figures"]["days"] == len(said["said"]) > 20
    assert "machine-days" in vigie("evaluate", "--periods", "1")
    models = [json.loads(line) for line in vigie("models", "list", "--json").splitlines()]
    vigie("models", "report", models[0]["model_id"], "--out", "report.html")
    assert "Survival now" in (plant_dir / "report.html").read_text(encoding="utf-8")


def test_late_rows_know_nothing_of_the_future(plant_dir: Path) -> None:
    plant = parse_plant((plant_dir / "plant.toml").read_text(encoding="utf-8"))
    settings, features = ModelSettings(midlife_copies=2), FeatureSettings(grid_ms=7_200_000)
    store = SqliteStore(plant_dir / "data", SystemClock())
    try:
        first = min(e.first_ms for e in store.assets())
        cut, end = first + round(20.4 * DAY_MS), first + 45 * DAY_MS
        whole = read_history(store, plant, features, end)
        then = read_history(store, plant, features, cut, regimes=whole.regimes)
        of_whole, of_then = (
            late_rows(h, store, plant, settings, "pump", cut) for h in (whole, then)
        )
        none = settings.model_copy(update={"midlife_share": 0.0})
        assert late_rows(whole, store, plant, none, "pump", cut) is None
    finally:
        store.close()
    assert of_whole is not None
    assert of_then is not None
    assert of_whole.ts_ms.max() < cut
    assert np.array_equal(of_whole.ts_ms, of_then.ts_ms)
    assert np.array_equal(of_whole.X, of_then.X, equal_nan=True)


def test_mistakes_are_one_sentence(
    vigie,
    capsys: pytest.CaptureFixture[str],  # type: ignore[no-untyped-def] # the fixture above
) -> None:
    for arguments, words, code in (
        (("train", "--kind", "fan"), "there are: pump", 3),
        (("models", "show", "nothing"), "is not known", 6),
        (("evaluate", "--horizon", "9000"), "[model] horizon_h", 3),
        (("models", "rollback", "fan"), "no earlier champion", 6),
        (("models", "list", "--kind", "typo"), "there are: pump", 3),
        (("models", "watch", "--kind", "typo"), "there are: pump", 3),
        (("score", "--kind", "typo"), "there are: pump", 3),
    ):
        with pytest.raises(SystemExit) as stop:
            vigie(*arguments)
        assert stop.value.code == code
        assert words in capsys.readouterr().err
