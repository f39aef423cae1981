"""One model as one MLflow run, for teams that keep all their models there. MLflow is an optional extra.

The registry of Vigie stays the one that speaks: nothing is ever read back from MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plant.errors import ModelError

if TYPE_CHECKING:
    from models.bundle import Bundle

_TAG = "vigie.model_id"
_MAX_PARAM = 500  # characters MLflow takes


def export_model(bundle: Bundle, folder: Path, uri: str, *, champion: bool) -> tuple[str, bool]:
    """Write settings, figures, lineage and the bundle's folder to a run of the kind's experiment.

    uri: an MLflow tracking URI. Returns the run's id and whether it is new: a model is exported once, later
    exports only renew the tag `vigie.champion`. Raises ModelError without the mlflow package, or
    when the server refuses.
    """
    try:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an optional extra
        from mlflow.tracking import MlflowClient  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            "the mlflow package is not installed.", fix="Install it: pip install 'vigie[mlflow]'."
        ) from error
    try:
        return _export(MlflowClient(tracking_uri=uri), bundle, folder, champion=champion)
    except MlflowException as error:
        raise ModelError(
            f"MLflow at {uri} did not take the model ({error.message}).", fix="Check the URI."
        ) from error


def _export(client: Any, bundle: Bundle, folder: Path, *, champion: bool) -> tuple[str, bool]:
    name = f"vigie-{bundle.kind}"
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    tags = {_TAG: bundle.model_id, "vigie.fingerprint": bundle.fingerprint}
    known = client.search_runs(
        [number], f"tags.`{_TAG}` = '{bundle.model_id}' and attributes.status = 'FINISHED'"
    )
    mark = str(champion).lower()
    if known:
        client.set_tag(known[0].info.run_id, "vigie.champion", mark)
        return str(known[0].info.run_id), False
    run_id = str(
        client.create_run(
            number, start_time=bundle.trained_ms, tags=tags, run_name=bundle.model_id
        ).info.run_id
    )
    lineage = dict(bundle.lineage)
    for key, value in _flat(lineage.get("settings", {})):
        client.log_param(run_id, key, str(value)[:_MAX_PARAM])
    for key, value in _flat({k: v for k, v in lineage.items() if k != "settings"}):
        if isinstance(value, int | float) and not isinstance(value, bool):
            client.log_metric(run_id, key, float(value), timestamp=bundle.trained_ms)
        elif value is not None:
            client.set_tag(run_id, f"vigie.{key}", str(value)[:_MAX_PARAM])
    client.set_tag(run_id, "vigie.champion", mark)
    client.log_artifacts(run_id, str(folder), "bundle")
    client.set_terminated(run_id, "FINISHED")
    return run_id, True


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and plain values."""
    for key, value in sorted(values.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
