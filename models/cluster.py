"""Training a member on a Dask cluster: for histories bigger than memory or than one machine.

The workers hold the landmarks, expand their own part over the bins and train together by
`lightgbm.dask`. Only the finished trees come back. Histograms are summed in the order the workers
answer, so a model is repeatable on one cluster layout, not byte for byte across layouts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.bins import FloatArray, PersonPeriods, bin_offsets, expand
from models.hazard import Fit, Landmarks, design, hazard_parameters, horizon_columns, input_names
from models.settings import ModelSettings
from plant.errors import DataError


def fit_member_on_cluster(
    client: Any,
    parts: Sequence[Landmarks],
    edges_h: FloatArray,
    settings: ModelSettings,
    seed: int,
    rounds: int,
) -> Fit:
    """Train one member on a `distributed.Client`; one part per partition (all rows of a machine in one).

    Raises DataError when there is no landmark.
    """
    import dask.array as da  # noqa: PLC0415 - only plants with a cluster need Dask
    from dask import delayed  # noqa: PLC0415
    from lightgbm.dask import DaskLGBMClassifier  # noqa: PLC0415

    parts = [part for part in parts if len(part.X)]
    if not parts:
        raise DataError("there are no landmarks to train on.")
    bins = len(edges_h) - 1
    periods = [expand(p.ttf_h, p.event, edges_h, p.weight) for p in parts]
    offsets = bin_offsets(_together(periods), bins)
    features = parts[0].X.shape[1]
    horizons = horizon_columns(settings, features)
    blocks = [
        (delayed(design)(part.X, period, horizons), period)
        for part, period in zip(parts, periods, strict=True)
    ]
    width = features + horizons
    X = da.concatenate(
        [da.from_delayed(block, (len(p.row), width), dtype=np.float32) for block, p in blocks]
    )

    def column(values: list[FloatArray]) -> Any:
        return da.concatenate([da.from_array(v, chunks=len(v)) for v in values])

    failed = sum(float(p.weight @ p.y) for p in periods)
    params = hazard_parameters(settings, seed, sum(len(p.X) for p in parts), features, failed)
    model = DaskLGBMClassifier(
        client=client,
        n_estimators=rounds,
        random_state=seed,
        **{k: v for k, v in params.items() if k not in {"objective", "seed", "num_threads"}},
    )
    with warnings.catch_warnings():
        # LightGBM says that it takes the workers' own number of threads; that is what we want.
        warnings.filterwarnings("ignore", message="Parameter n_jobs will be ignored")
        model.fit(
            X,
            column([p.y.astype(np.int64) for p in periods]),
            sample_weight=column([p.weight for p in periods]),
            init_score=column([offsets[p.bin] for p in periods]),
            feature_name=input_names(features, horizons),
        )
    return Fit(str(model.booster_.model_to_string(importance_type="gain")), offsets)


def _together(periods: Sequence[PersonPeriods]) -> PersonPeriods:
    return PersonPeriods(
        *(
            np.concatenate([getattr(p, name) for p in periods])
            for name in ("row", "bin", "y", "weight")
        )
    )
