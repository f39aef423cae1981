from __future__ import annotations

import pytest

from features.table import FeatureTable
from models.bundle import Bundle
from models.settings import ModelSettings
from models.train import train
from plant.event import Event
from tests.models.fleet import PLANT, fleet

SETTINGS = ModelSettings(
    max_rounds=60, members=1, folds=3, bins=10, horizon_h=200.0, min_mode_failures=10, threads=1
)
NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="session")
def settings() -> ModelSettings:
    return SETTINGS


@pytest.fixture(scope="session")
def history() -> tuple[FeatureTable, list[Event]]:
    return fleet()


@pytest.fixture(scope="session")
def bundle(history: tuple[FeatureTable, list[Event]]) -> Bundle:
    return train(*history, PLANT, SETTINGS, now_ms=NOW_MS)
