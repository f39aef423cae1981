"""From feature rows to assessments: the curve, the window, the mode, the drivers, the deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.table import FeatureTable
from models.bins import FloatArray
from models.bundle import Bundle
from models.curve import SurvivalCurves
from models.explain import contributions, deviation_drivers, drivers
from models.hazard import as_input
from models.prior import known_of
from models.settings import ModelSettings
from plant.errors import ModelError
from plant.risk import HORIZONS_H, Driver

AssessmentStatus = Literal["ok", "insufficient_data", "deviation_only"]
_MIN_KNOWN = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What the model says of one machine at one moment.

    edges_h, survival: float64[K + 1] of its curve, None without one. p_fail: hours to probability.
    quantiles_h: p10, p50, p90 in hours, infinity past the last edge. mode: (code, probability given
    that it fails). deviation: 1 is the limit healthy machines rarely pass; None when unknown. note:
    what people should know besides (why no window is given, what age alone says).
    """

    asset: str
    ts_ms: int
    status: AssessmentStatus
    edges_h: FloatArray | None
    survival: FloatArray | None
    p_fail: dict[int, float] | None
    quantiles_h: tuple[float, float, float] | None
    beyond_horizon: bool
    mode: tuple[str, float] | None
    drivers: tuple[Driver, ...]
    deviation: float | None
    model_id: str
    trained_ms: int
    note: str = ""

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Return (hours, survival probability) pairs; empty without a curve."""
        if self.edges_h is None or self.survival is None:
            return ()
        return tuple(zip(self.edges_h.tolist(), self.survival.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The batch result: one row per feature row. `known` rows have enough to go by."""

    curves: SurvivalCurves | None
    windows_h: FloatArray | None
    modes: FloatArray | None
    deviation: FloatArray
    known: NDArray[np.bool_]


def predict(bundle: Bundle, X: FloatArray) -> Predictions:
    """Score feature rows float64[n, F] without drivers: the fast path for many machines."""
    X = as_input(X)
    known = np.isfinite(X).mean(axis=1) >= _MIN_KNOWN
    deviation = bundle.deviation.score(X)
    if bundle.hazard is None or bundle.windows is None:
        return Predictions(None, None, None, deviation, known)
    logits = bundle.hazard.logits(X)
    age = _column(bundle.catalogue, X, "asset.life.age")
    if bundle.prior is not None:
        logits = bundle.prior.blend(logits, known_of(deviation, age))
    curves = bundle.hazard.curves_of(logits)
    if bundle.heads is not None:
        curves = bundle.heads.blend(X, curves)
    late = np.isnan(age)
    if bundle.late_heads is not None and late.any():
        curves = curves.put(late, bundle.late_heads.blend(X[late], curves.take(late)))
    windows = np.empty((len(X), 3))
    for rows, levels in ((~late, bundle.windows), (late, bundle.late_windows or bundle.windows)):
        if rows.any():
            windows[rows] = levels.windows(curves.take(rows))
    modes = None if bundle.modes is None else bundle.modes.probabilities(X, curves)
    return Predictions(curves, windows, modes, deviation, known)


