"""How models are labelled, trained, judged and scored: the `[model]` table of `vigie.toml`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelSettings(BaseModel):
    """Every key has a default that suits a plant with months of history on 10 min buckets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(
        default=7, ge=0, description="Same data, same seed: the same model, byte for byte."
    )
    threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Models fitted at a time, each on one core; changes no result.",
    )

    # ---- what a label is
    degraded_residual_h: float = Field(
        default=12.0,
        ge=0,
        description="Hours a part found degraded would still have lasted: the repair then counts as a"
        " failure that much later.",
    )
    repair_within_h: float = Field(
        default=168.0, gt=0, description="A repair this soon after a failure mends that failure."
    )
    min_history_h: float = Field(
        default=5.0,
        ge=0,
        description="Rows younger than this since renewal neither train nor are scored.",
    )

    code_error: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Share of as-found codes that are wrong: one the machine's looks contradict is doubted.",
    )

    # ---- the hazard model
    horizon_h: float | None = Field(
        default=None,
        ge=168,
        description="How far the curve reaches; none: the median life, at least 200 h and at most 60 days.",
    )
    bins: int = Field(
        default=18,
        ge=4,
        le=64,
        description="Horizon bins, finer near the present; published horizons are edges.",
    )
    min_failures: int = Field(
        default=20, ge=2, description="Below this many failures no window is given."
    )
    min_mode_failures: int = Field(
        default=20,
        ge=2,
        description="Below this many failures a mode is pooled with others and said to be.",
    )
    max_landmarks: int = Field(
        default=20_000,
        ge=500,
        description="Rows used for training; more are thinned evenly in time.",
    )
    landmarks_per_life: int = Field(
        default=36, ge=5, description="Rows used of a life on average; more say the same again."
    )
    patience: int = Field(
        default=20,
        ge=5,
        description="Stop when this many trees brought the folds nothing together.",
    )
    landmark_every: int = Field(
        default=4, ge=1, description="Use at most every n-th row of a machine."
    )
    members: int = Field(
        default=2, ge=1, le=16, description="Models in the ensemble, each of its own seed."
    )
    folds: int = Field(
        default=4, ge=2, le=20, description="Folds by machine for honest predictions."
    )
    max_rounds: int = Field(
        default=200, ge=10, description="Trees at most; fewer when the folds say so."
    )
    learning_rate: float = Field(default=0.12, gt=0, le=1)
    num_leaves: int = Field(default=31, ge=2, le=1024)
    min_child_samples: int = Field(default=60, ge=1)
    feature_fraction: float = Field(
        default=0.15, gt=0, le=1, description="Share of features a tree sees; at least 20 features."
    )
    bagging_fraction: float = Field(default=0.7, gt=0, le=1)
    lambda_l2: float = Field(default=5.0, ge=0)
    max_bin: int = Field(default=63, ge=8, le=255, description="Histogram bins per feature.")
    heads: int = Field(
        default=0,
        ge=0,
        le=4,
        description="Regression heads on the restricted mean blended into the curve (0: hazard alone).",
    )
    head_share: float = Field(
        default=0.5, ge=0, le=1, description="Weight of the heads in the blend."
    )
    head_cap_h: float | None = Field(
        default=None,
        gt=0,
        description="Cap of the heads' remaining life; none: 0.8 of the horizon.",
    )
    horizons: bool = Field(
        default=True,
        description="Boosters of single horizons beside the hazard, where held-out lives gain by them.",
    )
    midlife_share: float = Field(
        default=0.6,
        ge=0,
        le=3,
        description="So many landmarks more, as a share, of machines as if connected in mid-life.",
    )

    midlife_copies: int = Field(
        default=12, ge=1, le=50, description="Late connections made up of each machine for that."
    )

    # ---- windows
    window_coverage: float = Field(
        default=0.8, gt=0, lt=1, description="How often a window p10 to p90 holds the failure."
    )

    # ---- deviation from healthy behaviour
    healthy_share: float = Field(
        default=0.3, gt=0, le=1, description="First share of a life that counts as healthy."
    )
    false_alarms_per_month: float = Field(
        default=0.5,
        gt=0,
        description="How often per machine-month a healthy machine passes deviation 1.",
    )

    # ---- drivers
    drivers: int = Field(default=3, ge=0, le=20, description="Drivers given with a risk.")

    # ---- promotion and drift
    challengers: bool = Field(
        default=True, description="Score age statistics and plain classifiers beside the model."
    )
    retrain_days: float = Field(default=30.0, gt=0, description="A model older than this is due.")
    retrain_failures: int = Field(
        default=5, ge=1, description="So many failures since its training make a model due."
    )
    auto_promote: bool = Field(
        default=True, description="Let a clearly better challenger in by itself."
    )
    drift_alpha: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="False alarm rate of a drift check, over all its signals.",
    )
