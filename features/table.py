"""Feature rows in memory: which asset, when, the numbers, and which sensors were at fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import Catalogue, Feature
from plant.errors import DataError

#: What `FeatureTable.faults` holds for a signal of a row.
FAULTS = ("ok", "missing", "out_of_range", "spiking", "stuck")


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Rows of features.

    assets: object[n] of `site/line/asset`; kinds: object[n]; ts_ms: int64[n], the grid times;
    X: float64[n, F], NaN where a feature cannot be said; catalogue: the F columns;
    faults: uint8[n, S], an index into FAULTS for each signal of `catalogue.measured`.
    """

    assets: NDArray[np.object_]
    ts_ms: NDArray[np.int64]
    X: NDArray[np.float64]
    catalogue: Catalogue
    faults: NDArray[np.uint8]
    kinds: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))

    def __post_init__(self) -> None:
        n = len(self.ts_ms)
        if not len(self.kinds):
            object.__setattr__(self, "kinds", np.full(n, "unknown", dtype=object))
        shapes = (self.X.shape, self.faults.shape, len(self.assets), len(self.kinds))
        wanted = ((n, len(self.catalogue)), (n, len(self.catalogue.measured)), n, n)
        if shapes != wanted:
            raise DataError(f"a feature table's parts do not fit: {shapes} instead of {wanted}.")

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def empty(cls, catalogue: Catalogue) -> FeatureTable:
        """Return a table without rows."""
        return cls(
            assets=np.empty(0, dtype=object),
            ts_ms=np.empty(0, dtype=np.int64),
            X=np.empty((0, len(catalogue))),
            catalogue=catalogue,
            faults=np.empty((0, len(catalogue.measured)), dtype=np.uint8),
        )

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one feature, float64[n]. Raises DataError for an unknown name."""
        return np.asarray(self.X[:, self.catalogue.index(name)])

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> FeatureTable:
        """Return the rows of a boolean mask, an index array or a slice."""
        chosen: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        return FeatureTable(
            self.assets[chosen],
            self.ts_ms[chosen],
            self.X[chosen],
            self.catalogue,
            self.faults[chosen],
            self.kinds[chosen],
        )

    def of_kind(self, kind: str, catalogue: Catalogue | None = None) -> FeatureTable:
        """Return the rows of one kind, with the columns of `catalogue` when it is given."""
        rows = self.take(self.kinds == kind)
        return rows if catalogue is None else rows.select(catalogue)

    def select(self, catalogue: Catalogue) -> FeatureTable:
        """Return the same rows with another catalogue's columns, NaN where mine has none."""
        if catalogue.fingerprint == self.catalogue.fingerprint:
            return self
        X = np.full((len(self), len(catalogue)), np.nan)
        mine = {name: index for index, name in enumerate(self.catalogue.names)}
        for column, name in enumerate(catalogue.names):
            if name in mine:
                X[:, column] = self.X[:, mine[name]]
        faults = np.zeros((len(self), len(catalogue.measured)), dtype=np.uint8)
        for column, name in enumerate(catalogue.measured):
            if name in self.catalogue.measured:
                faults[:, column] = self.faults[:, self.catalogue.measured.index(name)]
        return FeatureTable(self.assets, self.ts_ms, X, catalogue, faults, self.kinds)

    @staticmethod
    def concat(tables: Sequence[FeatureTable]) -> FeatureTable:
        """Join tables below each other; columns are the union. Raises DataError for no table."""
        if not tables:
            raise DataError("there is no feature table to join.")
        catalogue = tables[0].catalogue
        for table in tables[1:]:
            catalogue = catalogue.union(table.catalogue)
        parts = [table.select(catalogue) for table in tables]
        if len(parts) == 1:
            return parts[0]
        return FeatureTable(
            np.concatenate([part.assets for part in parts]),
            np.concatenate([part.ts_ms for part in parts]),
            np.concatenate([part.X for part in parts]),
            catalogue,
            np.concatenate([part.faults for part in parts]),
            np.concatenate([part.kinds for part in parts]),
        )

    def faulty(self, row: int) -> dict[str, str]:
        """Return the sensors at fault in a row and why: `{"pressure": "stuck"}`."""
        signals = self.catalogue.measured
        return {signals[s]: FAULTS[self.faults[row, s]] for s in np.flatnonzero(self.faults[row])}

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: asset, kind, time (UTC), then one column per feature."""
        frame = pd.DataFrame(self.X, columns=list(self.catalogue.names))
        frame.insert(0, "time", pd.to_datetime(self.ts_ms, unit="ms", utc=True))
        frame.insert(0, "kind", self.kinds)
        frame.insert(0, "asset", self.assets)
        return frame

    def to_parquet(self, path: Path) -> None:
        """Write the table with its catalogue; `from_parquet` reads the same bits back."""
        names = ["asset", "kind", "ts_ms", *self.catalogue.names]
        names += [f"fault:{signal}" for signal in self.catalogue.measured]
        columns: list[Any] = [
            pa.array(self.assets, pa.string()).dictionary_encode(),
            pa.array(self.kinds, pa.string()).dictionary_encode(),
            pa.array(self.ts_ms),
        ]
        columns += [pa.array(np.ascontiguousarray(column)) for column in self.X.T]
        columns += [pa.array(np.ascontiguousarray(column)) for column in self.faults.T]
        meta = {"vigie.catalogue": json.dumps(catalogue_to_dict(self.catalogue))}
        table = pa.table(dict(zip(names, columns, strict=True))).replace_schema_metadata(meta)
        part = path.with_name(path.name + ".part")
        pq.write_table(table, part, compression="zstd")
        part.replace(path)

    @classmethod
    def from_parquet(cls, path: Path) -> FeatureTable:
        """Read what `to_parquet` wrote. Raises DataError for a file that is not a feature table."""
        try:
            table = pq.read_table(path)
            catalogue = catalogue_from_dict(
                json.loads((table.schema.metadata or {})[b"vigie.catalogue"])
            )
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"{path} is not a feature table ({error}).", fix="Export it again."
            ) from error
        X = np.empty((table.num_rows, len(catalogue)))
        for column, name in enumerate(catalogue.names):
            X[:, column] = table.column(name).to_numpy()
        faults = np.empty((table.num_rows, len(catalogue.measured)), dtype=np.uint8)
        for column, name in enumerate(catalogue.measured):
            faults[:, column] = table.column(f"fault:{name}").to_numpy()
        return cls(
            np.array(table.column("asset").to_pylist(), dtype=object),
            np.asarray(table.column("ts_ms").to_numpy(), dtype=np.int64),
            X,
            catalogue,
            faults,
            np.array(table.column("kind").to_pylist(), dtype=object),
        )


def catalogue_to_dict(catalogue: Catalogue) -> dict[str, Any]:
    """Write a catalogue, ready for JSON."""
    return {
        "version": catalogue.version,
        "basis": catalogue.basis,
        "measured": list(catalogue.measured),
        "features": [
            [f.signal, f.window, f.stat, f.unit, f.description] for f in catalogue.features
        ],
        "fingerprint": catalogue.fingerprint,
    }


def catalogue_from_dict(body: dict[str, Any]) -> Catalogue:
    """Read what `catalogue_to_dict` wrote. Raises DataError when its fingerprint does not fit."""
    catalogue = Catalogue(
        tuple(Feature(*row) for row in body["features"]),
        tuple(body["measured"]),
        body["basis"],
        body["version"],
    )
    if catalogue.fingerprint != body["fingerprint"]:
        raise DataError("the feature catalogue's fingerprint does not fit its columns.")
    return catalogue
