"""`vigie ingest` and `vigie quarantine` as a person uses them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import structlog

from plant.asset import AssetPath
from plant.reading import Reading
from store.journal import Batch, Journal
from store.quarantine import Quarantined
from store.schema import journal_path
from tests.ingest.test_subscriber import Publisher, stored_in, telemetry, wait_until
from tests.servers import Mosquitto
from vigie.cli import main

NOW = time.time_ns() // 1_000_000
PLANT = """
[sites.lyon.lines.l1]
[kinds.pump.signals]
pressure = { unit = "bar", low = 0, high = 10 }
[[assets]]
path = "lyon/l1/p1"
kind = "pump"
"""
MAPPING = """
[[ingest.mappings]]
name = "foreign"
topic = "foreign/{id}"
site = "lyon"
line = "l1"
asset = "{id}"
signals = { pressure = { path = "p" } }
"""


@pytest.fixture
def vigie(tmp_path: Path, capfdbinary):
    """Run the command line on a folder of its own; returns (exit code, standard output)."""
    (tmp_path / "plant.toml").write_text(PLANT)
    (tmp_path / "vigie.toml").write_text("")
    files = [
        "--config",
        f"{tmp_path}/vigie.toml",
        "--plant",
        f"{tmp_path}/plant.toml",
        "--data",
        str(tmp_path),
    ]

    def run(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            main([*files, *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, capfdbinary.readouterr().out.decode()

    yield run
    structlog.reset_defaults()  # the command's logs went to a captured stream that is closed now


def quarantined(tmp_path: Path) -> None:
    journal = Journal(journal_path(tmp_path))
    items = [
        Quarantined(NOW - 1000, b"foreign/p1", b'{"p": 4.5}', "topic", "not one Vigie reads"),
        Quarantined(NOW, b"plant/\xff", b"\x00[red]", "utf8", "not UTF-8"),
    ]
    journal.commit(Batch(quarantined=items))
    journal.close()


def test_explain_shows_mapping_units_and_doubts(vigie, tmp_path: Path) -> None:
    payload = orjson.dumps({"ts": NOW, "values": {"pressure": 99, "other": 1}}).decode()
    code, out = vigie(
        "ingest", "explain", "--topic", "plant/lyon/l1/p1/telemetry", "--payload", payload, "--json"
    )
    answer = orjson.loads(out)
    assert code == 0
    assert answer["read_by"] == "the contract"
    assert answer["readings"][0]["values"]["pressure"] == {"value": 99, "unit": "bar"}
    assert [p["reason"] for p in answer["problems"]] == ["out_of_range", "unknown_signal"]
    (tmp_path / "vigie.toml").write_text(MAPPING)
    file = tmp_path / "payload"
    file.write_bytes(b'{"p": 4.5}')
    code, out = vigie("ingest", "explain", "--topic", "foreign/p1", "--payload-file", str(file))
    assert code == 0
    assert "mapping foreign" in out
    assert "4.5" in out


def test_explain_ends_with_one_for_what_would_be_refused(vigie) -> None:
    code, out = vigie("ingest", "explain", "--topic", "foreign/p1", "--payload", "{")
    assert code == 1
    assert "none: this topic does not arrive" in out
    assert "topic" in out


def test_watch_counts_per_second(vigie, tmp_path: Path) -> None:
    journal = Journal(journal_path(tmp_path))
    journal.commit(
        Batch([Reading(AssetPath("lyon", "l1", "p1"), NOW - 40, {"a": 1.0}, received_ms=NOW)])
    )
    journal.close()
    code, out = vigie("ingest", "watch", "--count", "1", "--interval", "0.1", "--json")
    assert code == 0
    assert orjson.loads(out)["lag_ms"] == 40
    code, out = vigie("ingest", "watch", "--count", "1", "--interval", "0.1")
    assert code == 0


def test_quarantine_lists_shows_replays_and_purges(vigie, tmp_path: Path) -> None:
    assert vigie("quarantine", "list")[1].strip() == "Nothing was ever refused."
    quarantined(tmp_path)
    listed = orjson.loads(vigie("quarantine", "list", "--json")[1])
    assert listed["waiting"] == {"topic": 1, "utf8": 1}
    assert [m["id"] for m in listed["messages"]] == ["ingest-0:1", "ingest-0:2"]
    assert "foreign/p1" in vigie("quarantine", "list")[1]
    assert vigie("quarantine", "show", "ingest-0:2", "--raw")[1] == "\x00[red]"
    assert "[red]" in vigie("quarantine", "show", "ingest-0:2")[1]
    assert vigie("quarantine", "show", "ingest-0:99")[0] == 3
    (tmp_path / "vigie.toml").write_text(MAPPING)
    dry = orjson.loads(vigie("quarantine", "replay", "--dry-run", "--json")[1])
    assert (dry["messages"], dry["refused"]) == (1, {"utf8": 1})
    assert "1 messages were read: 1 readings" in vigie("quarantine", "replay")[1]
    assert stored_in(journal_path(tmp_path)) == [("lyon/l1/p1", NOW - 1000, {"pressure": 4.5})]
    assert "1 messages removed" in vigie("quarantine", "purge", "--yes", "--reason", "utf8")[1]
    after = orjson.loads(vigie("quarantine", "list", "--json")[1])
    assert after["waiting"] == {}
    assert after["ever"] == {"topic": 1, "utf8": 1}


def test_run_takes_readings_until_it_is_told_to_end(mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = tmp_path / "vigie.toml"
    config.write_text(f'[broker]\nport = {mosquitto.port}\nclient_id = "run-{os.getpid()}"\n')
    command = [sys.executable, "-c", "from vigie.cli import main; main()", "--config", str(config),
               "--data", str(tmp_path), "ingest", "run"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"takes readings" in process.stderr.readline()
        device = Publisher(mosquitto.port)
        device.send("plant/s/l/run/telemetry", *(telemetry(NOW - i) for i in range(50)))
        device.close()
        wait_until(lambda: len(stored_in(journal_path(tmp_path))) == 50)
        process.terminate()
        assert process.wait(30) == 0
        assert b"50 readings" in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
