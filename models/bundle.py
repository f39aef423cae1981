"""A model on disk: a folder of LightGBM text models and one JSON manifest. Never pickle.

Nothing in a bundle is executed. Every file's SHA-256 is in the manifest and the manifest's own digest
is beside it; the trees are read by a parser that checks every index; numbers are checked for shape.
What does not fit is refused with a ModelError that says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.table import catalogue_from_dict, catalogue_to_dict
from models.calibrate import WindowLevels
from models.deviation import DeviationModel, deviation_from_dict, deviation_to_dict
from models.hazard import HazardModel
from models.heads import Heads
from models.horizons import HorizonBoosters, horizons_from_dict, horizons_to_dict
from models.lifetime import Lifetime
from models.modes import ModeModel
from models.parts import (
    hazard_from_dict,
    hazard_to_dict,
    heads_from_dict,
    heads_to_dict,
    levels_from_dict,
    levels_to_dict,
    modes_from_dict,
    modes_to_dict,
)
from models.prior import Prior, prior_from_dict, prior_to_dict
from models.sharpness import Sharpness, sharpness_from_dict, sharpness_to_dict
from plant.errors import DataError, ModelError

FloatArray = NDArray[np.float64]
Part = TypeVar("Part")

#: 2: a hazard may have a prior, which readers of 1 would leave out. 3: so for heads of an unknown past.
#: 4: a prior's slopes may drift over the horizon, which readers of 3 would not see.
#: 5: boosters of single horizons bend the curve, which readers of 4 would leave out. 6: so for sharpness.
FORMAT = 6
#: What manifests of older formats may lack.
_LATER = ("prior", "horizons", "late_heads", "late_windows", "sharpness", "late_sharpness")
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"
_MAX_BYTES = 512 * 1024 * 1024
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_NEVER_MS = 253_402_300_800_000  # the year 10,000


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Everything needed to score one kind of machine, and where it came from.

    `hazard` is None below `min_failures`: then only deviation and age statistics can speak, and
    `why_no_window` says so. `lineage` (JSON-able): data range, rows, event counts, folds, metrics,
    calibration, settings, seed, code version. `regime`: the features' fitted object, as its JSON.
    `late_windows`: levels for machines with an unknown past, None where nothing was known of such.
    `late_heads`: heads for those machines alone, None where they do not help or nothing was known.
    `horizons`: boosters of single horizons, None where they bring nothing.
    `sharpness`, `late_sharpness`: how wide curves are with a known and an unknown past; None to leave them.
    `prior`: what deviation and age add to the hazard, None where its trees speak alone.
    `reference`: float64[F], the usual value of each feature early in life, to tell high from low.
    """

    kind: str
    model_id: str
    trained_ms: int
    catalogue: Catalogue
    reference: FloatArray
    hazard: HazardModel | None
    windows: WindowLevels | None
    heads: Heads | None
    modes: ModeModel | None
    deviation: DeviationModel
    lifetime: Lifetime
    lineage: Mapping[str, Any]
    regime: str = ""
    why_no_window: str = ""
    late_windows: WindowLevels | None = None
    late_heads: Heads | None = None
    prior: Prior | None = None
    horizons: HorizonBoosters | None = None
    sharpness: Sharpness | None = None
    late_sharpness: Sharpness | None = None

    @property
    def fingerprint(self) -> str:
        """The feature catalogue's fingerprint: rows of another one are refused."""
        return self.catalogue.fingerprint

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self.catalogue.names

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Out-of-fold figures of this model."""
        return dict(self.lineage.get("metrics", {}))


def save(bundle: Bundle, directory: Path) -> None:
    """Write the bundle so that a reader sees all of it or nothing: a folder beside it, then a rename.

    Raises ModelError when something is there already: a model never changes.
    """
    if directory.exists():
        raise ModelError(f"a model is already at {directory}.", fix="Choose another folder.")
    work = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory.parent))
        for name, content in to_files(bundle).items():
            with (work / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        work.chmod(0o755)
        work.rename(directory)
    except OSError as error:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        raise ModelError(
            f"the model cannot be written to {directory} ({error}).",
            fix="Check space and permissions.",
        ) from error


def to_files(bundle: Bundle) -> dict[str, bytes]:
    """Return the bundle's files, name to content: the same model gives the same bytes."""
    files: dict[str, bytes] = {}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "kind": bundle.kind,
        "model_id": bundle.model_id,
        "trained_ms": bundle.trained_ms,
        "fingerprint": bundle.fingerprint,
        "catalogue": catalogue_to_dict(bundle.catalogue),
        "reference": [None if np.isnan(v) else v for v in bundle.reference.tolist()],
        "why_no_window": bundle.why_no_window,
        "deviation": deviation_to_dict(bundle.deviation),
        "lifetime": bundle.lifetime.to_dict(),
        "lineage": dict(bundle.lineage),
        "hazard": None,
        "windows": None,
        "heads": None,
        "modes": None,
    }
    if bundle.hazard is not None:
        manifest["hazard"] = hazard_to_dict(bundle.hazard, files)
    if bundle.prior is not None:
        manifest["prior"] = prior_to_dict(bundle.prior)
    if bundle.horizons is not None:
        manifest["horizons"] = horizons_to_dict(bundle.horizons, files)
    if bundle.modes is not None:
        manifest["modes"] = modes_to_dict(bundle.modes, files)
    for name, file, heads in (
        ("heads", "head", bundle.heads),
        ("late_heads", "late-head", bundle.late_heads),
    ):
        if heads is not None:
            manifest[name] = heads_to_dict(heads, file, files)
    for name, levels in (("windows", bundle.windows), ("late_windows", bundle.late_windows)):
        if levels is not None:
            manifest[name] = levels_to_dict(levels)
    for name, sharpness in (
        ("sharpness", bundle.sharpness),
        ("late_sharpness", bundle.late_sharpness),
    ):
        if sharpness is not None:
            manifest[name] = sharpness_to_dict(sharpness)
    if bundle.regime:
        files["regime.json"] = bundle.regime.encode()
    manifest["files"] = {
        name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())
    }
    body = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
    files[MANIFEST] = body
    files[DIGEST] = hashlib.sha256(body).hexdigest().encode() + b"\n"
    return files


