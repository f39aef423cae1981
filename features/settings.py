"""How features are made: bucket, grid, lateness, windows, baseline, quality limits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from plant.errors import DataError
from plant.times import HOUR_MS, parse_duration_ms


def _duration(text: str) -> str:
    try:
        if parse_duration_ms(text) <= 0:
            raise ValueError("a window must be longer than zero")
    except DataError as error:
        raise ValueError(str(error)) from error
    return text.replace(" ", "")


#: A trailing window as people write it: `1h`, `6h`, `24h`, `7d`.
WindowText = Annotated[str, AfterValidator(_duration)]

#: Of the raw readings inside a trailing window.
WindowStat = Literal[
    "mean",
    "std",
    "min",
    "max",
    "range",
    "rms",
    "skewness",
    "kurtosis",
    "crest",
    "slope",
    "change",
    "missing",
    "gap",
]
#: Of the excess (bucket mean minus what the kind does when healthy in this regime) in a window.
ExcessStat = Literal["level", "scatter", "trend", "shift"]


class QualitySettings(BaseModel):
    """When a sensor, not the machine, is at fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spike_sigmas: float = Field(
        default=12.0,
        gt=3,
        description="A reading this many robust sigmas off its bucket, with calm neighbours, is a spike.",
    )
    spike_share: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="Spikes above this share of an hour: the sensor spikes.",
    )
    range_share: float = Field(
        default=0.2, gt=0, le=1, description="Out of range above this share of an hour: a fault."
    )
    stuck_h: float = Field(
        default=3.0, gt=0, description="Unchanged this long while the machine runs: stuck."
    )
    stuck_readings: int = Field(
        default=12, ge=2, description="... and for at least so many readings."
    )
    missing_h: float = Field(
        default=1.0, gt=0, description="Silent this long while other signals arrive: missing."
    )


class FeatureSettings(BaseModel):
    """Table `[features]` of `vigie.toml`. Everything here is part of the catalogue's fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket_ms: int = Field(default=600_000, gt=0, description="Length of a rollup's bucket.")
    grid_ms: int | None = Field(
        default=None, gt=0, description="A feature row every so often; default: every bucket."
    )
    lateness_ms: int = Field(
        default=60_000, ge=0, description="A row at t sees what had arrived by t + lateness."
    )
    hold_ms: int | None = Field(
        default=None, gt=0, description="A reading speaks for at most so long; default: a bucket."
    )
    windows: tuple[WindowText, ...] = Field(
        default=("1h", "6h", "24h", "7d"), description="Trailing windows of the raw readings."
    )
    window_stats: tuple[WindowStat, ...] = Field(
        default=("mean", "std", "slope"), description="Statistics given for each of `windows`."
    )
    extra: tuple[str, ...] = Field(
        default=(
            "24h.min",
            "24h.max",
            "24h.range",
            "24h.rms",
            "24h.skewness",
            "24h.kurtosis",
            "24h.crest",
            "24h.change",
            "24h.missing",
        ),
        description="Further `window.stat` pairs of the raw readings.",
    )
    operating: tuple[str, ...] = Field(
        default=("1h.mean", "24h.mean", "24h.std"),
        description="`window.stat` pairs for signals with role operating or state.",
    )
    ewm: tuple[WindowText, ...] = Field(
        default=("6h", "24h"),
        description="Spans of the exponentially weighted means of the excess.",
    )
    trends: tuple[str, ...] = Field(
        default=("24h.trend", "7d.trend", "24h.scatter", "24h.shift"),
        description="`window.stat` pairs of the excess: level, scatter, trend, shift.",
    )
    own: bool = Field(
        default=True, description="Give deviation, rate and cusum against the asset's own baseline."
    )
    baseline_h: float = Field(
        default=72.0, gt=0, description="First hours after renewal that make the own baseline."
    )
    deviation_span: WindowText = Field(
        default="12h", description="Span of the mean that is compared with the own baseline."
    )
    forget_d: float = Field(
        default=90.0,
        gt=0,
        description="After a silence of so many days a machine counts as connected anew.",
    )
    min_duty: float = Field(
        default=0.5, ge=0, le=1, description="A bucket running less than this gives no excess."
    )
    components: int = Field(
        default=2,
        ge=0,
        le=4,
        description="Health indices at most: what changes slowly in all signals at once.",
    )
    blends: bool = Field(
        default=False, description="Give sums and differences of the health indices too."
    )
    excess: Literal["all", "health"] = Field(
        default="all",
        description="Whose excess gives features: every signal's and the health indices', or theirs alone.",
    )
    quality: QualitySettings = Field(default_factory=QualitySettings)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.grid % self.bucket_ms:
            raise ValueError("grid_ms must be a multiple of bucket_ms")
        for pair in (*self.extra, *self.operating):
            split_pair(pair, WindowStat)
        for pair in self.trends:
            split_pair(pair, ExcessStat)
        for window in self.all_windows:
            if parse_duration_ms(window) % self.bucket_ms:
                raise ValueError(f"window {window} is not a multiple of bucket_ms")
        return self

    @property
    def grid(self) -> int:
        """Milliseconds between two rows."""
        return self.grid_ms or self.bucket_ms

    @property
    def bucket_h(self) -> float:
        """Hours in a bucket."""
        return self.bucket_ms / HOUR_MS

    @property
    def forget_buckets(self) -> int:
        """Buckets of silence after which what came before is not looked at any more."""
        return max(1, round(self.forget_d * 24 / self.bucket_h))

    @property
    def raw_pairs(self) -> tuple[tuple[str, str], ...]:
        """(window, stat) of the raw readings of a condition signal, each once."""
        pairs: list[tuple[str, str]] = [
            (w, stat) for w in self.windows for stat in self.window_stats
        ]
        pairs += [split_pair(pair, WindowStat) for pair in self.extra]
        return tuple(dict.fromkeys(pairs))

    @property
    def operating_pairs(self) -> tuple[tuple[str, str], ...]:
        """(window, stat) of the raw readings of an operating or state signal."""
        return tuple(dict.fromkeys(split_pair(pair, WindowStat) for pair in self.operating))

    @property
    def trend_pairs(self) -> tuple[tuple[str, str], ...]:
        """(window, stat) of the excess."""
        return tuple(dict.fromkeys(split_pair(pair, ExcessStat) for pair in self.trends))

    @property
    def all_windows(self) -> tuple[str, ...]:
        """Every trailing window named anywhere, shortest first."""
        named = [*self.windows]
        named += [
            window for window, _ in (*self.raw_pairs, *self.operating_pairs, *self.trend_pairs)
        ]
        return tuple(sorted(dict.fromkeys(named), key=parse_duration_ms))

    def buckets(self, window: str) -> int:
        """Return how many buckets a window holds."""
        return parse_duration_ms(window) // self.bucket_ms


def split_pair(pair: str, allowed: object) -> tuple[str, str]:
    """Split `24h.slope`. Raises ValueError when the window or the statistic is not known."""
    window, _, stat = pair.partition(".")
    known: tuple[str, ...] = getattr(allowed, "__args__", ())
    if stat not in known:
        raise ValueError(f"{pair!r}: the statistic is one of {', '.join(known)}")
    return _duration(window), stat
