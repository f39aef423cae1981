"""Export to MLflow: with the real package where it is installed, one sentence where it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from models.bundle import Bundle, load
from models.registry import Registry
from plant.errors import ModelError
from tests.models.conftest import NOW_MS
from vigie.mlflow_export import export_model

INSTALLED = importlib.util.find_spec("mlflow") is not None


@pytest.mark.skipif(INSTALLED, reason="mlflow is installed")
def test_without_the_extra_one_sentence_says_so(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mlflow package is not installed.*vigie\[mlflow\]"):
        export_model(bundle, tmp_path, str(tmp_path), champion=True)


@pytest.mark.skipif(not INSTALLED, reason="the extra mlflow is not installed")
def test_a_model_is_one_run_with_its_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - an optional extra

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer MLflow asks before using a folder
    folder = Registry(tmp_path / "models").add(bundle)
    uri = (tmp_path / "mlflow").as_uri()
    run_id, fresh = export_model(bundle, folder, uri, champion=False)
    assert fresh
    assert export_model(bundle, folder, uri, champion=True) == (run_id, False)
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.info.start_time == NOW_MS
    assert run.data.tags["vigie.champion"] == "true"
    assert run.data.metrics["metrics.c_index"] == pytest.approx(bundle.metrics["c_index"])
    assert run.data.params["seed"] == "7"
    copied = Path(client.download_artifacts(run_id, "bundle", str(tmp_path)))
    assert load(copied).model_id == bundle.model_id
