"""How fast: training, whole curves in batch, one machine from features to drivers, memory."""

from __future__ import annotations

import resource
import time

import numpy as np

from benchmarks.model.turbofan import Turbofans, last_rows
from features.table import FeatureTable
from ingest.collector import spare_collector
from models.bundle import Bundle
from models.hazard import as_input
from models.score import predict, score
from models.settings import ModelSettings
from plant.risk import Risk, risk_to_dict
from serve.assess import to_risk
from serve.messages import encode
from serve.settings import ServeSettings

_TICK = 1_000  # machines judged at a time


def _risks(
    bundle: Bundle, table: FeatureTable, data: Turbofans, settings: ModelSettings
) -> list[Risk]:
    """Return the risk of every row, without drivers."""
    serving = ServeSettings()
    return [
        to_risk(a, data.plant, serving) for a in score(bundle, table, settings, explain_above=None)
    ]


def scoring(bundle: Bundle, data: Turbofans, rows: int) -> dict[str, float]:
    """Return curves per second in batch (one core), and the latencies of a single machine."""
    X = as_input(np.resize(data.test.X, (rows, data.test.X.shape[1])))
    spare_collector()  # as a running Vigie does
    predict(bundle, X[:64])
    began = time.perf_counter()
    p = predict(bundle, X)
    batch = time.perf_counter() - began
    assert p.curves is not None
    hazard = bundle.hazard
    assert hazard is not None
    began, busy = time.perf_counter(), time.thread_time()
    hazard.curves(X)
    curves, curves_cpu = time.perf_counter() - began, time.thread_time() - busy
    single = last_rows(data)
    settings = ModelSettings()
    fleet = data.test.take(np.resize(np.arange(len(data.test)), rows))
    began, busy = time.perf_counter(), time.thread_time()
    sent: list[bytes] = []
    for first in range(0, rows, _TICK):
        some = fleet.take(np.arange(first, min(first + _TICK, rows)))
        sent += [encode(risk_to_dict(r)) for r in _risks(bundle, some, data, settings)]
    messages, messages_cpu = time.perf_counter() - began, time.thread_time() - busy
    plain, plain_cpu, explained = [], [], []
    score(bundle, single.take([0]), settings)
    for i in range(len(single)):
        one = single.take([i])
        began, busy = time.perf_counter(), time.thread_time()
        score(bundle, one, settings, explain_above=None)
        plain.append(time.perf_counter() - began)
        plain_cpu.append(time.thread_time() - busy)
        began = time.perf_counter()
        score(bundle, one, settings, explain_above=0.0)
        explained.append(time.perf_counter() - began)
    return {
        "rows": rows,
        "curves_per_s": rows / curves,
        "curves_per_cpu_s": rows / curves_cpu,  # what a core does when nobody else wants it
        "assessments_per_s": rows / batch,
        "messages_per_s": len(sent) / messages,
        "messages_per_cpu_s": len(sent) / messages_cpu,  # features to encoded risk messages
        "single_p50_ms": 1e3 * float(np.median(plain)),
        "single_p99_ms": 1e3 * float(np.quantile(plain, 0.99)),
        "single_p99_cpu_ms": 1e3 * float(np.quantile(plain_cpu, 0.99)),
        "single_with_drivers_p50_ms": 1e3 * float(np.median(explained)),
        "single_with_drivers_p99_ms": 1e3 * float(np.quantile(explained, 0.99)),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "members": len(hazard.texts),
        "heads": 0 if bundle.heads is None else len(bundle.heads.texts),
        "bins": hazard.bins,
    }
