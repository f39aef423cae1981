"""What every feature is: name, unit, meaning. Models refuse features of another fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from features.settings import FeatureSettings
from plant.config import KindSpec, SignalSpec
from plant.errors import DataError
from plant.signal import per_hour

#: Raised whenever a definition changes in a way that changes numbers.
VERSION = 2

RAW_TEXT = {
    "mean": "mean of {s} over the last {w}",
    "std": "standard deviation of {s} over the last {w}",
    "min": "lowest {s} in the last {w}",
    "max": "highest {s} in the last {w}",
    "range": "highest minus lowest {s} in the last {w}",
    "rms": "root mean square of {s} over the last {w}",
    "skewness": "skewness of {s} over the last {w}",
    "kurtosis": "kurtosis of {s} over the last {w} (3 for a normal distribution)",
    "crest": "peak divided by root mean square of {s} over the last {w}",
    "slope": "least-squares slope of {s} over the last {w}",
    "change": "mean of {s} over the last {w} minus that of the {w} before",
    "missing": "share of the last {w} not covered by good readings of {s}",
    "gap": "longest time without a good reading of {s} in the last {w}",
}
EXCESS_TEXT = {
    "level": "mean excess of {s} over the last {w}",
    "scatter": "standard deviation of the excess of {s} over the last {w}",
    "trend": "least-squares slope of the excess of {s} over the last {w}",
    "shift": "mean excess of {s} over the last {w} minus that of the {w} before",
}
UNITLESS = {"skewness", "kurtosis", "crest", "missing"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: `signal.window.stat`, its unit and what it means in plain words."""

    signal: str
    window: str
    stat: str
    unit: str
    description: str

    @property
    def name(self) -> str:
        """The column's name, for instance `vibration_rms.24h.slope`."""
        return f"{self.signal}.{self.window}.{self.stat}"


