"""The `[store]` table: sane defaults, plain complaints, a token that does not leak."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from plant.clock import ManualClock
from plant.errors import ConfigError, StoreError
from store.factory import open_forwarder, open_store
from store.influx import InfluxStore
from store.influx_setup import ensure_buckets, least_token
from store.settings import TOKEN_VARIABLE, InfluxSettings, RetentionSettings, StoreSettings
from store.sqlite import SqliteStore
from tests.servers import Influxd
from tests.store.conftest import FOREVER, influx_settings


def test_an_empty_table_is_the_embedded_store(tmp_path: Path, clock: ManualClock) -> None:
    settings = StoreSettings()
    store = open_store(settings, tmp_path, clock)
    assert isinstance(store, SqliteStore)
    store.close()
    assert open_forwarder(settings, tmp_path, clock) is None


@pytest.mark.influxd
def test_influx_is_opened_by_its_name(influxd: Influxd, tmp_path: Path, clock: ManualClock) -> None:
    settings = StoreSettings(kind="influx", influx=influx_settings(influxd))
    store = open_store(settings, tmp_path, clock)
    assert isinstance(store, InfluxStore)
    store.check()
    store.close()
    forwarder = open_forwarder(settings, tmp_path, clock)
    assert forwarder is not None
    forwarder.close()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"kind": "mysql"}, "sqlite"),
        ({"influx": {"url": "localhost:8086"}}, "http"),
        ({"influx": {"bucket": "a/b"}}, "without /"),
        ({"retention": {"readings": "ninety days"}}, "90d"),
        ({"retentoin": {}}, "retentoin"),
    ],
)
def test_a_mistake_is_named(table: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        StoreSettings.model_validate(table)


def test_durations_are_read() -> None:
    keep = RetentionSettings(readings="3d", rollups="forever", risks="2w", journal="12h")
    assert keep.readings_ms == 3 * 86_400_000
    assert keep.rollups_ms is None
    assert keep.risks_ms == 14 * 86_400_000
    assert keep.journal_ms == 12 * 3_600_000
    assert keep.events_ms is None


def test_the_token_comes_from_settings_file_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "from-environment")
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert InfluxSettings(token="given", token_file=file).read_token() == "given"
    assert InfluxSettings(token_file=file).read_token() == "from-file"
    assert InfluxSettings().read_token() == "from-environment"
    assert "given" not in repr(InfluxSettings(token="given"))
    with pytest.raises(ConfigError, match="token_file"):
        InfluxSettings(token_file=tmp_path / "absent").read_token()


@pytest.mark.influxd
def test_the_least_token_can_do_vigies_work_and_nothing_else(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    operator = influx_settings(influxd)
    small = operator.model_copy(update={"token": least_token(operator)})
    store = InfluxStore(small, tmp_path, clock)
    store.check()
    assert store.assets() == []
    store.close()
    with pytest.raises(StoreError):
        ensure_buckets(small.model_copy(update={"bucket": "another"}), FOREVER)


@pytest.mark.influxd
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"token": "wrong"}, "does not accept the token"),
        ({"bucket": "absent"}, "vigie init --store influx"),
        ({"org": "absent"}, "organisation 'absent'"),
        ({"url": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_what_is_wrong_with_influxdb_is_one_plain_sentence(
    influxd: Influxd, tmp_path: Path, clock: ManualClock, change: dict[str, str], sentence: str
) -> None:
    settings = influx_settings(influxd).model_copy(update=change)
    store = InfluxStore(settings, tmp_path, clock)
    with pytest.raises(StoreError, match=sentence) as caught:
        store.check()
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    store.close()


def test_every_key_is_described() -> None:
    for table in (StoreSettings, InfluxSettings, RetentionSettings):
        for name, field in table.model_fields.items():
            assert field.description or name in {"influx", "retention"}, name
