"""The fitted parts of a bundle as JSON and text files, and back: every shape is checked on the way in.

Readers raise ValueError, KeyError or TypeError when what they read is not such a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.calibrate import WindowLevels
from models.hazard import HazardModel
from models.heads import Heads
from models.modes import ModeModel

_LONGEST_H = 1e6


def hazard_to_dict(hazard: HazardModel, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the manifest says of it, and add a file for each member."""
    for i, text in enumerate(hazard.texts):
        files[f"hazard-{i}.txt"] = text.encode()
    return {
        "members": len(hazard.texts),
        "edges_h": hazard.edges_h.tolist(),
        "offsets": hazard.offsets.tolist(),
        "intercept": hazard.intercept,
        "slope": hazard.slope,
        "tilt": hazard.tilt,
    }


def hazard_from_dict(
    h: Mapping[str, Any], files: Mapping[str, bytes], features: int
) -> HazardModel:
    """Read `hazard_to_dict`'s result, for rows of so many features."""
    texts = tuple(files[f"hazard-{i}.txt"].decode() for i in range(int(h["members"])))
    edges = np.array(h["edges_h"], dtype=np.float64)
    offsets = np.array(h["offsets"], dtype=np.float64)
    if offsets.shape != (len(texts), len(edges) - 1) or not texts:
        raise ValueError("hazard shapes")
    if not (edges[0] == 0 and np.all(np.diff(edges) > 0) and edges[-1] < _LONGEST_H):
        raise ValueError("hazard edges")
    line = tuple(float(h[key]) for key in ("intercept", "slope", "tilt"))
    if not (np.all(np.isfinite(offsets)) and np.all(np.isfinite(line))):
        raise ValueError("hazard numbers")
    hazard = HazardModel(edges, texts, offsets, *line)
    if any(f.features - f.horizons != features for f in hazard.forests):
        raise ValueError("hazard features")
    return hazard


def heads_to_dict(heads: Heads, name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the manifest says of them, and add a file for each, called after `name`."""
    for i, text in enumerate(heads.texts):
        files[f"{name}-{i}.txt"] = text.encode()
    return {"members": len(heads.texts), "cap_h": heads.cap_h, "share": heads.share}


def heads_from_dict(
    h: Mapping[str, Any], name: str, files: Mapping[str, bytes], features: int
) -> Heads:
    """Read `heads_to_dict`'s result, for rows of so many features."""
    texts = tuple(files[f"{name}-{i}.txt"].decode() for i in range(int(h["members"])))
    heads = Heads(texts, float(h["cap_h"]), float(h["share"]))
    if not texts or any(forest.features != features for forest in heads.forests):
        raise ValueError("head features")
    return heads


def modes_to_dict(modes: ModeModel, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the manifest says of them, and add the file of their trees, where there are any."""
    if modes.text:
        files["modes.txt"] = modes.text.encode()
    return {
        "codes": list(modes.codes),
        "shares": list(modes.shares),
        "pooled": list(modes.pooled),
        "trees": bool(modes.text),
    }


def modes_from_dict(m: Mapping[str, Any], files: Mapping[str, bytes], features: int) -> ModeModel:
    """Read `modes_to_dict`'s result, for rows of so many features."""
    modes = ModeModel(
        tuple(str(c) for c in m["codes"]),
        tuple(float(s) for s in m["shares"]),
        tuple(str(c) for c in m["pooled"]),
        files["modes.txt"].decode() if m["trees"] else "",
    )
    if not 1 <= len(set(modes.codes)) == len(modes.codes) == len(modes.shares):
        raise ValueError("mode codes")
    if not (all(0 <= s <= 1 for s in modes.shares) and abs(sum(modes.shares) - 1) < 1e-6):
        raise ValueError("mode shares")
    forest = modes.forest
    if forest is not None and (forest.classes, forest.features) != (len(modes.codes), features + 1):
        raise ValueError("mode trees")
    return modes


def levels_to_dict(levels: WindowLevels) -> dict[str, Any]:
    """Return what the manifest says of them."""
    return {"bands_h": list(levels.bands_h), "low": list(levels.low), "high": list(levels.high)}


def levels_from_dict(w: Mapping[str, Any]) -> WindowLevels:
    """Read `levels_to_dict`'s result."""
    levels = WindowLevels(*(tuple(float(v) for v in w[key]) for key in ("bands_h", "low", "high")))
    if not len(levels.bands_h) == len(levels.low) == len(levels.high) >= 1:
        raise ValueError("window levels")
    return levels