def score(
    bundle: Bundle,
    table: FeatureTable,
    settings: ModelSettings | None = None,
    *,
    explain_above: float | None = 0.05,
) -> list[Assessment]:
    """Assess every row of a table of the bundle's kind and catalogue.

    Drivers are given to rows whose probability to fail before the last edge is at least `explain_above`
    within a week (None: to none), and to deviating ones. Raises ModelError for rows of other features.
    """
    settings = settings or ModelSettings()
    table = matching(bundle, table)
    X = as_input(table.X)
    p = predict(bundle, X)
    young: NDArray[np.bool_] = _history_h(table.catalogue, X) < settings.min_history_h
    known = p.known & ~young
    status = _no_window(bundle) if p.curves is None else "ok"
    p_fail = horizons = survival = None
    explained: dict[int, FloatArray] = {}
    if p.curves is not None:
        horizons = [h for h in HORIZONS_H if h <= p.curves.horizon_h]
        p_fail = np.clip(p.curves.p_fail(horizons), 0.0, 1.0)
        survival = np.clip(p.curves.survival, 0.0, 1.0)  # despite rounding
        if explain_above is not None and settings.drivers:
            worth = known & ((p_fail[:, -1] >= explain_above) | (np.nan_to_num(p.deviation) >= 1))
            rows = np.flatnonzero(worth)
            if len(rows):
                shares = contributions(bundle, X[rows], p.curves.take(rows))
                explained = dict(zip(rows.tolist(), shares, strict=True))
    out = []
    for i in range(len(X)):
        deviation = None if np.isnan(p.deviation[i]) else round(float(p.deviation[i]), 4)
        why: tuple[Driver, ...] = ()
        curve = None
        if known[i] and p.curves is not None and p_fail is not None and survival is not None:
            curve = survival[i]
            if i in explained:
                why = drivers(
                    bundle.catalogue, bundle.reference, X[i], explained[i], settings.drivers
                )
        elif known[i] and (deviation or 0.0) >= 1:
            why = deviation_drivers(bundle, X[i], settings.drivers)
        whole = curve is not None and p_fail is not None and p.windows_h is not None
        out.append(
            Assessment(
                asset=str(table.assets[i]),
                ts_ms=int(table.ts_ms[i]),
                status=status if known[i] else "insufficient_data",
                edges_h=p.curves.edges_h if p.curves is not None and curve is not None else None,
                survival=curve,
                p_fail=dict(zip(horizons or [], p_fail[i].tolist(), strict=True))
                if whole and p_fail is not None
                else None,
                quantiles_h=_triple(p.windows_h[i]) if whole and p.windows_h is not None else None,
                beyond_horizon=bool(
                    whole and p.windows_h is not None and np.isinf(p.windows_h[i, 1])
                ),
                mode=_mode(bundle, p.modes, i) if whole else None,
                drivers=why,
                deviation=deviation if known[i] else None,
                model_id=bundle.model_id,
                trained_ms=bundle.trained_ms,
                note=_note(bundle, known=bool(known[i]), young=bool(young[i])),
            )
        )
    return out


def matching(bundle: Bundle, table: FeatureTable) -> FeatureTable:
    """Return the table with the bundle's columns.

    A table of several kinds holds the union of their columns: the bundle's kind is picked out.
    Raises ModelError when the rows were made by another catalogue.
    """
    if table.catalogue.fingerprint == bundle.fingerprint:
        return table
    union = bundle.catalogue.basis in table.catalogue.basis.split("|")
    if union and set(bundle.features) <= set(table.catalogue.names):
        return table.of_kind(bundle.kind, bundle.catalogue)
    raise ModelError(
        f"the model {bundle.model_id} was trained on another feature catalogue"
        f" ({bundle.fingerprint}, the rows have {table.catalogue.fingerprint}).",
        fix="Train again with `vigie train`.",
    )


def _history_h(catalogue: Catalogue, X: FloatArray) -> FloatArray:
    """Return hours since renewal, or since connection where the age is unknown; NaN without either."""
    age = _column(catalogue, X, "asset.life.age")
    return np.where(np.isnan(age), _column(catalogue, X, "asset.connected.age"), age)


def _column(catalogue: Catalogue, X: FloatArray, name: str) -> FloatArray:
    """Return one column of rows X float64[n, F], NaN when the catalogue has none of that name."""
    names = catalogue.names
    return X[:, names.index(name)] if name in names else np.full(len(X), np.nan)


def _no_window(bundle: Bundle) -> AssessmentStatus:
    return "deviation_only" if bundle.deviation.rows else "insufficient_data"


def _note(bundle: Bundle, *, known: bool, young: bool) -> str:
    if young:
        return "too young since its last renewal to say anything."
    if not known:
        return "too few of its features are known."
    if bundle.hazard is None:
        return f"{bundle.why_no_window} By age alone: {bundle.lifetime.sentence()}"
    return ""


def _triple(row: FloatArray) -> tuple[float, float, float]:
    return float(row[0]), float(row[1]), float(row[2])


def _mode(bundle: Bundle, modes: FloatArray | None, i: int) -> tuple[str, float] | None:
    if bundle.modes is None or modes is None or not bundle.modes.codes:
        return None
    best = int(np.argmax(modes[i]))
    return bundle.modes.codes[best], float(modes[i, best])


def newest(table: FeatureTable) -> FeatureTable:
    """Return the newest row of every machine, in path order."""
    last: dict[str, int] = {}
    for i in np.argsort(table.ts_ms, kind="stable").tolist():
        last[str(table.assets[i])] = i
    rows: Sequence[int] = [last[asset] for asset in sorted(last)]
    return table.take(rows)
