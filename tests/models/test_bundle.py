from __future__ import annotations

import errno
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import DIGEST, FORMAT, MANIFEST, Bundle, load, save
from models.registry import Registry
from models.score import predict
from plant.errors import ModelError


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save(bundle, path)
    return path


def rewrite(path: Path, **changes: object) -> None:
    """Change the manifest as someone who knows how would: with a matching digest."""
    manifest = json.loads((path / MANIFEST).read_bytes()) | changes
    raw = json.dumps(manifest).encode()
    (path / MANIFEST).write_bytes(raw)
    (path / DIGEST).write_text(hashlib.sha256(raw).hexdigest())


def test_round_trip_scores_the_same(saved: Path, bundle: Bundle) -> None:
    again = load(saved, bundle.fingerprint)
    X = np.random.default_rng(0).normal(size=(50, len(bundle.features)))
    a, b = predict(bundle, X), predict(again, X)
    assert a.curves is not None
    assert b.curves is not None
    assert np.array_equal(a.curves.survival, b.curves.survival)
    assert np.array_equal(a.deviation, b.deviation)
    assert again.model_id == bundle.model_id
    assert dict(again.lineage) == json.loads(json.dumps(bundle.lineage))


def test_nothing_is_pickled(saved: Path) -> None:
    assert {p.suffix for p in saved.iterdir()} == {".json", ".txt", ".sha256"}
    for path in saved.iterdir():
        path.read_bytes().decode("utf-8")


def test_every_mutated_file_is_refused(saved: Path) -> None:
    for path in sorted(saved.iterdir()):
        good = path.read_bytes()
        for at in (0, len(good) // 2, len(good) - 2):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            with pytest.raises(ModelError, match=r"damaged|not a Vigie model"):
                load(saved)
        path.write_bytes(good[: len(good) // 2])
        with pytest.raises(ModelError, match=r"damaged|not a Vigie model"):
            load(saved)
        path.write_bytes(good)
    load(saved)


def test_missing_file_is_named(saved: Path) -> None:
    (saved / "hazard-0.txt").unlink()
    with pytest.raises(ModelError, match=r"lacks hazard-0\.txt"):
        load(saved)


def test_newer_format_is_refused(saved: Path) -> None:
    rewrite(saved, format=FORMAT + 1)
    with pytest.raises(ModelError, match="newer Vigie"):
        load(saved)


def test_foreign_catalogue_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match="another feature catalogue"):
        load(saved, "0123456789abcdef")


@pytest.mark.parametrize(
    "changes",
    [
        {"hazard": {"members": 1, "edges_h": [0, 1], "offsets": [[1, 2, 3]]}},
        {"hazard": "rm -rf /"},
        {"files": {"../../etc/passwd": "0"}},
        {"catalogue": {}},
        {"reference": [1]},
        {"trained_ms": "soon"},
        {"windows": {"bands_h": [0], "low": [], "high": []}},
        {"trained_ms": 10**30},
        {"lineage": None},
        {"lineage": {"metrics": 5}},
        {"files": [[1, "a"]]},
        {"files": {"a\u0000b": "0"}},
        {"files": {"\ud800": "0"}},
    ],
)
def test_well_signed_nonsense_is_refused(saved: Path, changes: dict[str, object]) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ModelError):
        load(saved)


@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        ("hazard", ("intercept",), float("nan")),
        ("hazard", ("offsets", 0, 0), None),
        ("hazard", ("edges_h", -1), 1e308),
        ("modes", ("shares",), ["NaN", 1.0]),
        ("modes", ("shares",), [5.0, -4.0]),
        ("modes", ("shares",), [0.5]),
        ("modes", ("codes",), ["ONE"]),
        ("modes", ("codes",), ["ONE", "ONE"]),
        ("deviation", ("views", 0, "whiten", 0, 0), None),
        ("deviation", ("views", 0, "limits", 0), 5e-324),
        ("deviation", ("centre", 0), float("inf")),
        ("deviation", ("limit",), float("inf")),
    ],
)
def test_well_signed_numbers_that_would_be_said_are_refused(
    saved: Path, part: str, at: tuple[str | int, ...], value: object
) -> None:
    changed = json.loads((saved / MANIFEST).read_bytes())[part]
    place = changed
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = value
    rewrite(saved, **{part: changed})
    with pytest.raises(ModelError, match="damaged"):
        load(saved)


def test_json_nested_without_end_is_refused(saved: Path) -> None:
    raw = b"[" * 200_000
    (saved / MANIFEST).write_bytes(raw)
    (saved / DIGEST).write_text(hashlib.sha256(raw).hexdigest())
    with pytest.raises(ModelError, match="not a Vigie model"):
        load(saved)


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        load(tmp_path / "nothing")


def test_a_model_never_changes(saved: Path, bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="already"):
        save(bundle, saved)


def test_registry_promotes_and_rolls_back(bundle: Bundle, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    assert registry.champion("pump") is None
    second = replace(bundle, model_id="pump-second", trained_ms=bundle.trained_ms + 1)
    registry.add(bundle)
    registry.add(bundle)
    registry.add(second)
    registry.promote("pump", bundle.model_id, 1)
    registry.promote("pump", second.model_id, 2, who="ana")
    assert registry.champion_id("pump") == second.model_id
    assert [e.model_id for e in registry.list() if e.champion] == [second.model_id]
    assert [h["model_id"] for h in registry.history("pump")] == [bundle.model_id, second.model_id]
    assert registry.rollback("pump") == bundle.model_id
    champion = registry.champion("pump", bundle.fingerprint)
    assert champion is not None
    assert champion.model_id == bundle.model_id
    with pytest.raises(ModelError, match="no earlier champion"):
        registry.rollback("pump")
    assert registry.find("pump-sec") == ("pump", "pump-second")
    with pytest.raises(ModelError, match="fits 2 models"):
        registry.find("pump")


def test_no_promotion_is_lost_among_several_at_once(bundle: Bundle, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    models = [replace(bundle, model_id=f"pump-{i}") for i in range(8)]
    for model in models:
        registry.add(model)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda m: registry.promote("pump", m.model_id, 1), models))
    assert {step["model_id"] for step in registry.history("pump")} == {m.model_id for m in models}


def test_a_full_disk_is_said_and_leaves_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    registry.add(bundle)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        registry.promote("pump", bundle.model_id, 1)
    with pytest.raises(ModelError, match="No space left"):
        registry.add(replace(bundle, model_id="pump-2"))
    names = {path.name for path in (tmp_path / "pump").iterdir()}
    assert names == {bundle.model_id, ".lock"}
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        save(bundle, tmp_path / "file" / "pump-3")


def test_registry_refuses_paths_and_damage(bundle: Bundle, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(ModelError, match="not a model's name"):
        registry.load("pump", "../../etc")
    path = registry.add(bundle)
    (path / "hazard-0.txt").write_text("gone")
    with pytest.raises(ModelError, match="damaged"):
        registry.promote("pump", bundle.model_id, 1)
    assert "damaged" in registry.list("pump")[0].lineage
    for text in (
        '{"promotions": [1]}',
        '{"promotions": [{}]}',
        '{"promotions": "x"}',
        "[" * 200_000,
    ):
        (tmp_path / "pump" / "champion.json").write_text(text)
        with pytest.raises(ModelError, match="damaged"):
            registry.champion_id("pump")


def test_a_well_signed_model_without_its_lineage_is_listed_as_damaged(
    bundle: Bundle, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    rewrite(registry.add(bundle), lineage=5)
    assert "not a Vigie model" in registry.list()[0].lineage["damaged"]
