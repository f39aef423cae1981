"""Is a model still fit for the plant? Drift since its training, what is new, whether to train again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from models.bundle import Bundle
from models.drift import Drift, check_drift, should_retrain
from models.labels import label_rows
from models.pipeline import History
from models.score import matching, predict
from models.settings import ModelSettings
from plant.event import Event
from plant.times import DAY_MS
from store.port import Store


@dataclass(frozen=True, slots=True)
class Watch:
    """What was found; `due` says why to train again, None when there is no reason."""

    kind: str
    model_id: str
    drifts: tuple[Drift, ...]
    new_failures: int
    days_since_training: float
    due: str | None

    @property
    def finding(self) -> str:
        """Say what follows; that nothing could be compared is no all-clear."""
        nothing = "no reason to train again"
        return self.due or (
            nothing if self.drifts else "too few readings of the newest days to compare"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able figures."""
        return asdict(self) | {"finding": self.finding}


def watch(
    bundle: Bundle,
    history: History,
    settings: ModelSettings,
    now_ms: int,
    newest_days: float = 14.0,
) -> Watch:
    """Compare the newest days with what came before, for signals, deviation and risk.

    history: rows made with the model's own regimes.
    """
    table = matching(bundle, history.of_kind(bundle.kind))
    p = predict(bundle, table.X)
    said = {"deviation": p.deviation}
    if p.curves is not None:
        said["risk"] = 1.0 - p.curves.survival[:, -1]
    newest_from = now_ms - round(newest_days * DAY_MS)
    drifts = check_drift(table, newest_from, settings, said)
    trained_to = int(bundle.lineage["data_to_ms"])
    labels = label_rows(table.assets, table.ts_ms, history.events, settings, now_ms)
    new = sum(life.observed and life.stop_ms > trained_to for life in labels.lives)
    days = (now_ms - bundle.trained_ms) / DAY_MS
    due = should_retrain(drifts, int(new), days, settings)
    return Watch(bundle.kind, bundle.model_id, tuple(drifts), int(new), round(days, 2), due)


def log_watch(store: Store, found: Watch, now_ms: int) -> None:
    """Write it to the audit trail as a `drift` event, at the first machine (events belong to machines)."""
    asset = next((seen.asset for seen in store.assets()), None)
    if asset is None:
        return
    drifted = [d.what for d in found.drifts if d.drifted]
    detail = {
        "kind": found.kind,
        "model_id": found.model_id,
        "drifted": drifted,
        "new_failures": found.new_failures,
        "strongest": [asdict(d) | {"points": list(d.points)} for d in found.drifts[:5]],
    }
    store.write_events(
        [
            Event(
                asset,
                now_ms,
                "drift",
                key=f"{found.kind}:{now_ms}",
                note=found.finding,
                who="vigie",
                detail=detail,
            )
        ]
    )