def load(directory: Path, catalogue_fingerprint: str | None = None) -> Bundle:
    """Read a bundle and check all of it.

    With `catalogue_fingerprint`, a model of other features is refused. Raises ModelError.
    """
    manifest, files = read_verified(directory)
    try:
        bundle = _from_manifest(manifest, files)
    except ModelError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        OverflowError,
        AttributeError,
        DataError,
    ) as error:
        raise ModelError(
            f"the model at {directory} is damaged: its manifest does not describe a model ({error}).",
            fix="Train again, or roll back.",
        ) from error
    if catalogue_fingerprint is not None and bundle.fingerprint != catalogue_fingerprint:
        raise ModelError(
            f"the model {bundle.model_id} was trained on another feature catalogue"
            f" ({bundle.fingerprint[:12]}, now {catalogue_fingerprint[:12]}).",
            fix="Train again with `vigie train`, or restore the feature settings it was trained with.",
        )
    return bundle


def read_verified(directory: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return manifest and files after checking format and digests. Raises ModelError."""
    retrain = "Train again, or roll back."
    try:
        raw = _read(directory / MANIFEST)
        digest = _read(directory / DIGEST).decode("ascii", "replace").strip()
    except FileNotFoundError as error:
        raise ModelError(f"there is no model at {directory}.", fix="Run `vigie train`.") from error
    except OSError as error:
        raise ModelError(f"the model at {directory} cannot be read ({error}).") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise ModelError(
            f"the model at {directory} is damaged: its manifest was changed or cut.", fix=retrain
        )
    try:
        manifest = json.loads(raw)
        version = manifest["format"]
        listed = dict(manifest["files"])
        sound = (
            0 <= int(manifest["trained_ms"]) < _NEVER_MS
            and isinstance(manifest["lineage"], dict)
            and isinstance(manifest["lineage"].get("metrics", {}), dict)
            and "hazard" in manifest
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"what is at {directory} is not a Vigie model.", fix=retrain) from error
    if not sound or not isinstance(version, int) or version < 1:
        raise ModelError(f"what is at {directory} is not a Vigie model.", fix=retrain)
    if version > FORMAT:
        raise ModelError(
            f"the model at {directory} was made by a newer Vigie (format {version}, known {FORMAT}).",
            fix="Update Vigie.",
        )
    files: dict[str, bytes] = {}
    for name, expected in listed.items():
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise ModelError(f"the model at {directory} names a file outside itself.", fix=retrain)
        try:
            files[name] = _read(directory / name)
        except OSError as error:
            raise ModelError(f"the model at {directory} lacks {name}.", fix=retrain) from error
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise ModelError(
                f"the model at {directory} is damaged: {name} was changed or cut.", fix=retrain
            )
    return manifest, files


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BYTES:
        raise OSError(f"{path.name} is larger than any model")
    return path.read_bytes()


def _from_manifest(m: dict[str, Any], files: dict[str, bytes]) -> Bundle:
    catalogue = catalogue_from_dict(m["catalogue"])
    features = catalogue.names
    reference = np.array(
        [np.nan if v is None else float(v) for v in m["reference"]], dtype=np.float64
    )
    if len(reference) != len(features):
        raise ValueError("reference shape")

    def part(name: str, read: Callable[[Any], Part]) -> Part | None:
        found = m.get(name) if name in _LATER else m[name]
        return None if found is None else read(found)

    count = len(features)
    hazard = part("hazard", lambda d: hazard_from_dict(d, files, count))
    prior = horizons = None
    if hazard is not None:
        bins, last_h = hazard.bins, float(hazard.edges_h[-1])
        prior = part("prior", lambda d: prior_from_dict(d, bins))
        horizons = part("horizons", lambda d: horizons_from_dict(d, files, count, last_h))
    return Bundle(
        kind=str(m["kind"]),
        model_id=str(m["model_id"]),
        trained_ms=int(m["trained_ms"]),
        catalogue=catalogue,
        reference=reference,
        hazard=hazard,
        prior=prior,
        horizons=horizons,
        heads=part("heads", lambda d: heads_from_dict(d, "head", files, count)),
        late_heads=part("late_heads", lambda d: heads_from_dict(d, "late-head", files, count)),
        sharpness=part("sharpness", sharpness_from_dict),
        late_sharpness=part("late_sharpness", sharpness_from_dict),
        windows=part("windows", levels_from_dict),
        late_windows=part("late_windows", levels_from_dict),
        modes=part("modes", lambda d: modes_from_dict(d, files, count)),
        deviation=deviation_from_dict(m["deviation"], len(features)),
        lifetime=Lifetime.from_dict(m["lifetime"]),
        lineage=dict(m["lineage"]),
        regime=files["regime.json"].decode() if "regime.json" in files else "",
        why_no_window=str(m["why_no_window"]),
    )
