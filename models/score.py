"""From feature rows to assessments: the curve, the window, the mode, the drivers, the deviation."""

from __future__ import annotations

import math
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
    if bundle.horizons is not None:
        curves = bundle.horizons.blend(X, curves)
    if bundle.heads is not None:
        curves = bundle.heads.blend(X, curves)
    late = np.isnan(age)
    if bundle.late_heads is not None and late.any():
        curves = curves.put(late, bundle.late_heads.blend(X[late], curves.take(late)))
    late_sharpness, late_windows = bundle.late_sharpness, bundle.late_windows
    if late_windows is None:  # levels hold for the curves they were found on
        late_sharpness, late_windows = bundle.sharpness, bundle.windows
    windows = np.empty((len(X), 3))
    for rows, sharpness, levels in (
        (~late, bundle.sharpness, bundle.windows),
        (late, late_sharpness, late_windows),
    ):
        if not rows.any():
            continue
        part = curves.take(rows)
        if sharpness is not None:
            part = sharpness.sharpened(part)
            curves = curves.put(rows, part)
        windows[rows] = levels.windows(part)
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
    told = _told(bundle, p)
    explained: dict[int, FloatArray] = {}
    if p.curves is not None and explain_above is not None and settings.drivers:
        likely = np.array([max((p_fail or {}).values(), default=0.0) for _, p_fail, _, _ in told])
        worth = (likely >= explain_above) | (np.nan_to_num(p.deviation) >= 1)
        rows = np.flatnonzero(known & worth)
        if len(rows):
            shares = contributions(bundle, X[rows], p.curves.take(rows))
            explained = dict(zip(rows.tolist(), shares, strict=True))
    status = _no_window(bundle) if p.curves is None else "ok"
    deviations = [None if np.isnan(d) else round(d, 4) for d in p.deviation.tolist()]
    assets, moments = table.assets.tolist(), table.ts_ms.tolist()
    out = []
    for i, enough in enumerate(known.tolist()):
        survival, p_fail, quantiles_h, mode = told[i] if enough else _NOTHING
        why: tuple[Driver, ...] = ()
        if i in explained:
            why = drivers(bundle.catalogue, bundle.reference, X[i], explained[i], settings.drivers)
        elif enough and survival is None and (deviations[i] or 0.0) >= 1:
            why = deviation_drivers(bundle, X[i], settings.drivers)
        out.append(
            Assessment(
                asset=assets[i],
                ts_ms=moments[i],
                status=status if enough else "insufficient_data",
                edges_h=p.curves.edges_h if p.curves is not None and enough else None,
                survival=survival,
                p_fail=p_fail,
                quantiles_h=quantiles_h,
                beyond_horizon=quantiles_h is not None and math.isinf(quantiles_h[1]),
                mode=mode,
                drivers=why,
                deviation=deviations[i] if enough else None,
                model_id=bundle.model_id,
                trained_ms=bundle.trained_ms,
                note=_note(bundle, known=enough, young=bool(young[i])),
            )
        )
    return out


#: What a curve tells of a row: survival, p_fail, quantiles, mode.
_Told = tuple[
    FloatArray | None,
    dict[int, float] | None,
    tuple[float, float, float] | None,
    tuple[str, float] | None,
]
_NOTHING: _Told = (None, None, None, None)


def _told(bundle: Bundle, p: Predictions) -> list[_Told]:
    """Return what the curve of each row tells; nothing without curves."""
    if p.curves is None or p.windows_h is None:
        return [_NOTHING] * len(p.known)
    survival = np.clip(p.curves.survival, 0.0, 1.0)  # despite rounding
    horizons = [h for h in HORIZONS_H if h <= p.curves.horizon_h]
    p_fail = np.clip(p.curves.p_fail(horizons), 0.0, 1.0)
    modes: list[tuple[str, float] | None] = [None] * len(survival)
    if bundle.modes is not None and p.modes is not None and bundle.modes.codes:
        codes = [bundle.modes.codes[best] for best in p.modes.argmax(axis=1).tolist()]
        modes = list(zip(codes, p.modes.max(axis=1).tolist(), strict=True))
    likely = (dict(zip(horizons, row, strict=True)) for row in p_fail.tolist())
    windows = (tuple(row) for row in p.windows_h.tolist())
    return list(zip(survival, likely, windows, modes, strict=True))


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


def newest(table: FeatureTable) -> FeatureTable:
    """Return the newest row of every machine, in path order."""
    last: dict[str, int] = {}
    for i in np.argsort(table.ts_ms, kind="stable").tolist():
        last[str(table.assets[i])] = i
    rows: Sequence[int] = [last[asset] for asset in sorted(last)]
    return table.take(rows)