@dataclass(frozen=True)
class Catalogue:
    """The columns of a feature table in order.

    `measured` are the signals of the kind in the order of `FeatureTable.faults`. `basis` is what the
    numbers depend on besides the columns (settings, fitted regimes), hashed into the fingerprint.
    """

    features: tuple[Feature, ...]
    measured: tuple[str, ...] = ()
    basis: str = ""
    version: int = VERSION
    _by_name: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        names = {feature.name: index for index, feature in enumerate(self.features)}
        if len(names) != len(self.features):
            raise DataError("two features of the catalogue have one name.")
        object.__setattr__(self, "_by_name", names)

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Column units in order."""
        return tuple(feature.unit for feature in self.features)

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """The signal of each column in order (`asset` and `healthN` are not measured ones)."""
        return tuple(feature.signal for feature in self.features)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever a column, a definition or the basis changes."""
        body = {
            "version": self.version,
            "columns": [[feature.name, feature.unit] for feature in self.features],
            "measured": self.measured,
            "basis": self.basis,
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def index(self, name: str) -> int:
        """Return a column's position. Raises DataError for a name that is not in the catalogue."""
        try:
            return self._by_name[name]
        except KeyError:
            raise DataError(
                f"{name!r} is not a feature.", fix="See `vigie features list` for the names."
            ) from None

    def describe(self, name: str) -> Feature:
        """Return what is known of a column. Raises DataError for an unknown name."""
        return self.features[self.index(name)]

    def union(self, other: Catalogue) -> Catalogue:
        """Return the columns of both, mine first: for tables that hold several kinds."""
        if other.fingerprint == self.fingerprint or not other.features:
            return self
        if not self.features:
            return other
        more = tuple(f for f in other.features if f.name not in self._by_name)
        measured = self.measured + tuple(s for s in other.measured if s not in self.measured)
        basis = self.basis if other.basis == self.basis else f"{self.basis}|{other.basis}"
        return Catalogue(self.features + more, measured, basis, self.version)


def build_catalogue(
    kind: KindSpec,
    settings: FeatureSettings,
    *,
    signals: Sequence[str] = (),
    regime: str = "",
    components: int = 0,
) -> Catalogue:
    """Return the catalogue of a kind.

    signals: names to use when the kind declares none (a machine that registered itself).
    regime: fingerprint of the kind's fitted RegimeModel, empty without one; components: its number
    of health indices.
    """
    specs = dict(kind.signals) or {name: SignalSpec() for name in sorted(signals)}
    found: list[Feature] = []
    for name, spec in specs.items():
        found += _signal_features(
            name, spec, settings, excess=settings.excess == "all" or not components
        )
    for number in range(1, components + 1):
        found += _excess_features(
            f"health{number}", "", f"health index {number} (a mix of all signals)", settings
        )
    found += _asset_features(kind, settings)
    limits = {name: [spec.low, spec.high, spec.role] for name, spec in specs.items()}
    running = [kind.running_signal, kind.running_above]
    basis = json.dumps(
        [settings.model_dump(mode="json"), limits, running, regime],
        sort_keys=True,
        separators=(",", ":"),
    )
    return Catalogue(tuple(found), tuple(specs), hashlib.sha256(basis.encode()).hexdigest()[:16])


def _signal_features(
    name: str, spec: SignalSpec, settings: FeatureSettings, *, excess: bool
) -> list[Feature]:
    said = spec.description or name
    if spec.role == "counter":
        text = f"how far {said} rose since the last renewal"
        return [Feature(name, "life", "increase", spec.unit, text)]
    pairs = settings.raw_pairs if spec.role == "condition" else settings.operating_pairs
    found = [
        Feature(name, w, stat, raw_unit(stat, spec.unit), RAW_TEXT[stat].format(s=said, w=w))
        for w, stat in pairs
    ]
    if spec.role == "condition" and excess:
        found += _excess_features(name, spec.unit, said, settings)
    if spec.role == "operating":
        unit = f"{spec.unit}*h" if spec.unit else "h"
        text = f"integral of {said} over time since the last renewal"
        found.append(Feature(name, "life", "integral", unit, text))
    return found


def _excess_features(name: str, unit: str, said: str, settings: FeatureSettings) -> list[Feature]:
    found = [
        Feature(
            name,
            f"ewm{w}",
            "level",
            unit,
            f"exponentially weighted mean excess of {said}, span {w}",
        )
        for w in settings.ewm
    ]
    for window, stat in settings.trend_pairs:
        text = EXCESS_TEXT[stat].format(s=said, w=window)
        found.append(Feature(name, window, stat, per_hour(unit) if stat == "trend" else unit, text))
    found.append(
        Feature(
            name, "life", "trend", per_hour(unit), f"slope of the excess of {said} since renewal"
        )
    )
    if settings.own:
        base = f"the asset's own first {settings.baseline_h:g} h"
        found += [
            Feature(name, "own", "deviation", unit, f"excess of {said} minus that of {base}"),
            Feature(name, "own", "rate", per_hour(unit), f"deviation of {said} divided by age"),
            Feature(
                name, "own", "cusum", "1", f"cumulative sum of sigmas of {said} away from {base}"
            ),
        ]
    return found


def _asset_features(kind: KindSpec, settings: FeatureSettings) -> list[Feature]:
    found = [
        Feature("asset", "life", "age", "h", "hours since commissioning or the last whole renewal"),
        Feature("asset", "connected", "age", "h", "hours since the first reading"),
        Feature("asset", "silent", "age", "h", "hours since the newest reading"),
        Feature(
            "asset", "deviation", "age", "h", "hours since a signal last left its own baseline"
        ),
    ]
    found += [
        Feature("asset", mode, "age", "h", f"hours since {spec.label} was last renewed")
        for mode, spec in kind.modes.items()
    ]
    if any(spec.role == "operating" for spec in kind.signals.values()):
        found.append(Feature("asset", "regime", "code", "", "number of the operating regime now"))
    if kind.running_signal is not None:
        found += [
            Feature("running", window, "duty", "1", f"share of the last {window} spent running")
            for window in settings.windows
        ]
        found += [
            Feature("running", "life", "hours", "h", "running hours since the last renewal"),
            Feature("running", "life", "starts", "", "starts since the last renewal"),
        ]
    return found


def raw_unit(stat: str, unit: str) -> str:
    """Return the unit of a window statistic of a signal measured in `unit`."""
    if stat in UNITLESS:
        return "1"
    if stat == "slope":
        return per_hour(unit)
    return "h" if stat == "gap" else unit
