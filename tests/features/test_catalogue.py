"""Names, units, fingerprints, tables and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from features.catalogue import Catalogue, build_catalogue
from features.settings import FeatureSettings
from features.table import FeatureTable, catalogue_from_dict, catalogue_to_dict
from plant.config import KindSpec, ModeSpec, SignalSpec
from plant.errors import DataError

KIND = KindSpec(
    signals={
        "vibration_rms": SignalSpec(unit="mm/s", description="vibration"),
        "load": SignalSpec(unit="kW", role="operating"),
        "strokes": SignalSpec(role="counter"),
        "valve": SignalSpec(role="state"),
    },
    modes={"BRG": ModeSpec(label="bearing wear")},
    running_signal="load",
)
CATALOGUE = build_catalogue(KIND, FeatureSettings())


def table(n: int = 5, seed: int = 0, catalogue: Catalogue = CATALOGUE) -> FeatureTable:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(catalogue)))
    X[0, 0] = np.nan
    return FeatureTable(
        np.array([f"a/b/m{i}" for i in range(n)], dtype=object),
        np.arange(n) * 600_000,
        X,
        catalogue,
        rng.integers(0, 5, (n, len(catalogue.measured))).astype(np.uint8),
        np.array(["pump"] * n, dtype=object),
    )


def test_a_feature_says_what_it_is() -> None:
    feature = CATALOGUE.describe("vibration_rms.24h.slope")
    assert feature.unit == "mm/s/h"
    assert feature.description == "least-squares slope of vibration over the last 24h"
    assert CATALOGUE.describe("load.life.integral").unit == "kW*h"
    assert CATALOGUE.describe("vibration_rms.24h.kurtosis").unit == "1"
    assert (
        CATALOGUE.describe("asset.BRG.age").description
        == "hours since bearing wear was last renewed"
    )
    assert all(f.description and f.name.count(".") == 2 for f in CATALOGUE.features)
    with pytest.raises(DataError, match="is not a feature"):
        CATALOGUE.describe("nonsense")


def test_the_default_catalogue_holds_what_was_promised() -> None:
    names = set(CATALOGUE.names)
    for window in ("1h", "6h", "24h", "7d"):
        for stat in ("mean", "std", "slope"):
            assert f"vibration_rms.{window}.{stat}" in names
    for stat in (
        "min",
        "max",
        "range",
        "rms",
        "skewness",
        "kurtosis",
        "crest",
        "change",
        "missing",
    ):
        assert f"vibration_rms.24h.{stat}" in names
    assert {
        "vibration_rms.ewm24h.level",
        "vibration_rms.own.deviation",
        "vibration_rms.own.rate",
        "vibration_rms.own.cusum",
        "vibration_rms.life.trend",
        "running.24h.duty",
        "running.life.hours",
        "running.life.starts",
        "asset.life.age",
        "asset.connected.age",
        "asset.deviation.age",
        "strokes.life.increase",
    } <= names


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket_ms": 300_000},
        {"windows": ("1h",)},
        {"baseline_h": 24.0},
        {"lateness_ms": 0},
        {"min_duty": 0.9},
    ],
)
def test_every_setting_is_in_the_fingerprint(changes: dict[str, object]) -> None:
    settings = FeatureSettings.model_validate(changes)
    assert build_catalogue(KIND, settings).fingerprint != CATALOGUE.fingerprint


def test_limits_and_regimes_are_in_the_fingerprint() -> None:
    prints = {
        CATALOGUE.fingerprint,
        build_catalogue(KIND, FeatureSettings(), regime="x").fingerprint,
    }
    signals = {**KIND.signals, "load": SignalSpec(unit="kW", role="operating", high=100)}
    changed = KIND.model_copy(update={"signals": signals})
    prints.add(build_catalogue(changed, FeatureSettings()).fingerprint)
    assert len(prints) == 3
    assert build_catalogue(KIND, FeatureSettings()).fingerprint == CATALOGUE.fingerprint


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": ("1 fortnight",)},
        {"windows": ("15min",)},
        {"extra": ("24h.median",)},
        {"trends": ("24h.mean",)},
        {"grid_ms": 700_000},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FeatureSettings.model_validate(wrong)


def test_a_table_survives_parquet_bit_for_bit(tmp_path: Path) -> None:
    before = table()
    before.to_parquet(tmp_path / "rows.parquet")
    after = FeatureTable.from_parquet(tmp_path / "rows.parquet")
    assert after.X.tobytes() == before.X.tobytes()
    assert after.faults.tobytes() == before.faults.tobytes()
    assert after.assets.tolist() == before.assets.tolist()
    assert after.kinds.tolist() == before.kinds.tolist()
    assert after.ts_ms.tolist() == before.ts_ms.tolist()
    assert after.catalogue == before.catalogue
    (tmp_path / "other.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="not a feature table"):
        FeatureTable.from_parquet(tmp_path / "other.parquet")


def test_take_concat_and_kinds() -> None:
    left = table(4)
    small = build_catalogue(KindSpec(signals={"current": SignalSpec()}), FeatureSettings())
    right = table(3, 1, small)
    both = FeatureTable.concat([left, right])
    assert len(both) == 7
    assert both.X[:4, : len(CATALOGUE)].tobytes() == left.X.tobytes()
    assert np.isnan(both.column("current.24h.mean")[:4]).all()
    back = both.take(np.arange(4)).of_kind("pump", CATALOGUE)
    assert back.X.tobytes() == left.X.tobytes()
    assert len(left.take(left.ts_ms > 600_000)) == 2
    frame = left.to_frame()
    assert list(frame.columns[:3]) == ["asset", "kind", "time"]
    with pytest.raises(DataError):
        FeatureTable.concat([])
    with pytest.raises(DataError, match="do not fit"):
        FeatureTable(left.assets, left.ts_ms, left.X[:, 1:], left.catalogue, left.faults)


def test_a_forged_catalogue_is_refused() -> None:
    body = catalogue_to_dict(CATALOGUE)
    assert catalogue_from_dict(body) == CATALOGUE
    body["basis"] = "other"
    with pytest.raises(DataError, match="fingerprint"):
        catalogue_from_dict(body)
