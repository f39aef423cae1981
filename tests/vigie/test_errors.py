"""Each mistake a person can make gives one clear sentence on stderr and an exit code of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.reading import Reading
from plant.times import HOUR_MS
from store.sqlite import SqliteStore
from vigie.cli import main
from vigie.servers import Influxd, free_port

Run = Callable[..., tuple[int, str]]
PUMP = AssetPath("lyon", "l1", "pump-1")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `vigie` with its data in a folder of this test; return the exit code and stderr."""

    def call(*arguments: str, settings: str = "", plant: str = "") -> tuple[int, str]:
        files = {"vigie.toml": settings, "plant.toml": plant}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        options = [
            "--config",
            str(tmp_path / "vigie.toml"),
            "--plant",
            str(tmp_path / "plant.toml"),
        ]
        code = 0
        try:
            main([*options, "--data", str(tmp_path / "data"), *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr().err

    return call


def is_one_sentence(text: str) -> bool:
    return text.startswith("vigie: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize(
    ("settings", "plant", "words"),
    [
        ("[broker]\nprot = 1883\n", "", ("vigie.toml", "[broker]", "prot", "spelling")),
        ("[broker]\nport = 'x'\n", "", ("vigie.toml", "[broker]", "port")),
        ("[stor]\n", "", ("vigie.toml", "stor")),
        ("[[broker", "", ("vigie.toml", "not valid TOML")),
        ("", "[sites.lyon]\ntimezone = 'Lyon'\n", ("plant.toml", "[sites.lyon]", "timezone")),
    ],
)
def test_bad_config(run: Run, settings: str, plant: str, words: tuple[str, ...]) -> None:
    code, err = run("assets", settings=settings, plant=plant)
    assert code == 2
    assert is_one_sentence(err)
    assert all(word in err for word in words), err


def test_a_file_that_was_named_must_exist(run: Run, tmp_path: Path) -> None:
    code, err = run("--config", str(tmp_path / "absent.toml"), "assets")
    assert code == 2
    assert "absent.toml" in err


@pytest.mark.parametrize(
    "arguments", [("run",), ("replay", "{csv}", "--asset", "a/b/c", "--time", "t")]
)
def test_missing_broker(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    csv = tmp_path / "t.csv"
    csv.write_text("t,flow\n1,2\n3,4\n")
    port = free_port()
    settings = f"[broker]\nport = {port}\nconnect_timeout_s = 1\n"
    words = [word.replace("{csv}", str(csv)) for word in arguments]
    code, err = run(*words, settings=settings)
    assert code == 4
    assert f":{port}" in err
    assert is_one_sentence(err), err


def influx_settings(url: str, token: str) -> str:
    return (
        f'[store]\nkind = "influx"\n[store.influx]\nurl = "{url}"\norg = "{Influxd.org}"\n'
        f'bucket = "{Influxd.bucket}"\ntoken = "{token}"\ntimeout_s = 2\n'
    )


def test_unreachable_influxdb(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, err = run("score", settings=influx_settings(url, "t"))
    assert code == 5
    assert url in err
    assert is_one_sentence(err), err


@pytest.mark.influxd
def test_wrong_token(run: Run, influxd: Influxd) -> None:
    code, err = run("score", settings=influx_settings(influxd.url, "not-the-token"))
    assert code == 5
    assert "token" in err
    assert is_one_sentence(err), err


def test_unknown_column_in_replay(run: Run, tmp_path: Path) -> None:
    csv = tmp_path / "t.csv"
    csv.write_text("cycle,flow\n1,2\n")
    code, err = run("replay", str(csv), "--asset", "a/b/c", "--time", "when")
    assert code == 3
    assert "'when'" in err
    assert "cycle" in err
    assert is_one_sentence(err), err


def test_a_model_of_another_catalogue(run: Run, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", ManualClock(0))
    readings = [
        Reading(PUMP, hour * HOUR_MS, {"flow": float(hour % 7)}, received_ms=hour * HOUR_MS)
        for hour in range(200)
    ]
    store.write_readings(readings)
    store.close()
    hourly = "[features]\nbucket_ms = 3600000\nwindows = ['6h']\nextra = []\n"
    assert run("train", "--as-of", "1970-02-01", settings=hourly)[0] == 0
    assert run("score", settings=hourly)[0] == 0
    other = hourly.replace("['6h']", "['6h', '12h']")
    code, err = run("--log-level", "error", "score", settings=other)
    assert code == 6
    assert "catalogue" in err
    assert is_one_sentence(err), err


def test_debug_shows_the_traceback(run: Run) -> None:
    _, err = run("--debug", "assets", settings="[broker]\nprot = 1\n")
    assert "Traceback" in err


def test_json_output_is_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(["version", "--json"])
    assert "vigie" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("mistyped", [("nosuch",), ("train", "--nope"), ("kpi", "--since")])
def test_what_is_mistyped_is_said_with_the_usage(run: Run, mistyped: tuple[str, ...]) -> None:
    code, err = run(*mistyped)
    assert code == 2
    assert "Usage: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--log-level", "foo", "version"),
        ("kpi", "--output", "/nonexistent/x.html"),
        ("kpi", "--from", "-9999999999999999999999999d"),
        ("simulate", "plant", "--write-plant", "/nonexistent/x.toml"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_sentence(run: Run, arguments: tuple[str, ...]) -> None:
    code, err = run(*arguments)
    assert code == 3
    assert is_one_sentence(err), err


def test_what_a_command_found_is_its_exit_code(run: Run) -> None:
    """`vigie doctor` as a health check: nothing listens at the broker's port."""
    assert run("doctor", settings=f"[broker]\nport = {free_port()}\n")[0] == 1
    assert run("version")[0] == 0
